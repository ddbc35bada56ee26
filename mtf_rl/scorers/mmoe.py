"""MMoE: every task mixes the same experts with a gate of its own.

Source: Ma et al., "Modeling task relationships in multi-task learning with multi-gate
mixture-of-experts", KDD 2018, equations 5 to 7.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from mtf_rl.core.tasks import NUM_TASKS
from mtf_rl.data import FeatureLayout
from mtf_rl.scorers.configs import check_positive, check_share, check_widths
from mtf_rl.scorers.layers import GroupedLinear, GroupedMLP, InputLayer, Towers
from mtf_rl.scorers.model import ScorerModel

__all__ = ["MMoE", "MMoEConfig"]


class MMoE(ScorerModel):
    """f^k(x) = sum_i g^k_i(x) f_i(x), g^k = softmax(W^k x), logit^k = h^k(f^k(x))."""

    def __init__(self, config: "MMoEConfig", layout: FeatureLayout) -> None:
        super().__init__()
        self.input = InputLayer(layout, config.embedding_dim)
        self.experts = GroupedMLP(
            config.experts, self.input.width, config.expert_widths, config.dropout
        )
        self.gates = GroupedLinear(NUM_TASKS, self.input.width, config.experts, bias=False)
        self.towers = Towers(NUM_TASKS, self.experts.width, config.tower_widths, config.dropout)

    @override
    def forward(self, categorical: Tensor, dense: Tensor) -> Tensor:
        """Logits (batch, tasks) of `categorical` (batch, fields) and `dense` (batch, dense)."""
        x = self.input(categorical, dense)  # (batch, features)
        experts = self.experts(x)  # (experts, batch, width)
        gates = torch.softmax(self.gates(x), dim=2)  # (tasks, batch, experts)
        mixed = torch.einsum("kbe,ebw->kbw", gates, experts)  # (tasks, batch, width)
        logits: Tensor = self.towers(mixed)
        return logits  # (batch, tasks)


@dataclass(frozen=True)
class MMoEConfig:
    """Sizes of an MMoE scorer."""

    embedding_dim: int = 8
    """Width of each categorical field's embedding, at least 1."""

    experts: int = 4
    """Number of experts that all tasks share, at least 1."""

    expert_widths: tuple[int, ...] = (64, 32)
    """Widths of an expert's layers, each at least 1, at least one layer."""

    tower_widths: tuple[int, ...] = (32,)
    """Widths of the hidden layers of a task's tower, each at least 1; may be empty."""

    dropout: float = 0.1
    """Share of hidden units dropped while fitting, in [0, 1)."""

    def __post_init__(self) -> None:
        check_positive("embedding_dim", self.embedding_dim)
        check_positive("experts", self.experts)
        check_widths("expert_widths", self.expert_widths, at_least=1)
        check_widths("tower_widths", self.tower_widths, at_least=0)
        check_share("dropout", self.dropout)

    def build(self, layout: FeatureLayout) -> MMoE:
        """A freshly initialised model, drawing on torch's global generator."""
        return MMoE(self, layout)
