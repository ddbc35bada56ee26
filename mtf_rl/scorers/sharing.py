"""The two ends of sharing: one network per task, and one trunk for all tasks."""

from collections.abc import Sequence

import torch
from torch import Tensor
from typing_extensions import override

from mtf_rl.core.tasks import NUM_TASKS
from mtf_rl.data import FeatureLayout
from mtf_rl.scorers.configs import SharedBottomConfig, SingleTaskConfig
from mtf_rl.scorers.layers import GroupedMLP, InputLayer, Towers
from mtf_rl.scorers.model import Network, NetworkOutputs, Reader

__all__ = ["SharedBottom", "SingleTask"]


class SharedBottom(Network):
    """logit^k = h^k(f(x)): one trunk f, a tower h^k per task.

    Source: Caruana, "Multitask learning", Machine Learning 28, 1997.
    """

    def __init__(self, config: "SharedBottomConfig", layout: FeatureLayout) -> None:
        super().__init__()
        self.input = InputLayer(layout, config.embedding_dim, config.dense_bins)
        self.trunk = GroupedMLP(1, self.input.width, config.trunk_widths, config.dropout)
        self.towers = Towers(
            self.trunk.width, config.tower_widths, config.dropout, config.watch_head
        )

    @override
    def readers(self) -> tuple[Reader, ...]:
        return (self.trunk.reader,)

    @override
    def combine(self, read: Sequence[Tensor]) -> NetworkOutputs:
        shared = self.trunk.after_reading(read[0])  # (1, batch, width)
        return NetworkOutputs.of_towers(self.towers(shared.expand(NUM_TASKS, -1, -1)))


class SingleTask(Network):
    """logit^k = h^k(f^k(e^k(x))): nothing is shared, the embeddings included.

    It is the reference for negative transfer: a model that shares should not fall below it. All
    tasks are fitted at once, which is the same as one after the other but for early stopping.
    """

    def __init__(self, config: "SingleTaskConfig", layout: FeatureLayout) -> None:
        super().__init__()
        own_dim, fields = config.embedding_dim, len(layout.categorical)
        self.input = InputLayer(layout, NUM_TASKS * own_dim, config.dense_bins)
        columns = torch.arange(self.input.width)
        embedded = fields * NUM_TASKS * own_dim
        by_task = columns[:embedded].view(fields, NUM_TASKS, own_dim).transpose(0, 1)
        rest = columns[embedded:].expand(NUM_TASKS, -1)  # dense columns, read by all
        own = torch.cat([by_task.reshape(NUM_TASKS, -1), rest], dim=1)  # (tasks, own width)
        self.trunks = GroupedMLP(NUM_TASKS, own.shape[1], config.trunk_widths, config.dropout)
        self.own_columns: Tensor  # (tasks, own width)
        self.register_buffer("own_columns", own, persistent=False)
        self.towers = Towers(
            self.trunks.width, config.tower_widths, config.dropout, config.watch_head
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
