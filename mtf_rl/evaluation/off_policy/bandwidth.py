"""A kernel's bandwidth, chosen by where intervals stop overlapping."""

from collections.abc import Sequence

import numpy as np

from mtf_rl.core.errors import ConfigError
from mtf_rl.evaluation.intervals import Interval

__all__ = ["slope_choice"]


def slope_choice(intervals: Sequence[Interval]) -> int:
    """SLOPE: place of the last estimate whose interval meets those of all before it.

    Estimates are ordered from the most variance and least bias (the narrowest bandwidth) to the
    least variance: the widest bandwidth is taken at which bias does not show beyond noise. Lepski's
    principle, as in Su, Srinath and Krishnamurthy, "Adaptive estimator selection for off-policy
    evaluation" (ICML 2020), whose intervals are the estimate +- twice its deviation bound. SLOPE++
    (Tucker and Lee, "Improved estimator selection for off-policy evaluation", 2021) orders by the
    intervals' widths, which drops the need for bias that grows with the bandwidth; so does this.

    Args:
        intervals: in any order; they are walked through from the widest to the narrowest.

    Raises:
        ConfigError: if there is no estimate.
    """
    if not intervals:
        raise ConfigError("at least one bandwidth is needed to choose from, got none")
    low, high = -np.inf, np.inf
    order = np.argsort([interval.low - interval.high for interval in intervals], kind="stable")
    chosen = int(order[0])
    for place in map(int, order):
        interval = intervals[place]
        low, high = max(low, interval.low), min(high, interval.high)
        if low > high:
            break
        chosen = place
    return chosen
