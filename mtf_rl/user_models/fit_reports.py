"""Held-out log likelihoods of the fitted parts, compared with simple references."""

import numpy as np
from scipy.special import expit

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray
from mtf_rl.user_models import likelihoods
from mtf_rl.user_models.calibration import held_out_logits
from mtf_rl.user_models.fit_log import ReplayedLog
from mtf_rl.user_models.play import (
    NUM_OUTCOMES,
    allowed_outcomes,
    duration_bucket,
    play_outcomes,
)
from mtf_rl.user_models.reports import PartReport
from mtf_rl.user_models.responses import ResponseModel

__all__ = ["event_reports", "response_reports"]


def response_reports(log: ReplayedLog, model: ResponseModel) -> list[PartReport]:
    """Held-out likelihoods of the response model, with its tables as of the split."""
    held_out = np.flatnonzero(~log.train)
    impressions = log.impressions
    users = impressions.users
    play, duration = impressions.play_seconds, impressions.duration_seconds
    logits = held_out_logits(log, model)
    outcomes = play_outcomes(play, duration)
    allowed = allowed_outcomes(duration)
    mean = likelihoods.categorical(
        outcomes[held_out], logits[:, :NUM_OUTCOMES], allowed[held_out]
    ).mean()
    reports = []
    for name, groups in (
        ("fractions by duration", duration_bucket(duration)),
        ("fractions by user", users),
    ):
        fractions = likelihoods.group_fractions(
            outcomes[log.train], NUM_OUTCOMES, groups[log.train], int(groups.max()) + 1
        )
        reference = likelihoods.categorical(
            outcomes[held_out], np.log(fractions)[groups[held_out]], allowed[held_out]
        ).mean()
        reports.append(
            PartReport("play outcome", len(held_out), float(mean), name, float(reference))
        )
    given_play = model.interaction_logits(logits, play[held_out], duration[held_out])
    events = model.rules.events(impressions.feedback)
    for column, task in enumerate(model.rules.interactions):
        chances = expit(given_play[:, column])
        reports += event_reports(task.name, events[:, column], users, log.train, chances)
    return reports


def event_reports(
    part: str,
    events: BoolArray | FloatArray,
    users: IntArray,
    train: BoolArray,
    probabilities: FloatArray,
) -> list[PartReport]:
    """Likelihood of held-out events (rows not in `train`), compared with base and user rates."""
    held_out = events[~train]
    mean = float(likelihoods.bernoulli(held_out, probabilities).mean())
    base_rate = np.full(len(held_out), events[train].mean())
    user_rates = likelihoods.group_rates(events[train], users[train], int(users.max()) + 1)
    references = {"base rate": base_rate, "rate by user": user_rates[users[~train]]}
    return [
        PartReport(
            part, len(held_out), mean, name, float(likelihoods.bernoulli(held_out, rates).mean())
        )
        for name, rates in references.items()
    ]
