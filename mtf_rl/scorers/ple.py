"""PLE: task-specific and shared experts, stacked in extraction levels.

Source: Tang et al., "Progressive layered extraction (PLE): a novel multi-task learning model for
personalized recommendations", RecSys 2020, section 4. One level is the paper's CGC.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from typing_extensions import override

from mtf_rl.core.tasks import TaskSet
from mtf_rl.data import FeatureLayout
from mtf_rl.scorers.configs import CGCConfig
from mtf_rl.scorers.layers import Gates, GroupedMLP, InputLayer, Towers
from mtf_rl.scorers.model import Network, NetworkOutputs, Reader

__all__ = ["PLE"]


@dataclass(frozen=True)
class Extracted:
    """Outputs of an extraction level."""

    tasks: Tensor  # (tasks, batch, width)
    shared: Tensor | None  # (batch, width); None at the last level
    gates: Tensor  # (tasks, batch, own + shared experts)


class Extraction(nn.Module):
    """One level: a^k = gate^k mixes the task's own experts and the shared experts.

    Except at the last level, a^s = gate^s also mixes the experts of all tasks and the shared
    experts. It is the input of the next level's shared experts and shared gate.
    """

    def __init__(self, config: "CGCConfig", inputs: int, tasks: int, *, is_last: bool) -> None:
        super().__init__()
        self.own_per_task = config.task_experts
        own, shared = tasks * config.task_experts, config.shared_experts
        self.own = GroupedMLP(own, inputs, config.expert_widths, config.dropout)
        self.shared = GroupedMLP(shared, inputs, config.expert_widths, config.dropout)
        self.gates = Gates(tasks, inputs, self.own_per_task + shared, config.gate_dropout)
        self.shared_gate = None if is_last else Gates(1, inputs, own + shared, config.gate_dropout)
        self.width = self.own.width

    def readers(self) -> tuple[Reader, ...]:
        """The affine maps that read the level's inputs."""
        shared_gate = () if self.shared_gate is None else (self.shared_gate.linear,)
        return self.own.reader, self.shared.reader, self.gates.linear, *shared_gate

    @override
    def forward(self, tasks: Tensor, shared: Tensor) -> Extracted:
        """Outputs from `tasks` (tasks, batch, inputs) and `shared` (batch, inputs)."""
        own = self.own.reader(tasks.repeat_interleave(self.own_per_task, dim=0))
        read = [own, self.shared.reader(shared), self.gates.linear(tasks)]
        if self.shared_gate is not None:
            read.append(self.shared_gate.linear(shared))
        return self.combine(read)

    def combine(self, read: Sequence[Tensor]) -> Extracted:
        """Outputs of the level from the readers' outputs, in the order of `readers`."""
        own_experts = self.own.after_reading(read[0])  # (tasks x own, batch, width)
        shared_experts = self.shared.after_reading(read[1])  # (shared, batch, width)
        gates = self.gates.weigh(read[2])  # (tasks, batch, own + shared)
        tasks = self._mix_tasks(gates, own_experts, shared_experts)
        if self.shared_gate is None:
            return Extracted(tasks, None, gates)
        gate = self.shared_gate.weigh(read[3])[0]  # (batch, tasks x own + shared)
        experts = torch.cat([own_experts, shared_experts])  # (tasks x own + shared, batch, width)
        return Extracted(tasks, torch.einsum("be,ebw->bw", gate, experts), gates)

    def _mix_tasks(self, gates: Tensor, own_experts: Tensor, shared_experts: Tensor) -> Tensor:
        own_gates, shared_gates = gates.tensor_split([self.own_per_task], dim=2)
        per_task = own_experts.reshape(-1, self.own_per_task, *own_experts.shape[1:])
        own = torch.einsum("kbe,kebw->kbw", own_gates, per_task)  # (tasks, batch, width)
        return own + torch.einsum("kbe,ebw->kbw", shared_gates, shared_experts)


class PLE(Network):
    """Extraction levels on the features, followed by one tower per task."""

    def __init__(
        self, config: "CGCConfig", layout: FeatureLayout, tasks: TaskSet, *, levels: int
    ) -> None:
        super().__init__()
        self.input = InputLayer(layout, config.embedding_dim, config.dense_bins)
        width = config.expert_widths[-1]
        self.first = Extraction(config, self.input.width, len(tasks), is_last=levels == 1)
        self.levels = nn.ModuleList(
            Extraction(config, width, len(tasks), is_last=level == levels)
            for level in range(2, levels + 1)
        )
        self.towers = Towers(
            width, config.tower_widths, config.dropout, config.watch_head, tasks=tasks
        )

    @override
    def readers(self) -> tuple[Reader, ...]:
        return self.first.readers()

    @override
    def combine(self, read: Sequence[Tensor]) -> NetworkOutputs:
        extracted = self.first.combine(read)
        for level in self.levels:
            extracted = level(extracted.tasks, extracted.shared)
        return NetworkOutputs.of_towers(self.towers(extracted.tasks), extracted.gates)
