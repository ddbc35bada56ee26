"""Off-policy evaluation: estimate the value of policies from sessions served by other policies."""

from typing import TYPE_CHECKING

from mtf_rl.core.lazy import lazy_names

if TYPE_CHECKING:
    from mtf_rl.evaluation.off_policy.bandwidth import (
        slope_bandwidth,
        slope_bandwidth_around,
        slope_choice,
    )
    from mtf_rl.evaluation.off_policy.composite import Composite, composite_of
    from mtf_rl.evaluation.off_policy.config import ModelConfig
    from mtf_rl.evaluation.off_policy.distribution import RewardDistribution, reward_distribution
    from mtf_rl.evaluation.off_policy.estimate import Estimate
    from mtf_rl.evaluation.off_policy.estimators import (
        ESTIMATORS,
        Estimator,
        OPEInputs,
        Weighting,
        estimate_sum,
    )
    from mtf_rl.evaluation.off_policy.kernels import KERNELS, ProductKernel, scott_bandwidth
    from mtf_rl.evaluation.off_policy.logged import LoggedSessions
    from mtf_rl.evaluation.off_policy.model import SessionModel, inputs_of
    from mtf_rl.evaluation.off_policy.selection import rank_correlation, regret, sharpe_ratio
    from mtf_rl.evaluation.off_policy.simulator import (
        PolicyReplay,
        SampleMeans,
        SimulatorComparison,
        SimulatorEstimate,
        composite_estimates,
        corrected_estimates,
        scaled_estimates,
        simulator_estimates,
    )
    from mtf_rl.evaluation.off_policy.sums import (
        RatioSum,
        Resamples,
        bernstein_interval,
        bootstrap_intervals,
        bootstrapped,
        mean_estimate,
        t_interval,
    )
    from mtf_rl.evaluation.off_policy.support import (
        Support,
        SupportCheck,
        WeightSupport,
        effective_size,
        leverage_check,
        support_of,
        weight_support,
    )
    from mtf_rl.evaluation.off_policy.targets import (
        DensityTarget,
        SmoothedTarget,
        log_ratios,
        log_ratios_of,
    )
    from mtf_rl.evaluation.off_policy.views import ActionView, Direction, as_it_is, view_of

__all__ = [
    "ESTIMATORS",
    "KERNELS",
    "ActionView",
    "Composite",
    "DensityTarget",
    "Direction",
    "Estimate",
    "Estimator",
    "LoggedSessions",
    "ModelConfig",
    "OPEInputs",
    "PolicyReplay",
    "ProductKernel",
    "RatioSum",
    "Resamples",
    "RewardDistribution",
    "SampleMeans",
    "SessionModel",
    "SimulatorComparison",
    "SimulatorEstimate",
    "SmoothedTarget",
    "Support",
    "SupportCheck",
    "WeightSupport",
    "Weighting",
    "as_it_is",
    "bernstein_interval",
    "bootstrap_intervals",
    "bootstrapped",
    "composite_estimates",
    "composite_of",
    "corrected_estimates",
    "effective_size",
    "estimate_sum",
    "inputs_of",
    "leverage_check",
    "log_ratios",
    "log_ratios_of",
    "mean_estimate",
    "rank_correlation",
    "regret",
    "reward_distribution",
    "scaled_estimates",
    "scott_bandwidth",
    "sharpe_ratio",
    "simulator_estimates",
    "slope_bandwidth",
    "slope_bandwidth_around",
    "slope_choice",
    "support_of",
    "t_interval",
    "view_of",
    "weight_support",
]

__getattr__ = lazy_names(__name__, __file__)
