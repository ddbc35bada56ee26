"""What every scorer's module has in common."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Protocol

from torch import Tensor, nn
from typing_extensions import override

from mtf_rl.data import FeatureLayout
from mtf_rl.scorers.layers import InputLayer, Towers

__all__ = ["ScorerConfig", "ScorerModel"]


class ScorerModel(nn.Module, ABC):
    """A module from features to logits, with one input layer and one tower per task.

    It never applies a sigmoid and never looks across rows (no BatchNorm): in eval mode a row gets
    the same logits alone as among others.
    """

    input: InputLayer
    towers: Towers

    @override
    @abstractmethod
    def forward(self, categorical: Tensor, dense: Tensor) -> Tensor:
        """Logits (batch, tasks), in the order of `core.tasks.TASKS`.

        Args:
            categorical: (batch, fields) int64 indices, each within its field's size.
            dense: (batch, dense columns) float32.
        """

    def sparse_parameters(self) -> list[nn.Parameter]:
        """The embedding table, whose gradient is sparse."""
        return list(self.input.embedding.parameters())

    def dense_parameters(self) -> list[nn.Parameter]:
        """Every other parameter."""
        table = self.input.embedding.weight
        return [parameter for parameter in self.parameters() if parameter is not table]


class ScorerConfig(Protocol):
    """A frozen dataclass of sizes that builds its model."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def build(self, layout: FeatureLayout) -> ScorerModel:
        """A freshly initialised model, drawing on torch's global generator."""
        ...
