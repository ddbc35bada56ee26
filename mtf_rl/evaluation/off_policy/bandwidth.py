"""Selection of a kernel's bandwidth by SLOPE: the last one at which all intervals overlap."""

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

_ESTIMATOR = "request_sn"
_MULTIPLES = (0.5, 1.0, 2.0, 4.0)


def slope_choice(intervals: Sequence[Interval]) -> int:
    """SLOPE: index of the last estimate whose interval overlaps those of all before it.

    Estimates are ordered from high variance and low bias (narrow bandwidth) to low variance. The
    rule selects the widest bandwidth at which the bias is still within the noise.

    Source: Lepski's principle in Su, Srinath and Krishnamurthy, "Adaptive estimator selection for
    off-policy evaluation" (ICML 2020); their intervals are the estimate +- twice its deviation
    bound. As in SLOPE++ (Tucker and Lee, "Improved estimator selection for off-policy evaluation",
    2021), we order by interval width, so the bias need not grow with the bandwidth.

    Args:
        intervals: intervals of the estimates, in any order; they are processed from the widest to
            the narrowest.

    Raises:
        ConfigError: if there is no interval.
    """
    if not intervals:
        raise ConfigError("slope_choice needs at least one interval, got none")
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
        UnknownNameError: if no kernel has this name.
    """
    batch = logged.batch
    centres = policy_actions(policy, batch.observations, action_dim=batch.actions.shape[1])
    return slope_bandwidth_around(logged, centres, kernel=kernel)


def slope_bandwidth_around(
    logged: LoggedSessions, centres: FloatArray, *, kernel: str = "gaussian"
) -> ProductKernel:
    """A kernel whose bandwidths are a selected multiple of Scott's rule.

    `slope_choice` selects among the multiples 0.5, 1, 2 and 4, by the intervals of `request_sn`:
    its weights are not multiplied over a session. A multiple with an effective sample size below
    100 sessions is skipped, except the widest.

    Args:
        logged: the logged sessions.
        centres: the policy's actions at the log's rows, (rows, action_dim).
        kernel: name of the kernel.

    Raises:
        UnknownNameError: if no kernel has this name.
    """
    batch = logged.batch
    start = scott_bandwidth(batch.actions)
    kernels = [ProductKernel(np.minimum(scale * start, 2.0), kernel) for scale in _MULTIPLES]
    kept, intervals = [], []
    for candidate in kernels:
        ratios = log_ratios_of(logged, candidate.log_density(batch.actions, centres))
        inputs = OPEInputs(ratios, logged.rewards, logged.live)
        weights = support_of(_ESTIMATOR, inputs)
        assert weights is not None  # request_sn has weights
        if weights.effective < MIN_SIZE and candidate is not kernels[-1]:
            continue
        kept.append(candidate)
        intervals.append(t_interval(estimate_sum(_ESTIMATOR, inputs)))
    return kept[slope_choice(intervals)]
