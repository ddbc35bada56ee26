"""What logged sessions tell of a policy that did not serve them."""

from mtf_rl.evaluation.off_policy.bandwidth import slope_bandwidth, slope_choice
from mtf_rl.evaluation.off_policy.composite import Composite, composite_of
from mtf_rl.evaluation.off_policy.distribution import RewardDistribution, reward_distribution
from mtf_rl.evaluation.off_policy.estimators import ESTIMATORS, Estimator, OPEInputs, estimate_sum
from mtf_rl.evaluation.off_policy.kernels import KERNELS, ProductKernel, scott_bandwidth
from mtf_rl.evaluation.off_policy.logged import LoggedSessions
from mtf_rl.evaluation.off_policy.model import ModelConfig, SessionModel, inputs_of
from mtf_rl.evaluation.off_policy.selection import rank_correlation, regret, sharpe_ratio
from mtf_rl.evaluation.off_policy.sums import (
    RatioSum,
    Resamples,
    bernstein_interval,
    bootstrap_intervals,
    percentile_intervals,
    t_interval,
)
from mtf_rl.evaluation.off_policy.support import (
    Support,
    effective_size,
    leverage_verdict,
    support_of,
)
from mtf_rl.evaluation.off_policy.targets import DensityTarget, SmoothedTarget, log_ratios
from mtf_rl.evaluation.off_policy.views import ActionView, Direction, as_it_is, view_of

__all__ = [
    "ESTIMATORS",
    "KERNELS",
    "ActionView",
    "Composite",
    "DensityTarget",
    "Direction",
    "Estimator",
    "LoggedSessions",
    "ModelConfig",
    "OPEInputs",
    "ProductKernel",
    "RatioSum",
    "Resamples",
    "RewardDistribution",
    "SessionModel",
    "SmoothedTarget",
    "Support",
    "as_it_is",
    "bernstein_interval",
    "bootstrap_intervals",
    "composite_of",
    "effective_size",
    "estimate_sum",
    "inputs_of",
    "leverage_verdict",
    "log_ratios",
    "percentile_intervals",
    "rank_correlation",
    "regret",
    "reward_distribution",
    "scott_bandwidth",
    "sharpe_ratio",
    "slope_bandwidth",
    "slope_choice",
    "support_of",
    "t_interval",
    "view_of",
]
