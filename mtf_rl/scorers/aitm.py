"""AITM: transfers information from the network of a parent task to that of its child task.

Source: Xi et al., "Modeling the sequential dependence among audience multi-step conversions with
multi-task learning", KDD 2021, equations 1 to 7. AITM does not multiply probabilities, so
occasional violations of the nesting do not bias it. Unlike the paper, we also fit tasks outside the
pair, each with its own network on the shared embeddings.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from typing_extensions import override

from mtf_rl.core.tasks import TaskSet
from mtf_rl.data import FeatureLayout
from mtf_rl.scorers.configs import AITMConfig
from mtf_rl.scorers.layers import GroupedLinear, GroupedMLP, InputLayer, Towers
from mtf_rl.scorers.losses import order_penalty
from mtf_rl.scorers.model import ModelLosses, Network, NetworkOutputs, Outputs, Reader

__all__ = ["AITM"]


class AdaptiveTransfer(nn.Module):
    """z = sum_u w_u h1(u) over u in {p, q}, w = softmax_u(<h2(u), h3(u)> / sqrt(d)).

    p = g(z_parent) is the transferred representation, q the child's own (equations 2 to 4).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.transfer = GroupedLinear(1, width, width)
        self.maps = GroupedLinear(3, width, width)

    @override
    def forward(self, parent: Tensor, own: Tensor) -> Tensor:
        """The child's new representation from the parent's and its own, all (batch, width)."""
        transferred = torch.relu(self.transfer(parent)[0])
        both = torch.cat([transferred, own])  # (2 x batch, width)
        values, keys, queries = self.maps(both).unflatten(1, (2, -1))  # (2, batch, width) each
        similarity = (keys * queries).sum(dim=2) / math.sqrt(own.shape[1])  # (2, batch)
        weights = torch.softmax(similarity, dim=0)[..., None]
        mixed: Tensor = (weights * values).sum(dim=0)
        return mixed


class AITM(Network):
    """One network per task on shared embeddings, with a transfer from parent to child."""

    def __init__(self, config: "AITMConfig", layout: FeatureLayout, tasks: TaskSet) -> None:
        super().__init__()
        self.pair = self.chain = config.chain.among(tasks)
        self.calibrator_weight = config.calibrator_weight
        self.input = InputLayer(layout, config.embedding_dim, config.dense_bins)
        self.bottoms = GroupedMLP(
            len(tasks), self.input.width, config.bottom_widths, config.dropout
        )
        self.transfer = AdaptiveTransfer(self.bottoms.width)
        self.towers = Towers(
            self.bottoms.width,
            config.tower_widths,
            config.dropout,
            config.watch_head,
            tasks=tasks,
        )

    @override
    def readers(self) -> tuple[Reader, ...]:
        return (self.bottoms.reader,)

    @override
    def combine(self, read: Sequence[Tensor]) -> NetworkOutputs:
        parent, child = self.pair.columns
        representations = list(self.bottoms.after_reading(read[0]).unbind())
        representations[child] = self.transfer(representations[parent], representations[child])
        return NetworkOutputs.of_towers(self.towers(torch.stack(representations)))

    @override
    def losses(self, outputs: Outputs, targets: Tensor, mask: Tensor) -> ModelLosses:
        losses = super().losses(outputs, targets, mask)
        parent, child = self.pair.columns
        penalty = order_penalty(outputs.logits[:, parent], outputs.logits[:, child])
        return replace(
            losses,
            extra=losses.extra + self.calibrator_weight * penalty.excess,
            measures={**losses.measures, "order_violations": penalty.rate},
        )
