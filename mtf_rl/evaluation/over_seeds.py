"""Learners compared over seeds: what differs, how surely, and how often.

Each value is the mean of one learner's final sessions; learners of one seed are evaluated in the
same sessions, so that they are paired by seed. Following Agarwal et al., "Deep reinforcement
learning at the edge of the statistical precipice" (NeurIPS 2021), for means that ignore outliers
and for the probability of improvement.
"""

import math
from collections.abc import Callable

import numpy as np
from scipy import stats

from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.errors import ShapeError
from mtf_rl.evaluation.intervals import Interval, mean_interval

__all__ = [
    "interquartile_mean",
    "mean_over_seeds",
    "normalised_score",
    "paired_over_seeds",
    "probability_of_improvement",
]

RESAMPLES = 2_000


def mean_over_seeds(values: FloatArray) -> Interval:
    """The mean of (seeds,) with its t-interval; of a single seed the interval is infinite."""
    return mean_interval(values, np.arange(len(values)))


def paired_over_seeds(values: FloatArray, reference: FloatArray) -> Interval:
    """The mean of the differences of (seeds,) paired by seed, with its t-interval.

    Raises:
        ShapeError: if the two are not of the same seeds.
    """
    _check_paired(values, reference)
    return mean_over_seeds(values - reference)


def probability_of_improvement(values: FloatArray, reference: FloatArray) -> Interval:
    """How often a run of one is better than a run of the other, both (seeds,).

    The mean over all pairs of runs of 1{x > y} + 1{x = y} / 2 (Agarwal et al., section 4.3), the
    statistic of Mann and Whitney over the number of pairs, with a 95 % bootstrap interval. Differs
    from the paper: seeds are drawn for both at once, as runs of one seed share their random
    numbers.

    Raises:
        ShapeError: if the two are not of the same seeds.
    """
    _check_paired(values, reference)
    wins = (values[:, None] > reference) + 0.5 * (values[:, None] == reference)  # (seeds, seeds)

    def fractions(seeds: IntArray) -> FloatArray:
        pairs = wins[seeds[:, :, None], seeds[:, None, :]]  # (samples, seeds, seeds)
        return np.asarray(pairs.mean(axis=(1, 2)))

    return _bootstrapped(fractions, len(values))


def interquartile_mean(values: FloatArray) -> Interval:
    """The mean of the middle half of (seeds,), with a 95 % bootstrap interval (section 4.3)."""

    def middles(seeds: IntArray) -> FloatArray:
        return np.asarray(stats.trim_mean(values[seeds], 0.25, axis=1))

    return _bootstrapped(middles, len(values))


def normalised_score(value: float, *, zero: float, hundred: float) -> float:
    """0 for what uniform weights reach, 100 for the best that is known; NaN if these are equal."""
    if hundred == zero:
        return math.nan
    return 100.0 * (value - zero) / (hundred - zero)


def _bootstrapped(statistics: Callable[[IntArray], FloatArray], seeds: int) -> Interval:
    """A statistic of seed numbers, and its percentile interval over resampled seeds.

    Args:
        statistics: of each row of (samples, seeds) seed numbers, (samples,).
        seeds: how many there are.
    """
    drawn = np.random.default_rng(0).integers(seeds, size=(RESAMPLES, seeds))
    low, high = np.quantile(statistics(drawn), [0.025, 0.975])
    return Interval(float(statistics(np.arange(seeds)[None])[0]), float(low), float(high))


def _check_paired(values: FloatArray, reference: FloatArray) -> None:
    if values.shape != reference.shape or values.ndim != 1 or len(values) == 0:
        raise ShapeError(
            "values paired by seed must have one shape (seeds,) with at least one seed, got"
            f" {values.shape} and {reference.shape}"
        )
