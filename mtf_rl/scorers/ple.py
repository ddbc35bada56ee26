"""PLE: experts owned by a task and experts shared by all, stacked in extraction levels.

Source: Tang et al., "Progressive layered extraction (PLE): a novel multi-task learning model for
personalized recommendations", RecSys 2020, section 4. One level is the paper's CGC.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from typing_extensions import override

from mtf_rl.core.tasks import NUM_TASKS
from mtf_rl.data import FeatureLayout
from mtf_rl.scorers.configs import check_positive, check_share, check_widths
from mtf_rl.scorers.layers import GroupedLinear, GroupedMLP, InputLayer, Towers
from mtf_rl.scorers.model import ScorerModel

__all__ = ["PLE", "PLEConfig"]


class Extraction(nn.Module):
    """One level: a^k = gate^k over the task's own and the shared experts.

    Below the last level there is also a^s = gate^s over the experts of all tasks and the shared
    ones, which feeds the shared experts and the shared gate of the next level.
    """

    def __init__(self, config: "PLEConfig", inputs: int, *, is_last: bool) -> None:
        super().__init__()
        self.own_per_task = config.task_experts
        own, shared = NUM_TASKS * config.task_experts, config.shared_experts
        self.own = GroupedMLP(own, inputs, config.expert_widths, config.dropout)
        self.shared = GroupedMLP(shared, inputs, config.expert_widths, config.dropout)
        self.gates = GroupedLinear(NUM_TASKS, inputs, self.own_per_task + shared, bias=False)
        self.shared_gate = None if is_last else GroupedLinear(1, inputs, own + shared, bias=False)
        self.width = self.own.width

    @override
    def forward(self, tasks: Tensor, shared: Tensor) -> tuple[Tensor, Tensor | None]:
        """The next (tasks, batch, width) and, below the last level, the next (batch, width).

        `shared` is (batch, inputs); `tasks` is (tasks, batch, inputs), or (batch, inputs) at the
        first level, where every task starts from the same features.
        """
        repeated = tasks if tasks.dim() == 2 else tasks.repeat_interleave(self.own_per_task, dim=0)
        own_experts = self.own(repeated)  # (tasks x own, batch, width)
        shared_experts = self.shared(shared)  # (shared, batch, width)
        next_tasks = self._mix_tasks(tasks, own_experts, shared_experts)
        if self.shared_gate is None:
            return next_tasks, None
        gate = torch.softmax(self.shared_gate(shared), dim=2)[0]  # (batch, tasks x own + shared)
        everyone = torch.cat([own_experts, shared_experts])  # (tasks x own + shared, batch, width)
        return next_tasks, torch.einsum("be,ebw->bw", gate, everyone)

    def _mix_tasks(self, tasks: Tensor, own_experts: Tensor, shared_experts: Tensor) -> Tensor:
        gates = torch.softmax(self.gates(tasks), dim=2)  # (tasks, batch, own + shared)
        own_gates, shared_gates = gates.tensor_split([self.own_per_task], dim=2)
        per_task = own_experts.reshape(NUM_TASKS, self.own_per_task, *own_experts.shape[1:])
        own = torch.einsum("kbe,kebw->kbw", own_gates, per_task)  # (tasks, batch, width)
        return own + torch.einsum("kbe,ebw->kbw", shared_gates, shared_experts)


class PLE(ScorerModel):
    """Extraction levels between the features and one tower per task."""

    def __init__(self, config: "PLEConfig", layout: FeatureLayout) -> None:
        super().__init__()
        self.input = InputLayer(layout, config.embedding_dim)
        inputs = [self.input.width] + [config.expert_widths[-1]] * (config.levels - 1)
        self.levels = nn.ModuleList(
            Extraction(config, width, is_last=level == config.levels)
            for level, width in enumerate(inputs, start=1)
        )
        self.towers = Towers(
            NUM_TASKS, config.expert_widths[-1], config.tower_widths, config.dropout
        )

    @override
    def forward(self, categorical: Tensor, dense: Tensor) -> Tensor:
        """Logits (batch, tasks) of `categorical` (batch, fields) and `dense` (batch, dense)."""
        shared = self.input(categorical, dense)  # (batch, features)
        tasks = shared
        for level in self.levels:
            tasks, shared = level(tasks, shared)  # (tasks, batch, width), (batch, width)
        logits: Tensor = self.towers(tasks)
        return logits  # (batch, tasks)


@dataclass(frozen=True)
class PLEConfig:
    """Sizes of a PLE scorer."""

    embedding_dim: int = 8
    """Width of each categorical field's embedding, at least 1."""

    levels: int = 1
    """Number of extraction levels, at least 1; 1 is CGC."""

    task_experts: int = 1
    """Number of experts of each task at each level, at least 1."""

    shared_experts: int = 2
    """Number of shared experts at each level, at least 1."""

    expert_widths: tuple[int, ...] = (64, 32)
    """Widths of an expert's layers, each at least 1, at least one layer."""

    tower_widths: tuple[int, ...] = (32,)
    """Widths of the hidden layers of a task's tower, each at least 1; may be empty."""

    dropout: float = 0.1
    """Share of hidden units dropped while fitting, in [0, 1)."""

    def __post_init__(self) -> None:
        check_positive("embedding_dim", self.embedding_dim)
        check_positive("levels", self.levels)
        check_positive("task_experts", self.task_experts)
        check_positive("shared_experts", self.shared_experts)
        check_widths("expert_widths", self.expert_widths, at_least=1)
        check_widths("tower_widths", self.tower_widths, at_least=0)
        check_share("dropout", self.dropout)

    def build(self, layout: FeatureLayout) -> PLE:
        """A freshly initialised model, drawing on torch's global generator."""
        return PLE(self, layout)
