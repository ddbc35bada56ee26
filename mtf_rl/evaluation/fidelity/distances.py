"""Distances between the distributions of two logs."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray
from mtf_rl.evaluation.fidelity.session_log import SessionLog
from mtf_rl.evaluation.fidelity.survival import survival_distance, survival_tally

__all__ = [
    "GAP",
    "PLAY",
    "SESSION_LENGTH",
    "Distance",
    "log_distances",
    "sample_distance",
    "survival_curve",
]

SESSION_LENGTH = "requests of a session"
GAP = "gap between requests, seconds"
PLAY = "play in the feed, seconds"


@dataclass(frozen=True)
class Distance:
    """Distances between two distributions of one quantity."""

    name: str
    ks: float
    """Kolmogorov-Smirnov: maximum difference of the two distribution functions, in [0, 1]."""
    wasserstein: float
    """Wasserstein-1: area between the distribution functions, in the quantity's unit."""


def log_distances(log: SessionLog, other: SessionLog) -> list[Distance]:
    """All distances of `other` from `log`; session length includes censored sessions."""
    firsts, seconds = _samples(log), _samples(other)
    return [
        sample_distance(name, firsts[name], seconds[name])
        for name in firsts
        if len(firsts[name]) and len(seconds[name])
    ] + [
        Distance(SESSION_LENGTH, *survival_distance(survival_curve(log), survival_curve(other))),
    ]


def sample_distance(name: str, first: FloatArray, second: FloatArray) -> Distance:
    """The distances between two one-dimensional samples."""
    return Distance(
        name,
        ks=_kolmogorov_smirnov(first, second),
        wasserstein=float(stats.wasserstein_distance(first, second)),
    )


def survival_curve(log: SessionLog, left: FloatArray | BoolArray | None = None) -> FloatArray:
    """P(a session has more than t requests), from t = 0.

    Args:
        log: the sessions.
        left: whether the user left after each request, or the probability of it, (requests,); the
            log's own leaves by default.
    """
    leaves = log.last_requests if left is None else left
    return survival_tally(
        log.users_of_requests, log.step_of_request, log.followed_up, leaves
    ).curve()


def _kolmogorov_smirnov(first: FloatArray, second: FloatArray) -> float:
    """The maximum difference of the two empirical distribution functions."""
    first, second = np.sort(first), np.sort(second)
    points = np.concatenate([first, second])
    fractions = [
        np.searchsorted(values, points, side="right") / len(values) for values in (first, second)
    ]
    return float(np.abs(fractions[0] - fractions[1]).max())


def _samples(log: SessionLog) -> dict[str, FloatArray]:
    shown, rows = log.impressions, log.standard
    feed = rows & ~log.two_column
    users = shown.users[rows]
    counts = np.bincount(users)
    seen = counts > 0
    ended = log.ended
    return {
        PLAY: shown.play_seconds[feed].astype(np.float64),
        GAP: log.gap_seconds[~np.isnan(log.gap_seconds)],
        "watch of a session, minutes": (log.session_sums(shown.play_seconds) / 60.0)[ended],
        f"{log.interest_name} rate of a user": _means(users, log.interest[rows], counts)[seen],
        "watch per video of a user, seconds": _means(users, shown.play_seconds[rows], counts)[seen],
    }


def _means(users: IntArray, values: FloatArray | IntArray, counts: IntArray) -> FloatArray:
    return np.asarray(np.bincount(users, weights=values) / np.maximum(counts, 1))
