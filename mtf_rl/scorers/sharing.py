"""Baseline scorers: one network per task (`SingleTask`), one trunk for all (`SharedBottom`)."""

from collections.abc import Sequence

import torch
from torch import Tensor
from typing_extensions import override

from mtf_rl.core.tasks import TaskSet
from mtf_rl.data import FeatureLayout
from mtf_rl.scorers.configs import SharedBottomConfig, SingleTaskConfig
from mtf_rl.scorers.layers import GroupedMLP, InputLayer, Towers
from mtf_rl.scorers.model import Network, NetworkOutputs, Reader

__all__ = ["SharedBottom", "SingleTask"]


class SharedBottom(Network):
    """logit^k = h^k(f(x)): one trunk f, a tower h^k per task.

    Source: Caruana, "Multitask learning", Machine Learning 28, 1997.
    """

    def __init__(self, config: "SharedBottomConfig", layout: FeatureLayout, tasks: TaskSet) -> None:
        super().__init__()
        self.input = InputLayer(layout, config.embedding_dim, config.dense_bins)
        self.trunk = GroupedMLP(1, self.input.width, config.trunk_widths, config.dropout)
        self.towers = Towers(
            self.trunk.width,
            config.tower_widths,
            config.dropout,
            config.watch_head,
            tasks=tasks,
        )

    @override
    def readers(self) -> tuple[Reader, ...]:
        return (self.trunk.reader,)

    @override
    def combine(self, read: Sequence[Tensor]) -> NetworkOutputs:
        shared = self.trunk.after_reading(read[0])  # (1, batch, width)
        per_task = shared.expand(len(self.towers.tasks), -1, -1)  # (tasks, batch, width)
        return NetworkOutputs.of_towers(self.towers(per_task))


class SingleTask(Network):
    """logit^k = h^k(f^k(e^k(x))): tasks share nothing, not even the embeddings.

    It is the reference for negative transfer: a multi-task model should not be worse. All tasks are
    fitted at once, which equals separate fits except for early stopping.
    """

    def __init__(self, config: "SingleTaskConfig", layout: FeatureLayout, tasks: TaskSet) -> None:
        super().__init__()
        count, own_dim, fields = len(tasks), config.embedding_dim, len(layout.categorical)
        self.input = InputLayer(layout, count * own_dim, config.dense_bins)
        columns = torch.arange(self.input.width)
        embedded = fields * count * own_dim
        by_task = columns[:embedded].view(fields, count, own_dim).transpose(0, 1)
        rest = columns[embedded:].expand(count, -1)  # dense columns, used by all tasks
        own = torch.cat([by_task.reshape(count, -1), rest], dim=1)  # (tasks, own width)
        self.trunks = GroupedMLP(count, own.shape[1], config.trunk_widths, config.dropout)
        self.own_columns: Tensor  # (tasks, own width)
        self.register_buffer("own_columns", own, persistent=False)
        self.towers = Towers(
            self.trunks.width,
            config.tower_widths,
            config.dropout,
            config.watch_head,
            tasks=tasks,
        )

    @override
    def readers(self) -> tuple[Reader, ...]:
        return (self._read_own,)

    def _read_own(self, inputs: Tensor) -> Tensor:
        own = inputs[:, self.own_columns].transpose(0, 1)  # (tasks, batch, own width)
        read: Tensor = self.trunks.reader(own)
        return read

    @override
    def combine(self, read: Sequence[Tensor]) -> NetworkOutputs:
        return NetworkOutputs.of_towers(self.towers(self.trunks.after_reading(read[0])))
