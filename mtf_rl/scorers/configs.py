"""Settings of the scorers' models; the model classes are imported only when a model is built."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from typing_extensions import override

from mtf_rl.core.errors import ConfigError
from mtf_rl.core.ranges import check_at_least, check_choice, check_proper_fraction
from mtf_rl.core.tasks import KUAIRAND_TASKS, TaskSet
from mtf_rl.scorers.chains import Chain

if TYPE_CHECKING:
    from mtf_rl.data import FeatureLayout
    from mtf_rl.scorers.aitm import AITM
    from mtf_rl.scorers.entire_space import EntireSpace, RiskWeights
    from mtf_rl.scorers.mmoe import MMoE
    from mtf_rl.scorers.model import Network, ScorerModel
    from mtf_rl.scorers.ple import PLE
    from mtf_rl.scorers.sharing import SharedBottom, SingleTask

__all__ = [
    "AITMConfig",
    "CGCConfig",
    "ESCM2DRConfig",
    "ESCM2IPSConfig",
    "ESMMConfig",
    "MMoEConfig",
    "ModelConfig",
    "MultiDRConfig",
    "MultiIPWConfig",
    "OMoEConfig",
    "PLEConfig",
    "SharedBottomConfig",
    "SingleTaskConfig",
    "WatchHeadName",
    "check_widths",
]

WatchHeadName = Literal["share", "log_normal", "survival"]
"""The keys of `watch_heads.WATCH_HEADS`."""


def check_widths(name: str, widths: tuple[int, ...], *, at_least: int) -> None:
    """Raise `ConfigError` if a width is below 1, or there are fewer than `at_least` layers."""
    if len(widths) < at_least:
        raise ConfigError(f"{name} must have at least {at_least} layer, got {widths}")
    if any(width < 1 for width in widths):
        raise ConfigError(f"every width in {name} must be at least 1, got {widths}")


@dataclass(frozen=True)
class ModelConfig(ABC):
    """Settings that all scorer models have."""

    embedding_dim: int = 8
    """Width of each categorical field's embedding, at least 1."""

    dense_bins: int = 8
    """Number of quantile bins for the encoding of each dense column, at least 0; 0 turns it off."""

    tower_widths: tuple[int, ...] = (32,)
    """Widths of the hidden layers of a task's tower, each at least 1; may be empty."""

    dropout: float = 0.1
    """Fraction of hidden units dropped while fitting, in [0, 1)."""

    watch_head: WatchHeadName = "share"
    """Model of play time: `share` (fraction of the cap), `log_normal` or `survival`."""

    members: int = 1
    """Number of models in the ensemble, at least 1; their logits are averaged."""

    def __post_init__(self) -> None:
        check_at_least("embedding_dim", self.embedding_dim, 1)
        check_widths("tower_widths", self.tower_widths, at_least=0)
        check_proper_fraction("dropout", self.dropout)
        check_at_least("dense_bins", self.dense_bins, 0)
        check_at_least("members", self.members, 1)
        check_choice("watch head", self.watch_head, get_args(WatchHeadName))

    def build(self, layout: "FeatureLayout", tasks: TaskSet = KUAIRAND_TASKS) -> "ScorerModel":
        """A newly initialised model of these tasks; uses torch's global generator.

        Raises:
            ConfigError: if the model needs a nested pair that the tasks do not declare.
        """
        from mtf_rl.scorers.model import Ensemble

        if self.members == 1:
            return self.build_member(layout, tasks)
        return Ensemble([self.build_member(layout, tasks) for _ in range(self.members)])

    @abstractmethod
    def build_member(self, layout: "FeatureLayout", tasks: TaskSet) -> "Network":
        """One newly initialised member of the ensemble."""


@dataclass(frozen=True)
class MMoEConfig(ModelConfig):
    """Sizes of an MMoE scorer."""

    experts: int = 4
    """Number of experts that all tasks share, at least 1."""

    expert_widths: tuple[int, ...] = (64, 32)
    """Widths of an expert's layers, each at least 1, at least one layer."""

    gate_dropout: float = 0.0
    """Probability that a gate drops an expert in a training step, in [0, 1)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("experts", self.experts, 1)
        check_widths("expert_widths", self.expert_widths, at_least=1)
        check_proper_fraction("gate_dropout", self.gate_dropout)

    @override
    def build_member(self, layout: "FeatureLayout", tasks: TaskSet) -> "MMoE":
        from mtf_rl.scorers.mmoe import MMoE

        return MMoE(self, layout, tasks, gates=len(tasks))


@dataclass(frozen=True)
class OMoEConfig(MMoEConfig):
    """Sizes of an MMoE scorer whose tasks share one gate."""

    @override
    def build_member(self, layout: "FeatureLayout", tasks: TaskSet) -> "MMoE":
        from mtf_rl.scorers.mmoe import MMoE

        return MMoE(self, layout, tasks, gates=1)


@dataclass(frozen=True)
class CGCConfig(ModelConfig):
    """Sizes of a CGC scorer: PLE with one level."""

    task_experts: int = 1
    """Number of experts of each task at each level, at least 1."""

    shared_experts: int = 2
    """Number of shared experts at each level, at least 1."""

    expert_widths: tuple[int, ...] = (64, 32)
    """Widths of an expert's layers, each at least 1, at least one layer."""

    gate_dropout: float = 0.0
    """Probability that a gate drops an expert in a training step, in [0, 1)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("task_experts", self.task_experts, 1)
        check_at_least("shared_experts", self.shared_experts, 1)
        check_widths("expert_widths", self.expert_widths, at_least=1)
        check_proper_fraction("gate_dropout", self.gate_dropout)

    @override
    def build_member(self, layout: "FeatureLayout", tasks: TaskSet) -> "PLE":
        from mtf_rl.scorers.ple import PLE

        return PLE(self, layout, tasks, levels=1)


@dataclass(frozen=True)
class PLEConfig(CGCConfig):
    """Sizes of a PLE scorer."""

    levels: int = 2
    """Number of extraction levels, at least 1; 1 is CGC."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("levels", self.levels, 1)

    @override
    def build_member(self, layout: "FeatureLayout", tasks: TaskSet) -> "PLE":
        from mtf_rl.scorers.ple import PLE

        return PLE(self, layout, tasks, levels=self.levels)


@dataclass(frozen=True)
class SharedBottomConfig(ModelConfig):
    """Sizes of a shared-bottom scorer."""

    trunk_widths: tuple[int, ...] = (128, 64)
    """Widths of the trunk's layers, each at least 1, at least one layer."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_widths("trunk_widths", self.trunk_widths, at_least=1)

    @override
    def build_member(self, layout: "FeatureLayout", tasks: TaskSet) -> "SharedBottom":
        from mtf_rl.scorers.sharing import SharedBottom

        return SharedBottom(self, layout, tasks)


@dataclass(frozen=True)
class SingleTaskConfig(ModelConfig):
    """Sizes of each task's network in a single-task scorer."""

    trunk_widths: tuple[int, ...] = (64, 32)
    """Widths of a network's layers, each at least 1, at least one layer."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_widths("trunk_widths", self.trunk_widths, at_least=1)

    @override
    def build_member(self, layout: "FeatureLayout", tasks: TaskSet) -> "SingleTask":
        from mtf_rl.scorers.sharing import SingleTask

        return SingleTask(self, layout, tasks)


@dataclass(frozen=True)
class AITMConfig(ModelConfig):
    """Sizes of an AITM scorer."""

    bottom_widths: tuple[int, ...] = (64, 32)
    """Widths of each task's layers below the transfer, each at least 1, at least one layer."""

    calibrator_weight: float = 0.6
    """alpha, the weight of the behavioural calibrator, at least 0."""

    chain: Chain = field(default_factory=Chain)
    """Nested pair of tasks: information is transferred from its parent to its child."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_widths("bottom_widths", self.bottom_widths, at_least=1)
        check_at_least("calibrator_weight", self.calibrator_weight, 0)

    @override
    def build_member(self, layout: "FeatureLayout", tasks: TaskSet) -> "AITM":
        from mtf_rl.scorers.aitm import AITM

        return AITM(self, layout, tasks)


@dataclass(frozen=True)
class ESMMConfig(ModelConfig):
    """Sizes of an ESMM scorer."""

    trunk_widths: tuple[int, ...] = (128, 64)
    """Widths of the trunk's layers, each at least 1, at least one layer."""

    chain: Chain = field(default_factory=Chain)
    """Nested pair of tasks: the child's probability is modelled as a product with the parent's."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_widths("trunk_widths", self.trunk_widths, at_least=1)

    @override
    def build_member(self, layout: "FeatureLayout", tasks: TaskSet) -> "EntireSpace":
        from mtf_rl.scorers.entire_space import EntireSpace, RiskWeights

        return EntireSpace(self, layout, tasks, RiskWeights())


@dataclass(frozen=True)
class _CounterfactualConfig(ESMMConfig):
    """Settings that all counterfactual models have."""

    counterfactual_weight: float = 0.5
    """lambda_c, the weight of the counterfactual risk, at least 0."""

    propensity_floor: float = 0.05
    """Minimum propensity (probability of the parent) by which an error is divided, in (0, 1]."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("counterfactual_weight", self.counterfactual_weight, 0)
        if not 0.0 < self.propensity_floor <= 1.0:
            raise ConfigError(f"propensity_floor must be in (0, 1], got {self.propensity_floor}")


@dataclass(frozen=True)
class MultiIPWConfig(_CounterfactualConfig):
    """Sizes and weights of a Multi-IPW scorer."""

    self_normalised: bool = True
    """Whether to divide the weights by their sum (SNIPS) or by the number of rows (IPS)."""

    @override
    def build_member(self, layout: "FeatureLayout", tasks: TaskSet) -> "EntireSpace":
        from mtf_rl.scorers.entire_space import EntireSpace

        return EntireSpace(self, layout, tasks, self.risk_weights(entire_space=0.0))

    def risk_weights(self, *, entire_space: float) -> "RiskWeights":
        """Weights of the loss terms; `entire_space` is lambda_g."""
        from mtf_rl.scorers.entire_space import RiskWeights

        return RiskWeights(
            self.counterfactual_weight,
            entire_space,
            self.propensity_floor,
            self_normalised=self.self_normalised,
        )


@dataclass(frozen=True)
class ESCM2IPSConfig(MultiIPWConfig):
    """Sizes and weights of an ESCM2-IPS scorer."""

    entire_space_weight: float = 1.0
    """lambda_g, the weight of the child's loss on all rows, at least 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("entire_space_weight", self.entire_space_weight, 0)

    @override
    def build_member(self, layout: "FeatureLayout", tasks: TaskSet) -> "EntireSpace":
        from mtf_rl.scorers.entire_space import EntireSpace

        weights = self.risk_weights(entire_space=self.entire_space_weight)
        return EntireSpace(self, layout, tasks, weights)


@dataclass(frozen=True)
class MultiDRConfig(_CounterfactualConfig):
    """Sizes and weights of a Multi-DR scorer."""

    @override
    def build_member(self, layout: "FeatureLayout", tasks: TaskSet) -> "EntireSpace":
        from mtf_rl.scorers.entire_space import EntireSpace

        return EntireSpace(self, layout, tasks, self.risk_weights(entire_space=0.0))

    def risk_weights(self, *, entire_space: float) -> "RiskWeights":
        """Weights of the loss terms; `entire_space` is lambda_g."""
        from mtf_rl.scorers.entire_space import RiskWeights

        return RiskWeights(
            self.counterfactual_weight, entire_space, self.propensity_floor, doubly_robust=True
        )


@dataclass(frozen=True)
class ESCM2DRConfig(MultiDRConfig):
    """Sizes and weights of an ESCM2-DR scorer."""

    entire_space_weight: float = 1.0
    """lambda_g, the weight of the child's loss on all rows, at least 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("entire_space_weight", self.entire_space_weight, 0)

    @override
    def build_member(self, layout: "FeatureLayout", tasks: TaskSet) -> "EntireSpace":
        from mtf_rl.scorers.entire_space import EntireSpace

        weights = self.risk_weights(entire_space=self.entire_space_weight)
        return EntireSpace(self, layout, tasks, weights)
