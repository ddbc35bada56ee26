"""What logged sessions tell of a policy that did not serve them."""

from mtf_rl.evaluation.off_policy.bandwidth import slope_choice
from mtf_rl.evaluation.off_policy.distribution import RewardDistribution, reward_distribution
from mtf_rl.evaluation.off_policy.estimators import ESTIMATORS, Estimator, Evidence, estimate_sum
from mtf_rl.evaluation.off_policy.kernels import KERNELS, ProductKernel, scott_bandwidth
from mtf_rl.evaluation.off_policy.logged import LoggedSessions
from mtf_rl.evaluation.off_policy.model import ModelConfig, evidence_of
from mtf_rl.evaluation.off_policy.selection import rank_correlation, regret, sharpe_ratio
from mtf_rl.evaluation.off_policy.sums import (
    RatioSum,
    bernstein_interval,
    bootstrap_intervals,
    t_interval,
)
from mtf_rl.evaluation.off_policy.support import Support, effective_size, support_of
from mtf_rl.evaluation.off_policy.targets import DensityTarget, SmoothedTarget, log_ratios

__all__ = [
    "ESTIMATORS",
    "KERNELS",
    "DensityTarget",
    "Estimator",
    "Evidence",
    "LoggedSessions",
    "ModelConfig",
    "ProductKernel",
    "RatioSum",
    "RewardDistribution",
    "SmoothedTarget",
    "Support",
    "bernstein_interval",
    "bootstrap_intervals",
    "effective_size",
    "estimate_sum",
    "evidence_of",
    "log_ratios",
    "rank_correlation",
    "regret",
    "reward_distribution",
    "scott_bandwidth",
    "sharpe_ratio",
    "slope_choice",
    "support_of",
    "t_interval",
]
