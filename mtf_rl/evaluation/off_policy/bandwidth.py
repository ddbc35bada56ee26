"""A kernel's bandwidth, chosen by where intervals stop overlapping."""

from collections.abc import Sequence

import numpy as np

from mtf_rl.core.errors import ConfigError
from mtf_rl.evaluation.intervals import Interval

__all__ = ["slope_choice"]


def slope_choice(intervals: Sequence[Interval]) -> int:
    """SLOPE: place of the last estimate whose interval meets those of all before it.

    Estimates are ordered from the least variance and most bias (the widest bandwidth) to the most
    variance; the widths of their intervals must be of the noise alone. Lepski's principle, as in
    Su, Srinath and Krishnamurthy, "Adaptive estimator selection for off-policy evaluation" (ICML
    2020); SLOPE++ (Tucker and Lee, 2021) drops the need for monotone bias, and starts, as here,
    from the estimate of least variance.

    Raises:
        ConfigError: if there is no estimate.
    """
    if not intervals:
        raise ConfigError("at least one bandwidth is needed to choose from, got none")
    low, high = -np.inf, np.inf
    chosen = 0
    for place, interval in enumerate(intervals):
        low, high = max(low, interval.low), min(high, interval.high)
        if low > high:
            break
        chosen = place
    return chosen
