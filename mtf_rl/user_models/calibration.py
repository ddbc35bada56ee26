"""Shifts logits so that mean predictions match the rates of held-out rows.

The network is fitted on features as of each row's time, but runs on tables as of the split. This
and early stopping leave small biases in the rates of a scene. One shift per output removes them.
"""

from dataclasses import replace

import numpy as np
from scipy.special import expit, softmax

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray, select_rows
from mtf_rl.user_models.fit_log import ReplayedLog
from mtf_rl.user_models.networks import round_to_grid
from mtf_rl.user_models.play import NUM_OUTCOMES, allowed_outcomes, play_outcomes
from mtf_rl.user_models.replay import logged_slate
from mtf_rl.user_models.responses import ResponseModel

__all__ = ["calibrated", "event_shift", "held_out_logits", "logged_logits", "outcome_shifts"]

PRIOR_EVENTS = 200.0
ROUNDS = 20


def held_out_logits(log: ReplayedLog, model: ResponseModel) -> FloatArray:
    """The model's logits for the held-out rows (rows not in `log.train`); see `logged_logits`."""
    return logged_logits(log, model, np.flatnonzero(~log.train_requests))


def logged_logits(log: ReplayedLog, model: ResponseModel, requests: IntArray) -> FloatArray:
    """The model's logits for the videos of logged `requests`, with tables as in simulation.

    Returns:
        (rows, outcomes + interactions), in the order of `log.rows`.
    """
    logged = select_rows(log.requests, requests)
    slate, _ = logged_slate(log.dataset.impressions, logged)
    before = select_rows(log.replayed.before, requests)
    # Tastes as of the split would contain the training row's own response.
    tastes = np.zeros((*logged.mask.shape, log.tastes.shape[1]))
    tastes[logged.mask] = log.tastes[np.isin(log.request_of_row, requests)]
    logits = model.logits(slate, before, log.replayed.overlap[requests], tastes)
    return logits[logged.mask.ravel()]


def calibrated(log: ReplayedLog, model: ResponseModel) -> ResponseModel:
    """The model with logit shifts for each kind of scene, fitted on the held-out rows."""
    impressions = select_rows(log.impressions, ~log.train)
    play, duration = impressions.play_seconds, impressions.duration_seconds
    outcomes, allowed = play_outcomes(play, duration), allowed_outcomes(duration)
    logits = held_out_logits(log, model)
    given_play = model.interaction_logits(logits, play, duration)
    rules = model.rules
    events = rules.events(impressions.feedback)
    two_column = rules.schema.scenes.is_two_column(impressions.tabs)
    shifts = np.zeros((2, rules.num_outputs))
    for scene, rows in enumerate((~two_column, two_column)):
        if not rows.any():
            continue
        shifts[scene, :NUM_OUTCOMES] = outcome_shifts(
            logits[rows, :NUM_OUTCOMES], allowed[rows], outcomes[rows]
        )
        shifts[scene, NUM_OUTCOMES:] = [
            event_shift(given_play[rows, column], events[rows, column])
            for column in range(rules.num_interactions)
        ]
    return replace(model, scene_shifts=round_to_grid(shifts))


def outcome_shifts(logits: FloatArray, allowed: BoolArray, outcomes: IntArray) -> FloatArray:
    """Shifts (outcomes,) to add to the masked logits (rows, outcomes).

    Iterative proportional fitting: with the shifts, the mean prediction of each outcome equals its
    observed fraction, shrunk towards the previous mean prediction with a prior of 200 events.
    """
    masked = np.where(allowed, logits, -np.inf)
    predicted = softmax(masked, axis=1).sum(axis=0)  # (outcomes,)
    observed = np.bincount(outcomes, minlength=logits.shape[1])
    target = _shrunk_counts(observed, predicted)
    target = np.maximum(target * (predicted.sum() / target.sum()), 1e-9)
    shifts = np.zeros(logits.shape[1])
    for _ in range(ROUNDS):
        predicted = np.maximum(softmax(masked + shifts, axis=1).sum(axis=0), 1e-9)
        shifts += np.log(target / predicted)
    return shifts


def event_shift(logits: FloatArray, events: BoolArray | FloatArray) -> float:
    """Shift to add to the logits (rows,) of events in [0, 1].

    With the shift, the mean prediction equals the events' rate, shrunk towards the previous mean
    prediction with a prior of 200 events. Rare feedbacks therefore hardly change.
    """
    predicted = expit(logits).sum()
    target = _shrunk_counts(events.sum(), predicted)
    shift = 0.0
    for _ in range(ROUNDS):
        shift += float(np.log(target / expit(logits + shift).sum()))
    return shift


def _shrunk_counts(observed: IntArray, predicted: FloatArray) -> FloatArray:
    """Observed counts, shrunk towards predicted counts with a prior of `PRIOR_EVENTS`."""
    target: FloatArray = predicted * (observed + PRIOR_EVENTS) / (predicted + PRIOR_EVENTS)
    return target
