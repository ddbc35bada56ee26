"""Fits the correction for videos that no ranker chose, on a log's random exposures."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit

from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.user_models import likelihoods
from mtf_rl.user_models.calibration import logged_logits
from mtf_rl.user_models.fit_log import ReplayedLog
from mtf_rl.user_models.play import NUM_OUTCOMES, allowed_outcomes, play_outcomes
from mtf_rl.user_models.reports import PartReport
from mtf_rl.user_models.responses import (
    NUM_ROW_FEATURES,
    ResponseModel,
    Unranked,
)

__all__ = ["MIN_RANDOM_ROWS", "with_unranked"]

MIN_RANDOM_ROWS = 50
_MAX_POSITION = 1000.0
_CONTRASTS = (0.5, 3.0)
_POOL_SAMPLE = 48
_USERS_AT_ONCE = 512


def with_unranked(log: ReplayedLog, model: ResponseModel) -> tuple[ResponseModel, list[PartReport]]:
    """The response model with the `Unranked` correction, and its report.

    Contrast and session fraction are maximum-likelihood estimates from all random exposures. Given
    these, the position is the maximum-likelihood estimate from the random exposures in the users'
    pools, because retrieval also selects videos. With fewer than `MIN_RANDOM_ROWS` rows in pools,
    all random exposures are used for the position. With fewer than `MIN_RANDOM_ROWS` random
    exposures in total, the model is returned unchanged, without correction. The report uses all
    random exposures of the validation rows.
    """
    exposed = np.flatnonzero(log.impressions.randomised & log.train)
    if len(exposed) < MIN_RANDOM_ROWS:
        return model, []
    in_pool = exposed[log.retrieved[exposed]]
    rows = in_pool if len(in_pool) >= MIN_RANDOM_ROWS else exposed
    position, fraction, contrast = _most_likely(log, model, exposed)

    def loss(logarithm: float) -> float:
        fitted = _at(log, model, rows, np.expm1(logarithm), fraction, contrast)
        return -_mean_likelihood(log, fitted, rows)

    best = minimize_scalar(
        loss,
        bounds=(0.0, np.log1p(_MAX_POSITION)),
        method="bounded",
        options={"xatol": 0.02},
    )
    position = float(np.expm1(best.x))
    fitted = _at(log, model, np.arange(len(log.rows)), position, fraction, contrast)
    held_out = np.flatnonzero(log.impressions.randomised & ~log.train)
    if len(held_out) == 0:
        return fitted, []
    report = PartReport(
        part="random exposures",
        observations=len(held_out),
        log_likelihood=_mean_likelihood(log, fitted, held_out),
        reference="without correction",
        reference_log_likelihood=_mean_likelihood(log, model, held_out),
    )
    return fitted, [report]


def _most_likely(
    log: ReplayedLog, model: ResponseModel, rows: IntArray
) -> tuple[float, float, float]:
    """Maximum-likelihood position, session fraction and contrast, by Nelder-Mead."""

    def loss(values: NDArray[np.float64]) -> float:
        position, fraction, contrast = np.expm1(values[0]), values[1], values[2]
        return -_mean_likelihood(log, _at(log, model, rows, position, fraction, contrast), rows)

    best = minimize(
        loss,
        x0=np.array([np.log1p(20.0), 0.3, 1.2]),
        bounds=[(0.0, np.log1p(_MAX_POSITION)), (0.0, 1.0), _CONTRASTS],
        method="Nelder-Mead",
        options={"xatol": 0.02, "fatol": 1e-5},
    )
    return float(np.expm1(best.x[0])), float(best.x[1]), float(best.x[2])


def _at(
    log: ReplayedLog,
    model: ResponseModel,
    rows: IntArray,
    position: float,
    fraction: float,
    contrast: float,
) -> ResponseModel:
    """The model with these values; usual logits are computed for the users of `rows` only."""
    users = np.unique(log.impressions.users[rows])
    usual = np.zeros_like(model.unranked.usual_logits)
    usual[users] = _usual_logits(log, model, users, position)
    values = Unranked(np.asarray(position), np.asarray(fraction), np.asarray(contrast), usual)
    return replace(model, unranked=values)


def _usual_logits(
    log: ReplayedLog, model: ResponseModel, users: IntArray, position: float
) -> FloatArray:
    """Mean logits (users, outputs) over an evenly spaced sample of each user's pool."""
    network = model.network
    pool = log.pools.shape[1]
    columns = np.unique(np.linspace(0, pool - 1, _POOL_SAMPLE).astype(np.int64))
    parts = []
    for first in range(0, len(users), _USERS_AT_ONCE):
        chunk = users[first : first + _USERS_AT_ONCE]
        videos = log.pools[chunk][:, columns]
        session = np.broadcast_to(network.session.mean, (len(chunk), len(network.session.mean)))
        features = np.zeros((*videos.shape, NUM_ROW_FEATURES))
        features[:, :, -1] = np.log1p(position)
        logits = network.logits(chunk, videos, session, features)
        parts.append(logits.reshape(len(chunk), len(columns), -1).mean(axis=1))
    return np.concatenate(parts)


def _mean_likelihood(log: ReplayedLog, model: ResponseModel, rows: IntArray) -> float:
    """Mean log likelihood of play outcome and interactions given play, in nats per row."""
    requests = np.unique(log.request_of_row[rows])
    shown = np.flatnonzero(np.isin(log.request_of_row, requests))
    logits = logged_logits(log, model, requests)[np.isin(shown, rows)]
    impressions = log.impressions
    play, duration = impressions.play_seconds[rows], impressions.duration_seconds[rows]
    outcomes = likelihoods.categorical(
        play_outcomes(play, duration), logits[:, :NUM_OUTCOMES], allowed_outcomes(duration)
    )
    chances = expit(model.interaction_logits(logits, play, duration))
    events = model.rules.events(impressions.feedback[rows])
    return float(outcomes.mean() + likelihoods.bernoulli(events, chances).sum(axis=1).mean())
