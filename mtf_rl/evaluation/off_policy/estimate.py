"""An estimated value with its standard error or its bootstrap resamples."""

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
    """Standard error, at least 0; infinite with fewer than 2 sessions."""
    degrees: float = np.inf
    """Degrees of freedom of the standard error, above 0; infinite for a normal error."""
    resamples: FloatArray | None = field(default=None, compare=False, repr=False)
    """The estimate in each bootstrap resample, (resamples,); None without a bootstrap."""

    def interval(self, confidence: float = 0.95) -> Interval:
        """Two-sided confidence interval: percentile bootstrap, or a t-interval without resamples.

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
