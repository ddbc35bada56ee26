"""What every scorer's module has in common."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn
from typing_extensions import override

from mtf_rl.core.tasks import TaskSet
from mtf_rl.data import FeatureLayout
from mtf_rl.scorers.chains import NestedPair
from mtf_rl.scorers.layers import (
    InputLayer,
    TowerOutputs,
    Towers,
    mean_gate_entropies,
    replace_column,
)
from mtf_rl.scorers.losses import cross_entropies, masked_means, task_losses

__all__ = [
    "PREDICT_ROWS",
    "Ensemble",
    "ModelLosses",
    "Network",
    "NetworkOutputs",
    "Outputs",
    "Reader",
    "ScorerConfig",
    "ScorerModel",
]

# What the layers make of this many rows stays in a processor's cache; of more it does not, and a
# prediction waits for memory.
PREDICT_ROWS = 2048

Reader = Callable[[Tensor], Tensor]
"""An affine map from features (batch, width) to (groups, batch, outputs)."""


@dataclass(frozen=True)
class Outputs:
    """What a model says about a batch."""

    logits: Tensor  # (batch, tasks)


@dataclass(frozen=True)
class ModelLosses:
    """A model's losses on a batch, before they are weighted."""

    per_task: Tensor  # (tasks,), nats a row
    extra: Tensor  # (), what the model adds to their weighted sum
    measures: Mapping[str, Tensor] = field(default_factory=dict)
    """Named scalars to log, such as a gate's entropy or an effective sample size."""


class ScorerModel(nn.Module, ABC):
    """A module from features to logits; a scorer of one's own needs `outputs` alone.

    It never applies a sigmoid and never looks across rows (no BatchNorm): in eval mode a row gets
    the same logits alone as among others. Tables of `nn.Embedding(sparse=True)` are fitted by the
    optimizer of embeddings, everything else by the other.
    """

    chain: NestedPair | None = None
    """Two tasks of which the model lets one happen only after the other."""

    @abstractmethod
    def outputs(self, categorical: Tensor, dense: Tensor) -> Outputs:
        """Everything that the model says; the arguments are those of `forward`."""

    def losses(self, outputs: Outputs, targets: Tensor, mask: Tensor) -> ModelLosses:
        """One loss per task, and what the model adds; by default each task's mean cross-entropy.

        Args:
            outputs: of this model.
            targets: (batch, tasks) in [0, 1].
            mask: (batch, tasks) bool, True where the row is in the task's sample space.
        """
        per_task = task_losses(outputs.logits, targets, mask)
        return ModelLosses(per_task, per_task.new_zeros(()))

    def networks(self) -> "tuple[Network, ...]":
        """The networks whose logits are averaged, if the model is made of such; else none.

        Where there are some, pairs are split into users and videos (`split_scoring`) to save time.
        """
        return ()

    @override
    def forward(self, categorical: Tensor, dense: Tensor) -> Tensor:
        """Logits (batch, tasks), in the order of the log's `TaskSet`.

        Args:
            categorical: (batch, fields) int64 indices, each within its field's size.
            dense: (batch, dense columns) float32.
        """
        return self.outputs(categorical, dense).logits

    def start_at(self, base_rates: Tensor, dense: Tensor) -> None:
        """Let the networks' predictions start about the base rates (tasks,), bins at quantiles.

        `dense` holds the dense columns of the training rows, (rows, dense columns).
        """
        for network in self.networks():
            network.towers.start_at(base_rates)
            if network.input.bins is not None:
                network.input.bins.position_edges(dense)

    def sparse_parameters(self) -> list[nn.Parameter]:
        """The embedding tables whose gradients are sparse."""
        tables = (module for module in self.modules() if isinstance(module, nn.Embedding))
        return [weight for table in tables if table.sparse for weight in table.parameters()]

    def dense_parameters(self) -> list[nn.Parameter]:
        """Every other parameter."""
        sparse = {id(parameter) for parameter in self.sparse_parameters()}
        return [parameter for parameter in self.parameters() if id(parameter) not in sparse]


@dataclass(frozen=True)
class NetworkOutputs(Outputs):
    """What a single network says about a batch."""

    watch: Tensor | None  # (batch, parameters) of the watch head; None without a task in seconds
    gates: Tensor | None = None  # (gates, batch, experts) of the last level, where there are gates

    @classmethod
    def of_towers(cls, towers: TowerOutputs, gates: Tensor | None = None) -> "NetworkOutputs":
        """The towers' outputs as they are."""
        return cls(towers.logits, towers.watch, gates)


class Network(ScorerModel):
    """A model with one input layer and one tower per task.

    Rows enter through affine maps of the input layer (`readers`) alone, so that what these give can
    be computed apart for users and for videos.
    """

    input: InputLayer
    towers: Towers

    @abstractmethod
    def readers(self) -> tuple[Reader, ...]:
        """The affine maps that read the features."""

    @abstractmethod
    def combine(self, read: Sequence[Tensor]) -> NetworkOutputs:
        """Outputs from what the readers gave, (groups, batch, outputs) each."""

    @override
    def outputs(self, categorical: Tensor, dense: Tensor) -> NetworkOutputs:
        x = self.input(categorical, dense)  # (batch, width)
        return self.combine([reader(x) for reader in self.readers()])

    @override
    def losses(self, outputs: Outputs, targets: Tensor, mask: Tensor) -> ModelLosses:
        assert isinstance(outputs, NetworkOutputs)
        # A target outside the sample space may be NaN, which times 0 is NaN.
        known = torch.where(mask, targets, 0.0)
        losses = cross_entropies(outputs.logits, known)  # (batch, tasks)
        towers = self.towers
        if towers.watch is not None and towers.watch_head is not None and outputs.watch is not None:
            watch = towers.watch_head.loss(outputs.watch, known[:, towers.watch])  # (batch,)
            losses = replace_column(losses, towers.watch, watch[:, None])
        per_task = masked_means(losses, mask)
        measures = _gate_measures(outputs.gates, towers.tasks)
        return ModelLosses(per_task, per_task.new_zeros(()), measures)

    @override
    def networks(self) -> "tuple[Network, ...]":
        return (self,)


@dataclass(frozen=True)
class EnsembleOutputs(Outputs):
    """What every member says, beside the mean of their logits."""

    members: tuple[Outputs, ...]


class Ensemble(ScorerModel):
    """Networks of one kind, fitted side by side on losses of their own; logits are averaged."""

    def __init__(self, members: Sequence[Network]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.chain = members[0].chain

    @override
    def outputs(self, categorical: Tensor, dense: Tensor) -> EnsembleOutputs:
        members = tuple(network.outputs(categorical, dense) for network in self.networks())
        logits = torch.stack([outputs.logits for outputs in members]).mean(dim=0)
        return EnsembleOutputs(logits, members)

    @override
    def losses(self, outputs: Outputs, targets: Tensor, mask: Tensor) -> ModelLosses:
        assert isinstance(outputs, EnsembleOutputs)
        losses = [
            network.losses(own, targets, mask)
            for network, own in zip(self.networks(), outputs.members, strict=True)
        ]
        return ModelLosses(
            per_task=torch.stack([loss.per_task for loss in losses]).mean(dim=0),
            extra=torch.stack([loss.extra for loss in losses]).mean(dim=0),
            measures={
                name: torch.stack([loss.measures[name] for loss in losses]).mean(dim=0)
                for name in losses[0].measures
            },
        )

    @override
    def networks(self) -> tuple[Network, ...]:
        return tuple(member for member in self.members if isinstance(member, Network))


class ScorerConfig(Protocol):
    """A frozen dataclass of sizes that builds its model."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def build(self, layout: FeatureLayout, tasks: TaskSet) -> ScorerModel:
        """A freshly initialised model of these tasks, drawing on torch's global generator."""
        ...


def _gate_measures(gates: Tensor | None, tasks: TaskSet) -> dict[str, Tensor]:
    if gates is None:
        return {}
    entropies = mean_gate_entropies(gates.detach())  # (gates,)
    names = tasks.names if len(entropies) == len(tasks) else ("all",)
    return {f"gate_entropy/{name}": value for name, value in zip(names, entropies, strict=True)}
