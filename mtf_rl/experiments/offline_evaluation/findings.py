"""What an offline evaluation found."""

from collections.abc import Mapping
from dataclasses import dataclass

from mtf_rl.core.arrays import FloatArray
from mtf_rl.evaluation import Interval
from mtf_rl.evaluation.off_policy import RewardDistribution, Support
from mtf_rl.experiments.offline_evaluation.config import OfflineConfig

__all__ = ["Finding", "OfflineEvaluation"]


@dataclass(frozen=True)
class Finding:
    """What one estimator says of one policy."""

    policy: str
    estimator: str
    value: Interval
    """Session reward."""
    gain: Interval
    """Over what the log's own policies earned in the same sessions; of `simulator`, over what the
    log's actions earn there."""
    verdict: str
    """Whether the data support it, with the figure that says so."""
    support: Support | None = None
    """Of the weights; None for what weighs nothing."""
    leverage: float | None = None
    """Of a linear model at the policy's actions, 1 at the log's."""

    @property
    def supported(self) -> bool:
        """Whether the verdict does not refuse it."""
        return not self.verdict.startswith("not supported")


@dataclass(frozen=True)
class OfflineEvaluation:
    """All findings on a log."""

    config: OfflineConfig
    logged: Interval
    """Session reward of the log's own policies."""
    sessions: int
    requests: int
    evaluator: str
    """Who answered in the log."""
    findings: tuple[Finding, ...]
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
        """Names, by the estimator that recommends, or the first; the best first."""
        chosen = [f for f in self.findings if f.estimator == self.config.ordering]
        return [f.policy for f in sorted(chosen, key=lambda found: -found.value.mean)]
