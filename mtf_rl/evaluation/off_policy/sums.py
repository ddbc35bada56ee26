"""An estimate as a sum of ratios of means over sessions, and its intervals."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.errors import ConfigError
from mtf_rl.evaluation.intervals import Interval
from mtf_rl.evaluation.off_policy.estimate import Estimate

__all__ = [
    "RatioSum",
    "Resamples",
    "bernstein_interval",
    "bootstrap_intervals",
    "bootstrapped",
    "mean_estimate",
    "t_interval",
]

_RESAMPLES_AT_ONCE = 50


@dataclass(frozen=True)
class RatioSum:
    """Sum over columns c of F_c (sum_i numerators[i, c]) / (sum_i denominators[i, c]).

    Index i runs over sessions. Denominators are 1 for a plain mean, and the weights for a
    self-normalised one. F_c is the mean of the column's factors, or 1 without factors. A column
    whose denominators sum to 0 contributes 0.
    """

    numerators: FloatArray  # (sessions, columns)
    denominators: FloatArray | None  # (sessions, columns); None for ones
    factors: FloatArray | None = None  # (sessions, columns); None for ones

    @classmethod
    def mean(cls, values: FloatArray) -> "RatioSum":
        """The plain mean of values (sessions,)."""
        return cls(values[:, None], None)

    @property
    def value(self) -> float:
        """The estimate."""
        return float(self.values.sum())

    @cached_property
    def values(self) -> FloatArray:
        """The estimate by column, (columns,)."""
        return self._by_column * self._means

    @cached_property
    def influence(self) -> FloatArray:
        """Each session's contribution, (sessions,); their mean is the estimate to first order."""
        sums: FloatArray = self.influences.sum(axis=1)
        return sums

    @property
    def influences(self) -> FloatArray:
        """Each session's contribution by column, (sessions, columns).

        value_c + F_c (numerator - R_c denominator) / mean denominator + R_c (factor - F_c), the
        linearisation of a ratio R_c times a mean F_c (Cochran, Sampling Techniques, section 6.3).
        For a plain mean, it is the session's value.
        """
        if self.denominators is None and self.factors is None:
            return self.numerators
        count, ratios, means = len(self.numerators), self._by_column, self._means
        denominators = _filled(self, self.denominators)
        bottoms = denominators.sum(axis=0)
        moved = self.numerators - ratios * denominators
        # A single division: the sum of weights may be near the smallest float.
        np.divide(moved, bottoms, out=moved, where=bottoms != 0.0)
        moved[:, bottoms == 0.0] = 0.0
        moved *= means * count
        moved += self.values
        if self.factors is not None:
            moved += (self.factors - means) * ratios
        return moved

    def estimate(self, *, less: FloatArray | None = None) -> Estimate:
        """The estimate, with the standard error of its influences and n - 1 degrees of freedom.

        Args:
            less: values of the same sessions, (sessions,); their mean is subtracted, paired by
                session.
        """
        influence, value = self.influence, self.value
        if less is not None:
            influence, value = influence - less, value - float(less.mean())
        return replace(mean_estimate(influence), value=value)

    def plus(self, other: "RatioSum") -> "RatioSum":
        """The sum of two estimates of the same sessions."""
        return RatioSum(
            np.hstack([self.numerators, other.numerators]),
            _joined(self, other, "denominators"),
            _joined(self, other, "factors"),
        )

    @cached_property
    def _by_column(self) -> FloatArray:
        tops = self.numerators.sum(axis=0)
        count = np.full(len(tops), float(len(self.numerators)))
        bottoms = count if self.denominators is None else self.denominators.sum(axis=0)
        return _ratios(tops, bottoms)

    @cached_property
    def _means(self) -> FloatArray:
        """Mean factor of each column, (columns,)."""
        if self.factors is None:
            return np.ones(self.numerators.shape[1])
        means: FloatArray = self.factors.mean(axis=0)
        return means


def _joined(left: RatioSum, right: RatioSum, field: str) -> FloatArray | None:
    first, second = getattr(left, field), getattr(right, field)
    if first is None and second is None:
        return None
    return np.hstack([_filled(left, first), _filled(right, second)])


def _filled(part: RatioSum, values: FloatArray | None) -> FloatArray:
    return np.ones_like(part.numerators) if values is None else values


def _ratios(tops: FloatArray, bottoms: FloatArray) -> FloatArray:
    ratios = np.zeros_like(tops)
    np.divide(tops, bottoms, out=ratios, where=bottoms != 0.0)
    return ratios


def mean_estimate(values: FloatArray) -> Estimate:
    """The mean of values (sessions,), with its standard error for independent sessions."""
    count, mean = len(values), float(values.mean())
    if count < 2:
        return Estimate(mean, np.inf)
    return Estimate(mean, float(values.std(ddof=1) / np.sqrt(count)), count - 1)


def t_interval(
    estimate: RatioSum, *, less: FloatArray | None = None, confidence: float = 0.95
) -> Interval:
    """The t-interval of `RatioSum.estimate`, two-sided.

    Args:
        estimate: the estimate.
        less: values of the same sessions, (sessions,); their mean is subtracted, paired by
            session.
        confidence: nominal coverage, in (0, 1).
    """
    return estimate.estimate(less=less).interval(confidence)


def bernstein_interval(
    values: FloatArray, *, low: float, high: float, confidence: float = 0.95
) -> Interval:
    """The mean of values (sessions,) with an empirical Bernstein interval.

    Half-width sqrt(2 var log(4 / a) / n) + 7 (high - low) log(4 / a) / (3 (n - 1)), a = 1 -
    confidence (Maurer and Pontil, COLT 2009, Theorem 4, two-sided). It has its coverage at every
    n, and scales with the range [low, high], which must be fixed before the data are seen.

    Raises:
        ConfigError: if a value lies outside [low, high].
    """
    if values.min() < low or values.max() > high:
        raise ConfigError(
            f"all values must be in the range [{low:g}, {high:g}], got values from"
            f" {values.min():g} to {values.max():g}; give a wider range"
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
    """Percentile bootstrap intervals of several estimates of the same sessions."""
    drawn = Resamples.draw(len(estimates[0].numerators), rng, resamples=resamples)
    return [estimate.interval(confidence) for estimate in drawn.estimates(estimates)]


@dataclass(frozen=True)
class Resamples:
    """Bootstrap resamples of the sessions of a log."""

    counts: NDArray[np.uint8]  # (resamples, sessions), how often each session was drawn

    @classmethod
    def draw(cls, sessions: int, rng: np.random.Generator, *, resamples: int) -> "Resamples":
        """Draw with replacement. A count above 255 would overflow; its probability is 10^-500."""
        counts = np.empty((resamples, sessions), dtype=np.uint8)
        for row in counts:
            row[:] = np.bincount(rng.integers(sessions, size=sessions), minlength=sessions)
        return cls(counts)

    def estimates(self, sums: Sequence[RatioSum]) -> list[Estimate]:
        """Estimates with their bootstrap standard errors and resamples."""
        return bootstrapped(np.array([part.value for part in sums]), self.draws(sums))

    def draws(self, estimates: Sequence[RatioSum]) -> FloatArray:
        """The estimates in each resample, (resamples, estimates).

        Self-normalised estimates are normalised within each resample. One matrix product computes
        all estimates.
        """
        count = self.counts.shape[1]
        columns = _Columns()
        layouts = [columns.of(part) for part in estimates]
        matrix = np.hstack(columns.parts)  # (sessions, columns)
        drawn = np.empty((len(self.counts), len(estimates)))
        for start in range(0, len(self.counts), _RESAMPLES_AT_ONCE):
            rows = slice(start, start + _RESAMPLES_AT_ONCE)
            sums = self.counts[rows].astype(np.float64) @ matrix  # (resamples, columns)
            for position, layout in enumerate(layouts):
                drawn[rows, position] = layout.values(sums, count)
        return drawn

    def means(self, values: FloatArray) -> FloatArray:
        """Means of values (sessions,) in each resample, (resamples,)."""
        return self.draws([RatioSum.mean(values)])[:, 0]


def bootstrapped(values: FloatArray, drawn: FloatArray) -> list[Estimate]:
    """Estimates from values (estimates,) and their resamples (resamples, estimates)."""
    errors = drawn.std(axis=0, ddof=1)
    return [
        Estimate(float(value), float(error), resamples=column)
        for value, error, column in zip(values, errors, drawn.T, strict=True)
    ]


@dataclass(frozen=True)
class _Layout:
    """Positions of one estimate's columns in the common matrix."""

    numerators: slice
    denominators: slice | None
    factors: slice | None

    def values(self, sums: FloatArray, count: int) -> FloatArray:
        """The estimate of each resample, (resamples,)."""
        tops = sums[:, self.numerators]
        bottoms = (
            np.full(tops.shape, float(count))
            if self.denominators is None
            else sums[:, self.denominators]
        )
        ratios = _ratios(tops, bottoms)
        if self.factors is not None:
            ratios *= sums[:, self.factors] / count
        totals: FloatArray = ratios.sum(axis=1)
        return totals


class _Columns:
    """Columns of all estimates side by side; an array used by several estimates occurs once."""

    def __init__(self) -> None:
        self.parts: list[FloatArray] = []
        self._positions: dict[int, slice] = {}
        self._width = 0

    def of(self, part: RatioSum) -> _Layout:
        """Add an estimate's columns and return their positions."""
        denominators = None if part.denominators is None else self._put(part.denominators)
        factors = None if part.factors is None else self._put(part.factors)
        return _Layout(self._put(part.numerators), denominators, factors)

    def _put(self, values: FloatArray) -> slice:
        if id(values) not in self._positions:
            stop = self._width + values.shape[1]
            self._positions[id(values)] = slice(self._width, stop)
            self.parts.append(values)
            self._width = stop
        return self._positions[id(values)]
