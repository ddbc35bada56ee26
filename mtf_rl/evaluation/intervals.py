"""Confidence intervals of means, ratios and quantiles of clustered values."""

from dataclasses import dataclass

import numpy as np

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray
from mtf_rl.core.errors import ShapeError

__all__ = [
    "Interval",
    "change_interval",
    "linearised_interval",
    "mean_interval",
    "quantile_interval",
    "rate_change_interval",
    "rate_difference_interval",
    "rate_interval",
    "ratio_interval",
    "t_quantile",
]


def t_quantile(probability: float, degrees: float) -> float:
    """Quantile of Student's t distribution; infinite `degrees` give the normal distribution.

    scipy is imported here, because `ope --help` imports this module and needs no scipy.
    """
    from scipy import stats

    return float(stats.t.ppf(probability, degrees))


@dataclass(frozen=True)
class Interval:
    """An estimate, such as a mean, with its confidence limits."""

    mean: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval lies on one side of 0."""
        return self.low > 0.0 or self.high < 0.0

    def holds(self, value: float) -> bool:
        """Whether `value` lies within the limits."""
        return bool(self.low <= value <= self.high)


def mean_interval(values: FloatArray, clusters: IntArray, *, confidence: float = 0.95) -> Interval:
    """The mean of `values` (rows,) with a cluster-robust t-interval; clusters (rows,) are users.

    Sessions of one user are correlated, so the user is the sampling unit. With e_g the sum over
    cluster g of the residuals from the mean, n rows and G clusters, the variance of the mean is
    G / (G - 1) sum_g e_g^2 / n^2 (Liang and Zeger 1986, intercept only), and the t quantile has
    G - 1 degrees of freedom. With one row per cluster, it is the ordinary t-interval. Fewer than
    two clusters give an infinite interval.

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
    half = float(t_quantile(0.5 + confidence / 2.0, count - 1) * error)
    return Interval(mean, mean - half, mean + half)


def ratio_interval(
    numerator: FloatArray | BoolArray,
    denominator: FloatArray | BoolArray,
    clusters: IntArray,
    *,
    confidence: float = 0.95,
) -> Interval:
    """The ratio of two sums over rows (rows,), with a cluster-robust t-interval.

    Conditional rates are such ratios: the denominator, at least 0, selects the rows. With N_g and
    D_g the sums of cluster g, G clusters with D_g > 0 and R = sum N / sum D, the variance of R is
    G / (G - 1) sum_g (N_g - R D_g)^2 / (sum D)^2 (linearisation; Cochran, Sampling Techniques,
    section 6.3). A denominator of ones gives `mean_interval`. If the denominators sum to 0, the
    ratio is NaN. The interval is infinite then, and with fewer than two clusters.

    Args:
        numerator: (rows,).
        denominator: (rows,), at least 0.
        clusters: (rows,), integers from 0, such as users.
        confidence: nominal coverage, in (0, 1).
    """
    tops = np.bincount(clusters, weights=numerator)  # (clusters,)
    bottoms = np.bincount(clusters, weights=denominator)  # (clusters,)
    count = int(np.count_nonzero(bottoms))
    total = float(bottoms.sum())
    ratio = float(tops.sum()) / total if total > 0.0 else np.nan
    if total <= 0.0 or count < 2:
        return Interval(ratio, -np.inf, np.inf)
    error = np.sqrt(count / (count - 1) * np.sum((tops - ratio * bottoms) ** 2)) / total
    half = float(t_quantile(0.5 + confidence / 2.0, count - 1) * error)
    return Interval(ratio, ratio - half, ratio + half)


def linearised_interval(
    estimate: float, influences: FloatArray, clusters: IntArray, *, confidence: float = 0.95
) -> Interval:
    """An estimate with a cluster-robust t-interval, by the delta method.

    A row's influence is its first-order contribution to the error of the estimate. With e_g the
    sum of influences over cluster g and G clusters, the variance is G / (G - 1) sum_g e_g^2
    (Cochran, Sampling Techniques, section 6.3; Deng, Knoblich and Lu, KDD 2018, for rates of
    randomised users). The interval is infinite if the estimate is not finite, or with fewer than
    two clusters.

    Args:
        estimate: any smooth function of sums over the rows.
        influences: (rows,), with sum 0 over all rows.
        clusters: (rows,), such as users.
        confidence: nominal coverage, in (0, 1).
    """
    _, groups = np.unique(clusters, return_inverse=True)
    sums = np.bincount(groups, weights=influences)  # (clusters,)
    count = len(sums)
    if count < 2 or not np.isfinite(estimate):
        return Interval(estimate, -np.inf, np.inf)
    error = np.sqrt(count / (count - 1) * np.sum(sums**2))
    half = float(t_quantile(0.5 + confidence / 2.0, count - 1) * error)
    return Interval(estimate, estimate - half, estimate + half)


def change_interval(values: FloatArray, reference: FloatArray, clusters: IntArray) -> Interval:
    """The mean of `values` (rows,) relative to that of `reference` (rows,), minus 1.

    It is (mean v - mean r) / |mean r|, paired by row, with Fieller's 95 % interval (1954), robust
    to clusters. If it is finite, it excludes 0 if and only if the t-interval of the mean difference
    does. It is infinite if the reference's mean does not differ significantly from 0, or all values
    are 0: the formula would then give -1 with width 0.
    """
    top, bottom = (float(np.mean(x, dtype=np.float64)) for x in (values, reference))
    return _relative(
        (top, (values - top) / len(values)), (bottom, (reference - bottom) / len(values)), clusters
    )


def rate_interval(
    events: FloatArray, shown: FloatArray | IntArray, clusters: IntArray, *, most: float = 1.0
) -> Interval:
    """Events per impression, sum e / sum s over (rows,), with a 95 % interval within [0, `most`].

    The interval is robust to clusters (`ratio_interval`). If there is no event, or every impression
    has the maximum number of events, that formula gives width 0. The other limit is then the one of
    Clopper and Pearson, 1 - 0.025^(1 / sum s) from the rate in units of `most`, which assumes
    independent impressions.

    Args:
        events: number of events of each row, (rows,).
        shown: number of impressions of each row, (rows,).
        clusters: cluster of each row, such as its user, (rows,).
        most: maximum number of events per impression: 1, or infinity for counts.
    """
    total = float(np.sum(shown))
    margin = float(1.0 - 0.025 ** (1.0 / total)) if total > 0.0 else np.nan
    if total > 0.0 and not np.any(events):
        return Interval(0.0, 0.0, margin)
    if total > 0.0 and np.isfinite(most) and float(np.sum(events)) == most * total:
        return Interval(most, most * (1.0 - margin), most)
    ratio = ratio_interval(events, np.asarray(shown, dtype=np.float64), clusters)
    return Interval(ratio.mean, max(ratio.low, 0.0), min(ratio.high, most))


def rate_difference_interval(
    events: FloatArray,
    shown: FloatArray | IntArray,
    reference_events: FloatArray,
    reference_shown: FloatArray | IntArray,
    clusters: IntArray,
) -> Interval:
    """A rate minus the reference's rate, over the same rows (rows,), with a 95 % interval.

    With R = sum e / sum s, and R' the rate of the reference, the influence of row i is
    (e_i - R s_i) / sum s - (e'_i - R' s'_i) / sum s'.
    """
    rate, influences = _rate(events, shown)
    reference_rate, reference_influences = _rate(reference_events, reference_shown)
    return linearised_interval(rate - reference_rate, influences - reference_influences, clusters)


def rate_change_interval(
    events: FloatArray,
    shown: FloatArray | IntArray,
    reference_events: FloatArray,
    reference_shown: FloatArray | IntArray,
    clusters: IntArray,
) -> Interval:
    """A rate relative to the reference's, R / R' - 1, over the same rows, with a 95 % interval.

    This is Fieller's interval (1954) from the rates' influences. If it is finite, it excludes 0 if
    and only if `rate_difference_interval` does. It is infinite if the reference's rate is not
    significantly above 0, or there is no event: the formula would then give -1 with width 0.
    """
    return _relative(_rate(events, shown), _rate(reference_events, reference_shown), clusters)


def _relative(
    estimate: tuple[float, FloatArray], reference: tuple[float, FloatArray], clusters: IntArray
) -> Interval:
    """One estimate A relative to another one B, minus 1; each comes with its rows' influences.

    Fieller's limits are the ratios q at which A - q B is at the limit of significance. With
    cluster sums a_g and b_g of the influences and c = t^2 G / (G - 1), they are the roots of
    (A - q B)^2 = c sum_g (a_g - q b_g)^2.
    """
    (top, top_influences), (bottom, bottom_influences) = estimate, reference
    if not abs(bottom) > 0.0 or not np.isfinite(top):
        return Interval(np.nan, -np.inf, np.inf)
    sign = float(np.sign(bottom))
    change = sign * (top / bottom - 1.0)
    _, groups = np.unique(clusters, return_inverse=True)
    a, b = (
        np.bincount(groups, weights=influences)
        for influences in (top_influences, bottom_influences)
    )
    count = len(a)
    if count < 2 or (top == 0.0 and not np.any(top_influences)):
        return Interval(change, -np.inf, np.inf)
    scale = t_quantile(0.975, count - 1) ** 2 * count / (count - 1)
    square = bottom**2 - scale * float(b @ b)
    middle = top * bottom - scale * float(a @ b)
    rest = top**2 - scale * float(a @ a)
    if square <= 0.0:
        return Interval(change, -np.inf, np.inf)
    root = np.sqrt(max(middle**2 - square * rest, 0.0))
    limits = sorted(sign * ((middle + side * root) / square - 1.0) for side in (-1.0, 1.0))
    return Interval(change, float(limits[0]), float(limits[1]))


def _rate(events: FloatArray, shown: FloatArray | IntArray) -> tuple[float, FloatArray]:
    """Events per impression (NaN without impressions), and each row's influence, (rows,)."""
    total = float(np.sum(shown))
    if total == 0.0:
        return np.nan, np.zeros(len(events))
    rate = float(np.sum(events)) / total
    influences: FloatArray = (events - rate * shown) / total
    return rate, influences


def quantile_interval(
    values: FloatArray, clusters: IntArray, fraction: float, *, confidence: float = 0.95
) -> Interval:
    """The quantile of `values` (rows,) at `fraction`, with an interval robust to clusters (rows,).

    The limits are the quantiles at the confidence limits of the fraction of values up to the
    quantile (Woodruff 1952). NaN if there is no value.
    """
    if len(values) == 0:
        return Interval(np.nan, -np.inf, np.inf)
    point = float(np.quantile(values, fraction))
    ones = np.ones(len(values))
    below = ratio_interval(values <= point, ones, clusters, confidence=confidence)
    half = (below.high - below.low) / 2.0
    if not np.isfinite(half):
        return Interval(point, -np.inf, np.inf)
    low, high = np.quantile(values, np.clip([fraction - half, fraction + half], 0.0, 1.0))
    return Interval(point, float(low), float(high))
