"""The parts that scorers are made of: input layer, groups of small networks, gates.

Experts and towers are trained as groups: one tensor holds the weights of all of them, so that a
batch costs a few large matrix products instead of many small ones.
"""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from typing_extensions import override

from mtf_rl.data import FeatureLayout

__all__ = ["GroupedLinear", "GroupedMLP", "InputLayer", "Towers"]

# Embeddings start small: a rare id should say little until rows have spoken for it.
EMBEDDING_STD = 0.01
# A base rate of 0 or 1 has no logit.
RATE_FLOOR = 1e-6


class InputLayer(nn.Module):
    """Categorical indices and dense columns to one vector per row.

    All categorical fields share one table, each at its own offset, whose gradient is sparse: a
    step costs what the batch touches, whatever the number of users and videos.
    """

    def __init__(self, layout: FeatureLayout, embedding_dim: int) -> None:
        super().__init__()
        sizes = [field.size for field in layout.categorical]
        offsets = torch.tensor([0, *sizes[:-1]]).cumsum(0)
        self.offsets: Tensor
        self.register_buffer("offsets", offsets, persistent=False)
        self.embedding = nn.Embedding(sum(sizes), embedding_dim, sparse=True)
        nn.init.normal_(self.embedding.weight, std=EMBEDDING_STD)
        self.width = len(sizes) * embedding_dim + len(layout.dense)

    @override
    def forward(self, categorical: Tensor, dense: Tensor) -> Tensor:
        """Features (batch, width) of `categorical` (batch, fields) and `dense` (batch, dense)."""
        vectors = self.embedding(categorical + self.offsets)  # (batch, fields, embedding_dim)
        return torch.cat([vectors.flatten(1), dense], dim=1)  # (batch, width)


class GroupedLinear(nn.Module):
    """`groups` independent affine maps, each with its own initialisation (He et al. 2015)."""

    def __init__(self, groups: int, inputs: int, outputs: int, *, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(groups, inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(groups, 1, outputs)) if bias else None
        bound = math.sqrt(6.0 / inputs)
        nn.init.uniform_(self.weight, -bound, bound)

    @override
    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs (groups, batch, outputs).

        `inputs` is (groups, batch, inputs), or (batch, inputs) where the groups share it.
        """
        equation = "bi,gio->gbo" if inputs.dim() == 2 else "gbi,gio->gbo"
        outputs = torch.einsum(equation, inputs, self.weight)
        return outputs if self.bias is None else outputs + self.bias


class GroupedMLP(nn.Module):
    """`groups` independent ReLU networks with dropout after each layer."""

    def __init__(self, groups: int, inputs: int, widths: Sequence[int], dropout: float) -> None:
        super().__init__()
        sizes = [inputs, *widths]
        self.layers = nn.ModuleList(
            GroupedLinear(groups, before, after) for before, after in itertools.pairwise(sizes)
        )
        self.dropout = nn.Dropout(dropout)
        self.width = sizes[-1]

    @override
    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs (groups, batch, width) of inputs (groups, batch, inputs) or (batch, inputs)."""
        hidden = inputs
        for layer in self.layers:
            hidden = self.dropout(torch.relu(layer(hidden)))
        return hidden


class Towers(nn.Module):
    """One small network per task, from that task's representation to its logit."""

    def __init__(self, tasks: int, inputs: int, widths: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.hidden = GroupedMLP(tasks, inputs, widths, dropout)
        self.output = GroupedLinear(tasks, self.hidden.width, 1)

    @override
    def forward(self, representations: Tensor) -> Tensor:
        """Logits (batch, tasks) of representations (tasks, batch, inputs)."""
        logits: Tensor = self.output(self.hidden(representations)).squeeze(2)  # (tasks, batch)
        return logits.T

    def start_at(self, base_rates: Tensor) -> None:
        """Set the output biases to the logits of `base_rates` (tasks,).

        A rare task would otherwise spend its first steps on learning that it is rare.
        """
        assert self.output.bias is not None
        with torch.no_grad():
            biases = torch.logit(base_rates, eps=RATE_FLOOR)
            self.output.bias.copy_(biases[:, None, None])
