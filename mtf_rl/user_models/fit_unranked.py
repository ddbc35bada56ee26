"""How videos answer that no ranker chose, from a log's random exposures."""

from dataclasses import replace

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit

from mtf_rl.core.arrays import IntArray
from mtf_rl.user_models import likelihoods
from mtf_rl.user_models.calibration import logged_logits
from mtf_rl.user_models.fit_log import ReplayedLog
from mtf_rl.user_models.play import NUM_OUTCOMES, allowed_outcomes, play_outcomes
from mtf_rl.user_models.reports import PartReport
from mtf_rl.user_models.responses import FIRST_INTERACTION, ResponseModel

__all__ = ["MIN_RANDOM_ROWS", "unranked"]

MIN_RANDOM_ROWS = 50
_LAST_PLACE = 3000.0


def unranked(log: ReplayedLog, model: ResponseModel) -> tuple[ResponseModel, list[PartReport]]:
    """The model as it answers a policy that knows the features alone.

    Its share of the session's effect is the one that makes the answers to all random exposures
    most likely; its assumed place, given that share, the one that makes those to videos of the
    user's pool most likely, since retrieval knows the user too. Where fewer than
    `MIN_RANDOM_ROWS` are of pools, all random exposures speak for the place; a log without so many
    of any kind leaves the model as it is, which answers as if rankers had chosen.
    """
    exposed = np.flatnonzero(log.impressions.randomised & log.train)
    if len(exposed) < MIN_RANDOM_ROWS:
        return model, []
    proposed = exposed[log.retrieved[exposed]]
    rows = proposed if len(proposed) >= MIN_RANDOM_ROWS else exposed
    model = _with_session_share(log, model, exposed)
    model = _with_assumed_place(log, model, rows)
    share, place = float(model.session_share), float(model.assumed_place)
    report = PartReport(
        part=f"answers to random exposures (place {place:.0f}, session's share {share:.2f})",
        observations=len(rows),
        log_likelihood=_mean_likelihood(log, model, rows),
        reference="as rankers chose",
        reference_log_likelihood=_mean_likelihood(log, model.as_logged(), rows),
    )
    return model, [report]


def _with_session_share(log: ReplayedLog, model: ResponseModel, rows: IntArray) -> ResponseModel:
    def at(share: float) -> ResponseModel:
        shared = replace(model, session_share=np.asarray(share))
        return _with_assumed_place(log, shared, rows)

    best = minimize_scalar(
        lambda share: -_mean_likelihood(log, at(share), rows),
        bounds=(0.0, 1.0),
        method="bounded",
        options={"xatol": 0.02},
    )
    return at(float(best.x))


def _with_assumed_place(log: ReplayedLog, model: ResponseModel, rows: IntArray) -> ResponseModel:
    def at(logarithm: float) -> ResponseModel:
        return replace(model, assumed_place=np.asarray(np.expm1(logarithm)))

    best = minimize_scalar(
        lambda logarithm: -_mean_likelihood(log, at(logarithm), rows),
        bounds=(0.0, np.log1p(_LAST_PLACE)),
        method="bounded",
        options={"xatol": 0.01},
    )
    return at(float(best.x))


def _mean_likelihood(log: ReplayedLog, model: ResponseModel, rows: IntArray) -> float:
    """Nats per row of the play outcome and the interactions given the play."""
    requests = np.unique(log.request_of_row[rows])
    shown = np.flatnonzero(np.isin(log.request_of_row, requests))
    logits = logged_logits(log, model, requests)[np.isin(shown, rows)]
    impressions = log.impressions
    play, duration = impressions.play_seconds[rows], impressions.duration_seconds[rows]
    outcomes = likelihoods.categorical(
        play_outcomes(play, duration), logits[:, :NUM_OUTCOMES], allowed_outcomes(duration)
    )
    chances = expit(model.interaction_logits(logits, play, duration))
    events = impressions.feedback[rows, FIRST_INTERACTION:] > 0
    return float(outcomes.mean() + likelihoods.bernoulli(events, chances).sum(axis=1).mean())
