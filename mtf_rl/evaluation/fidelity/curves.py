"""Curves that plot the distributions of a log."""

from dataclasses import dataclass

import numpy as np

from mtf_rl.core.arrays import BoolArray, FloatArray
from mtf_rl.evaluation.fidelity.answered import AnsweredLog
from mtf_rl.evaluation.fidelity.distances import GAP, PLAY, SESSION_LENGTH, survival_curve
from mtf_rl.evaluation.fidelity.session_log import SessionLog

__all__ = ["FidelityCurve", "log_curves", "replay_curves"]

_FRACTIONS = np.arange(1, 100) / 100.0
# Maximum session length of the plot, in requests.
_REQUESTS = 60


@dataclass(frozen=True)
class FidelityCurve:
    """The distribution of one quantity for one source.

    Play and gaps: y is the quantile at fraction x. Session length: y is the fraction of sessions
    with more than x requests.
    """

    quantity: str
    source: str
    x: tuple[float, ...]
    y: tuple[float, ...]


def log_curves(source: str, log: SessionLog) -> list[FidelityCurve]:
    """Curves of play in the feed, gaps and session lengths of a log."""
    play = log.impressions.play_seconds
    return _curves(source, log, play, log.gap_seconds, log.last_requests)


def replay_curves(source: str, log: SessionLog, answered: AnsweredLog) -> list[FidelityCurve]:
    """The curves of the simulator's responses to the slates of `log`."""
    play = answered.impressions.play_seconds
    return _curves(source, log, play, answered.pause_seconds, answered.leave_chances)


def _curves(
    source: str,
    log: SessionLog,
    play_seconds: FloatArray,
    gap_seconds: FloatArray,
    left: FloatArray | BoolArray,
) -> list[FidelityCurve]:
    feed = log.standard & ~log.two_column
    samples = {PLAY: play_seconds[feed], GAP: gap_seconds[~log.last_requests]}
    curves = [
        FidelityCurve(quantity, source, tuple(_FRACTIONS.tolist()), _quantiles(values))
        for quantity, values in samples.items()
        if len(values)
    ]
    survival = survival_curve(log, left)[: _REQUESTS + 1].tolist()
    steps = tuple(float(step) for step in range(_REQUESTS + 1))
    return [*curves, FidelityCurve(SESSION_LENGTH, source, steps, tuple(survival))]


def _quantiles(values: FloatArray) -> tuple[float, ...]:
    return tuple(np.quantile(values, _FRACTIONS).astype(float).tolist())
