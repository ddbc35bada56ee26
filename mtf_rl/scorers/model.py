"""Base classes of the scorers' torch modules, their outputs and their losses."""

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

# The layers' activations for this many rows fit in a processor's cache; larger chunks are slower.
PREDICT_ROWS = 2048

Reader = Callable[[Tensor], Tensor]
"""An affine map from features (batch, width) to (groups, batch, outputs)."""


@dataclass(frozen=True)
class Outputs:
    """A model's outputs for a batch."""

    logits: Tensor  # (batch, tasks)


@dataclass(frozen=True)
class ModelLosses:
    """A model's losses on a batch, before they are weighted."""

    per_task: Tensor  # (tasks,), nats per row
    extra: Tensor  # (), added to the weighted sum of `per_task`
    measures: Mapping[str, Tensor] = field(default_factory=dict)
    """Named scalars to log, such as a gate's entropy or an effective sample size."""


class ScorerModel(nn.Module, ABC):
    """A module that maps features to logits; a custom scorer only has to implement `outputs`.

    A model applies no sigmoid and does not mix rows (no BatchNorm): in eval mode a row's logits do
    not depend on the other rows. The optimizer for embeddings fits the `nn.Embedding(sparse=True)`
    tables; the other optimizer fits all other parameters.
    """

    chain: NestedPair | None = None
    """Nested pair of tasks that the model assumes: the child happens only if the parent does."""

    @abstractmethod
    def outputs(self, categorical: Tensor, dense: Tensor) -> Outputs:
        """All outputs of the model; the arguments are those of `forward`."""

    def losses(self, outputs: Outputs, targets: Tensor, mask: Tensor) -> ModelLosses:
        """One loss per task and an extra term; by default each task's mean cross-entropy.

        Args:
            outputs: outputs of this model.
            targets: (batch, tasks) in [0, 1].
            mask: (batch, tasks) bool, True where the row is in the task's sample space.
        """
        per_task = task_losses(outputs.logits, targets, mask)
        return ModelLosses(per_task, per_task.new_zeros(()))

    def networks(self) -> "tuple[Network, ...]":
        """The networks whose logits the model averages; empty if it is not built from `Network`s.

        With networks, `split_scoring` computes user and video parts once, which saves time.
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
        """Initialise output biases from the base rates, and bin edges from quantiles.

        Args:
            base_rates: (tasks,) mean targets of the training rows.
            dense: (rows, dense columns) of the training rows.
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
        """All parameters except the sparse embedding tables."""
        sparse = {id(parameter) for parameter in self.sparse_parameters()}
        return [parameter for parameter in self.parameters() if id(parameter) not in sparse]


@dataclass(frozen=True)
class NetworkOutputs(Outputs):
    """A single network's outputs for a batch."""

    watch: Tensor | None  # (batch, parameters) of the watch head; None without a task in seconds
    gates: Tensor | None = None  # (gates, batch, experts) of the last level; None without gates

    @classmethod
    def of_towers(cls, towers: TowerOutputs, gates: Tensor | None = None) -> "NetworkOutputs":
        """Network outputs from the towers' outputs and gate weights."""
        return cls(towers.logits, towers.watch, gates)


class Network(ScorerModel):
    """A model with one input layer and one tower per task.

    Features enter only through affine maps (`readers`). Their outputs can therefore be computed
    separately for users and for videos.
    """

    input: InputLayer
    towers: Towers

    @abstractmethod
    def readers(self) -> tuple[Reader, ...]:
        """The affine maps that read the features."""

    @abstractmethod
    def combine(self, read: Sequence[Tensor]) -> NetworkOutputs:
        """Outputs of the network from the readers' outputs, (groups, batch, outputs) each."""

    @override
    def outputs(self, categorical: Tensor, dense: Tensor) -> NetworkOutputs:
        x = self.input(categorical, dense)  # (batch, width)
        return self.combine([reader(x) for reader in self.readers()])

    @override
    def losses(self, outputs: Outputs, targets: Tensor, mask: Tensor) -> ModelLosses:
        assert isinstance(outputs, NetworkOutputs)
        # A target outside the sample space may be NaN, which times 0 is NaN.
        known = torch.where(mask, targets, 0.0)
        towers = self.towers
        if towers.watch is None or towers.watch_head is None or outputs.watch is None:
            losses = cross_entropies(outputs.logits, known)  # (batch, tasks)
        else:
            others = (slice(towers.watch), slice(towers.watch + 1, None))
            before, after = (cross_entropies(outputs.logits[:, o], known[:, o]) for o in others)
            watch = towers.watch_head.loss(outputs.watch, known[:, towers.watch])  # (batch,)
            losses = torch.cat([before, watch[:, None], after], dim=1)  # (batch, tasks)
        per_task = masked_means(losses, mask)
        measures = _gate_measures(outputs.gates, towers.tasks)
        return ModelLosses(per_task, per_task.new_zeros(()), measures)

    @override
    def networks(self) -> "tuple[Network, ...]":
        return (self,)


@dataclass(frozen=True)
class EnsembleOutputs(Outputs):
    """The mean of the members' logits, and each member's outputs."""

    members: tuple[Outputs, ...]


class Ensemble(ScorerModel):
    """Networks of one kind, each fitted on its own loss; their logits are averaged."""

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
            network.losses(member, targets, mask)
            for network, member in zip(self.networks(), outputs.members, strict=True)
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
    """A frozen dataclass of model settings that builds its model."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def build(self, layout: FeatureLayout, tasks: TaskSet) -> ScorerModel:
        """A newly initialised model of these tasks; uses torch's global generator."""
        ...


def _gate_measures(gates: Tensor | None, tasks: TaskSet) -> dict[str, Tensor]:
    if gates is None:
        return {}
    entropies = mean_gate_entropies(gates.detach())  # (gates,)
    names = tasks.names if len(entropies) == len(tasks) else ("all",)
    return {f"gate_entropy/{name}": value for name, value in zip(names, entropies, strict=True)}
