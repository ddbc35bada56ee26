"""Statistics that compare learning methods over several seeds.

Each value is a method's mean session reward with one seed. Methods with the same seed are
evaluated on the same sessions, so values are paired by seed. The interquartile mean and the
probability of improvement follow Agarwal et al., "Deep reinforcement learning at the edge of the
statistical precipice" (NeurIPS 2021).
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
    """The mean of values (seeds,) with its t-interval; infinite for a single seed."""
    return mean_interval(values, np.arange(len(values)))


def paired_over_seeds(values: FloatArray, reference: FloatArray) -> Interval:
    """The mean difference of two arrays (seeds,), paired by seed, with its t-interval.

    Raises:
        ShapeError: if the two arrays differ in length.
    """
    _check_paired(values, reference)
    return mean_over_seeds(values - reference)


def probability_of_improvement(values: FloatArray, reference: FloatArray) -> Interval:
    """Probability that a run of one method is better than a run of the other, both (seeds,).

    It is the mean over all pairs of runs of 1{x > y} + 1{x = y} / 2 (Agarwal et al., section 4.3),
    that is, the Mann-Whitney statistic divided by the number of pairs, with a 95 % bootstrap
    interval. Unlike the paper, we resample seeds jointly for both methods, because runs of one
    seed use common random numbers.

    Raises:
        ShapeError: if the two arrays differ in length.
    """
    _check_paired(values, reference)
    wins = (values[:, None] > reference) + 0.5 * (values[:, None] == reference)  # (seeds, seeds)

    def fractions(seeds: IntArray) -> FloatArray:
        pairs = wins[seeds[:, :, None], seeds[:, None, :]]  # (samples, seeds, seeds)
        return np.asarray(pairs.mean(axis=(1, 2)))

    return _bootstrapped(fractions, len(values))


def interquartile_mean(values: FloatArray) -> Interval:
    """The mean of the middle half of values (seeds,), with a 95 % bootstrap interval.

    Source: Agarwal et al., section 4.3.
    """

    def middles(seeds: IntArray) -> FloatArray:
        return np.asarray(stats.trim_mean(values[seeds], 0.25, axis=1))

    return _bootstrapped(middles, len(values))


def normalised_score(value: float, *, zero: float, hundred: float) -> float:
    """Score scaled to 0 at the value `zero` and to 100 at `hundred`; NaN if these are equal.

    By convention, `zero` is the value of uniform weights and `hundred` the best known value.
    """
    if hundred == zero:
        return math.nan
    return 100.0 * (value - zero) / (hundred - zero)


def _bootstrapped(statistics: Callable[[IntArray], FloatArray], seeds: int) -> Interval:
    """A statistic of all seeds, with its percentile interval over resampled seeds.

    Args:
        statistics: function of seed indices (samples, seeds) that returns (samples,).
        seeds: number of seeds.
    """
    resamples = np.random.default_rng(0).integers(seeds, size=(RESAMPLES, seeds))
    low, high = np.quantile(statistics(resamples), [0.025, 0.975])
    return Interval(float(statistics(np.arange(seeds)[None])[0]), float(low), float(high))


def _check_paired(values: FloatArray, reference: FloatArray) -> None:
    if values.shape != reference.shape or values.ndim != 1 or len(values) == 0:
        raise ShapeError(
            "values paired by seed must have one shape (seeds,) with at least one seed, got"
            f" {values.shape} and {reference.shape}"
        )
