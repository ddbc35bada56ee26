"""The place at which videos answer that no ranker chose, from a log's random exposures."""

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

__all__ = ["MIN_RANDOM_ROWS", "random_rows", "with_assumed_place"]

MIN_RANDOM_ROWS = 50
_LAST_PLACE = 3000.0


def random_rows(log: ReplayedLog) -> IntArray:
    """Training rows that were exposed at random, of videos that retrieval would propose.

    Of any videos, where fewer than `MIN_RANDOM_ROWS` are such.
    """
    exposed = log.impressions.randomised & log.train
    proposed = exposed & log.retrieved
    enough = int(proposed.sum()) >= MIN_RANDOM_ROWS
    return np.flatnonzero(proposed if enough else exposed)


def with_assumed_place(
    log: ReplayedLog, model: ResponseModel
) -> tuple[ResponseModel, list[PartReport]]:
    """The model with the assumed place that makes the random exposures' answers most likely.

    A log without `MIN_RANDOM_ROWS` of them leaves the model as it is: it then answers as if
    rankers had chosen whatever is shown.
    """
    rows = random_rows(log)
    if len(rows) < MIN_RANDOM_ROWS:
        return model, []

    def likelihood(place: float) -> float:
        return _mean_likelihood(log, replace(model, assumed_place=np.asarray(place)), rows)

    best = minimize_scalar(
        lambda logarithm: -likelihood(np.expm1(logarithm)),
        bounds=(0.0, np.log1p(_LAST_PLACE)),
        method="bounded",
        options={"xatol": 0.01},
    )
    place = float(np.expm1(best.x))
    report = PartReport(
        part=f"answers to random exposures, at place {place:.0f}",
        observations=len(rows),
        log_likelihood=-float(best.fun),
        reference="as rankers chose",
        reference_log_likelihood=_mean_likelihood(log, model, rows),
    )
    return replace(model, assumed_place=np.asarray(place)), [report]


def _mean_likelihood(log: ReplayedLog, model: ResponseModel, rows: IntArray) -> float:
    """Nats per row of the play outcome and the interactions given the play."""
    requests = np.unique(log.request_of_row[rows])
    chosen = np.isin(log.request_of_row, requests)
    logits = logged_logits(log, model, requests)[np.isin(np.flatnonzero(chosen), rows)]
    impressions = log.impressions
    play, duration = impressions.play_seconds[rows], impressions.duration_seconds[rows]
    outcomes = likelihoods.categorical(
        play_outcomes(play, duration), logits[:, :NUM_OUTCOMES], allowed_outcomes(duration)
    )
    chances = expit(model.interaction_logits(logits, play, duration))
    events = impressions.feedback[rows, FIRST_INTERACTION:] > 0
    return float(outcomes.mean() + likelihoods.bernoulli(events, chances).sum(axis=1).mean())
