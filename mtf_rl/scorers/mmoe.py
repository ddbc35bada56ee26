"""MMoE: every task mixes the same experts with its own gate; OMoE: all tasks use one gate.

Source: Ma et al., "Modeling task relationships in multi-task learning with multi-gate
mixture-of-experts", KDD 2018, equations 6 to 8; OMoE is its equation 5.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from typing_extensions import override

from mtf_rl.core.tasks import TaskSet
from mtf_rl.data import FeatureLayout
from mtf_rl.scorers.configs import MMoEConfig
from mtf_rl.scorers.layers import Gates, GroupedMLP, InputLayer, Towers
from mtf_rl.scorers.model import Network, NetworkOutputs, Reader

__all__ = ["MMoE"]


class MMoE(Network):
    """f^k(x) = sum_i g^k_i(x) f_i(x), g^k = softmax(W^k x), logit^k = h^k(f^k(x)).

    With one gate (OMoE) all f^k are the same.
    """

    def __init__(
        self, config: "MMoEConfig", layout: FeatureLayout, tasks: TaskSet, *, gates: int
    ) -> None:
        super().__init__()
        self.input = InputLayer(layout, config.embedding_dim, config.dense_bins)
        self.experts = GroupedMLP(
            config.experts, self.input.width, config.expert_widths, config.dropout
        )
        self.gates = Gates(gates, self.input.width, config.experts, config.gate_dropout)
        self.towers = Towers(
            self.experts.width,
            config.tower_widths,
            config.dropout,
            config.watch_head,
            tasks=tasks,
        )

    @override
    def readers(self) -> tuple[Reader, ...]:
        return self.experts.reader, self.gates.linear

    @override
    def combine(self, read: Sequence[Tensor]) -> NetworkOutputs:
        experts = self.experts.after_reading(read[0])  # (experts, batch, width)
        gates = self.gates.weigh(read[1])  # (gates, batch, experts)
        mixed = torch.einsum("kbe,ebw->kbw", gates, experts)  # (gates, batch, width)
        outputs = self.towers(mixed.expand(len(self.towers.tasks), -1, -1))
        return NetworkOutputs.of_towers(outputs, gates)
