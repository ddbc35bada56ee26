"""Means with intervals, over values that come in clusters."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.errors import ShapeError

__all__ = ["Interval", "mean_interval"]


@dataclass(frozen=True)
class Interval:
    """A mean and its confidence limits."""

    mean: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval lies on one side of 0."""
        return self.low > 0.0 or self.high < 0.0


def mean_interval(values: FloatArray, clusters: IntArray, *, confidence: float = 0.95) -> Interval:
    """The mean of `values` (rows,) with a t-interval robust to clusters (rows,), such as users.

    Sessions of one user resemble each other, so the user is the unit of sampling: with e_g the
    sum over cluster g of the deviations from the mean, n rows and G clusters, the variance of
    the mean is G / (G - 1) sum_g e_g^2 / n^2 (Liang and Zeger 1986, intercept only), and the t
    quantile has G - 1 degrees of freedom. With one row a cluster it is the ordinary t-interval.
    Fewer than two clusters give an infinite interval.

    Raises:
        ShapeError: if there is no value, or the two arrays differ in length.
    """
    if values.shape != clusters.shape or values.ndim != 1 or len(values) == 0:
        raise ShapeError(
            f"values and clusters must share one axis of at least 1 row, "
            f"got {values.shape} and {clusters.shape}"
        )
    mean = float(np.mean(values, dtype=np.float64))
    _, groups = np.unique(clusters, return_inverse=True)
    sums = np.bincount(groups, weights=np.asarray(values, dtype=np.float64) - mean)  # (clusters,)
    count = len(sums)
    if count < 2:
        return Interval(mean, -np.inf, np.inf)
    error = np.sqrt(count / (count - 1) * np.sum(sums**2)) / len(values)
    half = float(stats.t.ppf(0.5 + confidence / 2.0, count - 1) * error)
    return Interval(mean, mean - half, mean + half)
