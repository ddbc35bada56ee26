"""An estimate as a sum of ratios of means over sessions, and its intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.errors import ConfigError
from mtf_rl.evaluation.intervals import Interval

__all__ = ["RatioSum", "bernstein_interval", "bootstrap_intervals", "t_interval"]

_RESAMPLES_AT_ONCE = 50


@dataclass(frozen=True)
class RatioSum:
    """sum over columns c of (sum_i numerators[i, c]) / (sum_i denominators[i, c]), i sessions.

    A plain mean has denominators of 1; a self-normalised one has its weights there. A column whose
    weights are all 0 counts 0.
    """

    numerators: FloatArray  # (sessions, columns)
    denominators: FloatArray | None  # (sessions, columns); None for ones

    @classmethod
    def mean(cls, values: FloatArray) -> "RatioSum":
        """The mean of (sessions,)."""
        return cls(values[:, None], None)

    @property
    def value(self) -> float:
        """The estimate."""
        return float(_ratios(*self._sums()).sum())

    @property
    def influence(self) -> FloatArray:
        """What each session adds, (sessions,): the estimate is about the mean of these.

        value + sum_c (numerator - R_c denominator) / mean denominator, the linearisation of a ratio
        (Cochran, Sampling Techniques, section 6.3). For a plain mean it is the value itself.
        """
        if self.denominators is None:
            sums: FloatArray = self.numerators.sum(axis=1)
            return sums
        tops, bottoms = self._sums()
        ratios = _ratios(tops, bottoms)
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = np.where(bottoms != 0.0, len(self.numerators) / bottoms, 0.0)
        residual = (self.numerators - ratios * self.denominators) * scale
        total: FloatArray = ratios.sum() + residual.sum(axis=1)
        return total

    def scaled(self, share: float) -> "RatioSum":
        """`share` times the estimate."""
        return RatioSum(self.numerators * share, self.denominators)

    def plus(self, other: "RatioSum") -> "RatioSum":
        """The sum of two estimates of the same sessions."""
        if self.denominators is None and other.denominators is None:
            return RatioSum(np.hstack([self.numerators, other.numerators]), None)
        return RatioSum(
            np.hstack([self.numerators, other.numerators]),
            np.hstack([_filled(self), _filled(other)]),
        )

    def _sums(self) -> tuple[FloatArray, FloatArray]:
        tops = self.numerators.sum(axis=0)
        count = np.full(len(tops), float(len(self.numerators)))
        return tops, count if self.denominators is None else self.denominators.sum(axis=0)


def _filled(part: RatioSum) -> FloatArray:
    if part.denominators is None:
        return np.ones_like(part.numerators)
    return part.denominators


def _ratios(tops: FloatArray, bottoms: FloatArray) -> FloatArray:
    ratios = np.zeros_like(tops)
    np.divide(tops, bottoms, out=ratios, where=bottoms != 0.0)
    return ratios


def t_interval(estimate: RatioSum, *, confidence: float = 0.95) -> Interval:
    """Value +- t_{n-1} times the deviation of the influences / sqrt n, two-sided."""
    influence = estimate.influence
    count = len(influence)
    if count < 2:
        return Interval(estimate.value, -np.inf, np.inf)
    half = stats.t.ppf(0.5 + confidence / 2.0, count - 1) * influence.std(ddof=1) / np.sqrt(count)
    return Interval(estimate.value, estimate.value - float(half), estimate.value + float(half))


def bernstein_interval(
    values: FloatArray, *, low: float, high: float, confidence: float = 0.95
) -> Interval:
    """The mean of (sessions,), each known beforehand to lie in [low, high].

    Half-width sqrt(2 var log(4 / a) / n) + 7 (high - low) log(4 / a) / (3 (n - 1)), a = 1 -
    confidence (Maurer and Pontil, COLT 2009, Theorem 4, for both sides). It scales with the range,
    whatever the sign of the values, and holds for every n.

    Raises:
        ConfigError: if a value lies outside the range, which then was not one.
    """
    if values.min() < low or values.max() > high:
        raise ConfigError(
            f"the range given beforehand must hold all values, got [{low:g}, {high:g}] for values"
            f" from {values.min():g} to {values.max():g}"
        )
    count, mean = len(values), float(values.mean())
    if count < 2:
        return Interval(mean, low, high)
    log = np.log(4.0 / (1.0 - confidence))
    half = np.sqrt(2.0 * values.var(ddof=1) * log / count)
    half += 7.0 * (high - low) * log / (3.0 * (count - 1))
    return Interval(mean, max(low, mean - float(half)), min(high, mean + float(half)))


def bootstrap_intervals(
    estimates: Sequence[RatioSum],
    rng: np.random.Generator,
    *,
    resamples: int = 1_000,
    confidence: float = 0.95,
) -> list[Interval]:
    """Percentile intervals over resampled sessions, the same for all estimates of these sessions.

    Each resample draws as many sessions as there are, and normalises anew. One product of counts
    and columns serves all estimates.
    """
    count = len(estimates[0].numerators)
    widths = [part.numerators.shape[1] for part in estimates]
    # Columns that every estimate needs, side by side: numerators, then denominators.
    columns = np.hstack(
        [part.numerators for part in estimates]
        + [part.denominators for part in estimates if part.denominators is not None]
    )
    drawn = np.empty((resamples, len(estimates)))
    for start in range(0, resamples, _RESAMPLES_AT_ONCE):
        stop = min(start + _RESAMPLES_AT_ONCE, resamples)
        counts = _counts(rng, stop - start, count)
        sums = counts @ columns  # (resamples, columns)
        drawn[start:stop] = _values(sums, estimates, widths, count)
    edge = 0.5 - confidence / 2.0
    limits = np.quantile(drawn, [edge, 1.0 - edge], axis=0)
    return [
        Interval(part.value, float(low), float(high))
        for part, low, high in zip(estimates, *limits, strict=True)
    ]


def _counts(rng: np.random.Generator, resamples: int, count: int) -> FloatArray:
    """How often each session is drawn, (resamples, sessions)."""
    drawn = rng.integers(count, size=(resamples, count))
    offsets = np.arange(resamples)[:, None] * count
    flat = np.bincount((drawn + offsets).ravel(), minlength=resamples * count)
    return flat.reshape(resamples, count).astype(np.float64)


def _values(
    sums: FloatArray, estimates: Sequence[RatioSum], widths: Sequence[int], count: int
) -> FloatArray:
    """The estimates of each resample, (resamples, estimates)."""
    top, bottom = 0, int(np.sum(widths))
    values = np.empty((len(sums), len(estimates)))
    for place, (part, width) in enumerate(zip(estimates, widths, strict=True)):
        tops = sums[:, top : top + width]
        top += width
        if part.denominators is None:
            values[:, place] = tops.sum(axis=1) / count
            continue
        values[:, place] = _ratios(tops, sums[:, bottom : bottom + width]).sum(axis=1)
        bottom += width
    return values
