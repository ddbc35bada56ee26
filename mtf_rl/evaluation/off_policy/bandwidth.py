"""A kernel's bandwidth, chosen by where intervals stop overlapping."""

from collections.abc import Sequence

import numpy as np

from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.protocols import Policy
from mtf_rl.evaluation.intervals import Interval
from mtf_rl.evaluation.off_policy.estimators import OPEInputs, estimate_sum
from mtf_rl.evaluation.off_policy.kernels import ProductKernel, scott_bandwidth
from mtf_rl.evaluation.off_policy.logged import LoggedSessions
from mtf_rl.evaluation.off_policy.sums import t_interval
from mtf_rl.evaluation.off_policy.support import MIN_SIZE, support_of
from mtf_rl.evaluation.off_policy.targets import log_ratios_of
from mtf_rl.evaluation.policy_actions import policy_actions

__all__ = ["slope_bandwidth", "slope_bandwidth_around", "slope_choice"]

_BY = "request_sn"
_MULTIPLES = (0.5, 1.0, 2.0, 4.0)


def slope_choice(intervals: Sequence[Interval]) -> int:
    """SLOPE: position of the last estimate whose interval meets those of all before it.

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
    for position in map(int, order):
        interval = intervals[position]
        low, high = max(low, interval.low), min(high, interval.high)
        if low > high:
            break
        chosen = position
    return chosen


def slope_bandwidth(
    logged: LoggedSessions, policy: Policy, *, kernel: str = "gaussian"
) -> ProductKernel:
    """`slope_bandwidth_around` the actions of a deterministic policy at the log's rows.

    Raises:
        DataError: if the policy's actions are not finite.
        UnknownNameError: if there is no such kernel.
    """
    batch = logged.batch
    centres = policy_actions(policy, batch.observations, action_dim=batch.actions.shape[1])
    return slope_bandwidth_around(logged, centres, kernel=kernel)


def slope_bandwidth_around(
    logged: LoggedSessions, centres: FloatArray, *, kernel: str = "gaussian"
) -> ProductKernel:
    """The kernel around a policy's actions whose bandwidths are a multiple of Scott's rule.

    `slope_choice` chooses among the multiples 0.5, 1, 2 and 4 by the intervals of `request_sn`,
    whose weights do not multiply up over a session. A multiple with an effective size below 100
    sessions has no useful interval and is left out; the widest is kept in any case.

    Args:
        logged: the log.
        centres: what the policy does at its rows, (rows, action_dim).
        kernel: name of the kernel.

    Raises:
        UnknownNameError: if there is no such kernel.
    """
    batch = logged.batch
    start = scott_bandwidth(batch.actions)
    kernels = [ProductKernel(np.minimum(scale * start, 2.0), kernel) for scale in _MULTIPLES]
    kept, intervals = [], []
    for candidate in kernels:
        ratios = log_ratios_of(logged, candidate.log_density(batch.actions, centres))
        inputs = OPEInputs(ratios, logged.rewards, logged.live)
        weights = support_of(_BY, inputs)
        assert weights is not None  # request_sn weighs
        if weights.effective < MIN_SIZE and candidate is not kernels[-1]:
            continue
        kept.append(candidate)
        intervals.append(t_interval(estimate_sum(_BY, inputs)))
    return kept[slope_choice(intervals)]
