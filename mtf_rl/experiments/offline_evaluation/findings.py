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
    """The estimates of one policy by one estimator, in session reward."""

    policy: str
    estimator: str
    value: Estimate
    """Session reward of the policy."""
    gain: Estimate
    """Gain over the log's own policies, paired by session; of `simulator`, over the log's actions
    in the simulator."""
    over_reference: Estimate
    """Gain over the reference policy: production, or uniform weights."""
    check: SupportCheck
    """Whether the data support the value."""
    weights: WeightSupport | None = None
    """Of the importance weights; None for an estimator without weights."""
    leverage: float | None = None
    """Of a linear model at the policy's actions; 1 at the log's."""
    log_fraction: float | None = None
    """lambda of `composite`: weight of the log's departure from the simulator, in [0, 1]."""


@dataclass(frozen=True)
class OfflineEvaluation:
    """All findings on a log."""

    config: OfflineConfig
    logged: Estimate
    """Session reward of the log's own policies."""
    sessions: int
    requests: int
    evaluator: str
    """Who answered in the log."""
    candidates: tuple[str, ...]
    """The policies that were given, which may be recommended."""
    reference: str
    """The policy that `over_reference` compares with."""
    findings: tuple[Finding, ...]
    """Of the candidates, and of the reference."""
    bandwidths: Mapping[str, FloatArray]
    """Of the kernel, by policy, (action_dim,)."""
    distributions: Mapping[str, RewardDistribution]
    """Of session reward, by policy, where the weights of whole sessions support it."""

    def of(self, policy: str, estimator: str) -> Finding:
        """One finding."""
        return next(
            found
            for found in self.findings
            if (found.policy, found.estimator) == (policy, estimator)
        )

    @property
    def policies(self) -> list[str]:
        """Names by the estimator that orders policies, the largest value first."""
        chosen = [f for f in self.findings if f.estimator == self.config.ordering]
        return [f.policy for f in sorted(chosen, key=lambda found: -found.value.value)]

    @property
    def has_production(self) -> bool:
        """Whether the reference is production."""
        return self.reference == PRODUCTION

    @property
    def reference_label(self) -> str:
        """The reference in a sentence."""
        return "production" if self.has_production else "uniform weights"
