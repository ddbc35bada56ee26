"""An estimated number with its standard error; its interval is made where it is shown."""

from dataclasses import dataclass, field

import numpy as np

from mtf_rl.core.arrays import FloatArray
from mtf_rl.evaluation.intervals import Interval, t_quantile

__all__ = ["Estimate"]


@dataclass(frozen=True)
class Estimate:
    """An estimate and its uncertainty."""

    value: float
    stderr: float
    """Standard error, at least 0; infinite if there are too few sessions to measure it."""
    degrees: float = np.inf
    """Degrees of freedom of the standard error, above 0; infinite for a normal error."""
    resamples: FloatArray | None = field(default=None, compare=False, repr=False)
    """The estimate in each bootstrap resample, (resamples,), where it was bootstrapped."""

    def interval(self, confidence: float = 0.95) -> Interval:
        """Two-sided confidence interval: percentiles of the resamples, or else a t-interval.

        Args:
            confidence: nominal coverage, in (0, 1).
        """
        edge = 0.5 - confidence / 2.0
        if self.resamples is not None:
            low, high = np.quantile(self.resamples, [edge, 1.0 - edge])
            return Interval(self.value, float(low), float(high))
        if not np.isfinite(self.stderr):
            return Interval(self.value, -np.inf, np.inf)
        half = t_quantile(1.0 - edge, self.degrees) * self.stderr
        return Interval(self.value, self.value - half, self.value + half)
