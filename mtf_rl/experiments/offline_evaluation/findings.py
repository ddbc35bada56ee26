"""The results of an off-policy evaluation."""

from collections.abc import Mapping
from dataclasses import dataclass

from mtf_rl.core.arrays import FloatArray
from mtf_rl.evaluation.off_policy import (
    Estimate,
    RewardDistribution,
    SupportCheck,
    WeightSupport,
)
from mtf_rl.experiments.offline_evaluation.config import OfflineConfig
from mtf_rl.experiments.offline_evaluation.reference import PRODUCTION

__all__ = ["Finding", "OfflineEvaluation"]


@dataclass(frozen=True)
class Finding:
    """The estimates of one policy by one estimator, in units of session reward."""

    policy: str
    estimator: str
    value: Estimate
    """Session reward of the policy."""
    gain: Estimate
    """Gain over the log's own policies, paired by session; for `simulator`, gain over the log's
    actions in the simulator."""
    over_reference: Estimate
    """Gain over the reference policy: production, or uniform weights."""
    check: SupportCheck
    """Whether the data support the value."""
    weights: WeightSupport | None = None
    """Support of the importance weights; None for an estimator without weights."""
    leverage: float | None = None
    """Leverage of a linear model at the policy's actions; 1 at the log's actions."""
    log_fraction: float | None = None
    """lambda of `composite`: weight of the log's correction of the simulator, in [0, 1]."""


@dataclass(frozen=True)
class OfflineEvaluation:
    """All findings of an off-policy evaluation on a log."""

    config: OfflineConfig
    logged: Estimate
    """Session reward of the log's own policies."""
    sessions: int
    requests: int
    evaluator: str
    """Evaluator that responded in the log."""
    candidates: tuple[str, ...]
    """The given policies, which can be recommended."""
    reference: str
    """The reference policy of `over_reference`."""
    findings: tuple[Finding, ...]
    """Findings on the candidates and on the reference."""
    bandwidths: Mapping[str, FloatArray]
    """Kernel bandwidths by policy, (action_dim,)."""
    distributions: Mapping[str, RewardDistribution]
    """Distributions of session reward, for policies whose session weights support them."""

    def of(self, policy: str, estimator: str) -> Finding:
        """The finding on one policy by one estimator."""
        return next(f for f in self.findings if (f.policy, f.estimator) == (policy, estimator))

    @property
    def policies(self) -> list[str]:
        """Policy names by the ordering estimator, the largest value first."""
        chosen = [f for f in self.findings if f.estimator == self.config.ordering]
        return [f.policy for f in sorted(chosen, key=lambda finding: -finding.value.value)]

    @property
    def has_production(self) -> bool:
        """Whether the reference is production."""
        return self.reference == PRODUCTION

    @property
    def reference_label(self) -> str:
        """The reference in words."""
        return "production" if self.has_production else "uniform weights"
