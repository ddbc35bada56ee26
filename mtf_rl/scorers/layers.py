"""Building blocks of scorers: input layer, groups of small networks, gates, towers.

One tensor holds the weights of all experts or towers of a group. A batch then needs a few large
matrix products instead of many small ones.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from typing_extensions import override

from mtf_rl.core.tasks import KUAIRAND_TASKS, TaskSet
from mtf_rl.data import FeatureLayout, FeatureSide
from mtf_rl.scorers.watch_heads import WATCH_HEADS, WatchHead

__all__ = [
    "BinEncoding",
    "Gates",
    "GroupedLinear",
    "GroupedMLP",
    "InputLayer",
    "TowerOutputs",
    "Towers",
    "mean_gate_entropies",
    "replace_column",
]

# Embeddings start small, so that a rare id has little effect until rows support it.
EMBEDDING_STD = 0.01
# A base rate of 0 or 1 has no logit.
RATE_FLOOR = 1e-6
EVERYTHING = slice(None)
SIDES = tuple(FeatureSide)
BIN_DIM = 8
BIN_STD = 0.05
# Standardised columns are clipped at +-DENSE_LIMIT.
DENSE_LIMIT = 5.0
# Equal quantiles give bins of width 0.
MIN_BIN_WIDTH = 1e-6


class BinEncoding(nn.Module):
    """Piecewise linear encoding of dense columns, with weights per column.

    e_j(x) = clip((x - t_j) / (t_{j+1} - t_j), 0, 1) for edges t at the quantiles of the training
    rows, then relu(e W + b) with W and b of each column. Source: Gorishniy et al., "On embeddings
    for numerical features in tabular deep learning", NeurIPS 2022, equation 1. Unlike the paper,
    whose outer bins are open, we clip values at the outer edges.
    """

    def __init__(self, columns: int, bins: int, dim: int) -> None:
        super().__init__()
        self.edges: Tensor  # (columns, bins + 1), ascending
        # Columns are standardised, so edges start at the quantiles of a standard normal.
        inner = torch.special.ndtri(torch.arange(1, bins) / bins)
        edges = torch.cat([torch.tensor([-DENSE_LIMIT]), inner, torch.tensor([DENSE_LIMIT])])
        self.register_buffer("edges", edges.repeat(columns, 1))
        self.linear = GroupedLinear(columns, bins, dim)
        nn.init.normal_(self.linear.weight, std=BIN_STD)
        self.width = columns * dim

    @override
    def forward(self, dense: Tensor, chosen: slice = EVERYTHING) -> Tensor:
        """Encodings (batch, columns x dim) of the `chosen` dense columns (batch, columns)."""
        edges = self.edges[chosen]
        low, high = edges[:, :-1], edges[:, 1:]  # (columns, bins)
        positions = (dense[:, :, None] - low) / (high - low).clamp(min=MIN_BIN_WIDTH)
        inside = positions.clamp(0.0, 1.0).transpose(0, 1)  # (columns, batch, bins)
        encoded = torch.relu(self.linear(inside, chosen)).transpose(0, 1)
        return encoded.flatten(1)

    def position_edges(self, dense: Tensor) -> None:
        """Set the edges to the quantiles of the rows `dense` (rows, columns)."""
        fractions = np.linspace(0.0, 1.0, self.edges.shape[1])
        self.edges.copy_(torch.from_numpy(np.quantile(dense.numpy(), fractions, axis=0).T))


class InputLayer(nn.Module):
    """Maps categorical indices and dense columns to one vector per row.

    All categorical fields share one embedding table, each at its own offset. The table's gradient
    is sparse, so the cost of a step does not depend on the number of users and videos.
    """

    def __init__(self, layout: FeatureLayout, embedding_dim: int, dense_bins: int = 0) -> None:
        super().__init__()
        sizes = [field.size for field in layout.categorical]
        offsets = torch.tensor([0, *sizes[:-1]]).cumsum(0)
        self.offsets: Tensor
        self.register_buffer("offsets", offsets, persistent=False)
        self.embedding = nn.Embedding(sum(sizes), embedding_dim, sparse=True)
        nn.init.normal_(self.embedding.weight, std=EMBEDDING_STD)
        columns = len(layout.dense)
        self.bins = BinEncoding(columns, dense_bins, BIN_DIM) if dense_bins and columns else None
        self.sides: tuple[FeatureSide, ...] = (
            *(field.side for field in layout.categorical for _ in range(embedding_dim)),
            *(column.side for column in layout.dense),
            *(column.side for column in layout.dense for _ in range(BIN_DIM if self.bins else 0)),
        )
        """(width,): whether each entry of the vector depends on the user, video or pair."""
        self.width = len(self.sides)
        self.fields = _side_slices([field.side for field in layout.categorical])
        self.columns = _side_slices([column.side for column in layout.dense])

    @override
    def forward(self, categorical: Tensor, dense: Tensor) -> Tensor:
        """Features (batch, width) of `categorical` (batch, fields) and `dense` (batch, dense)."""
        vectors = self.embedding(categorical + self.offsets)  # (batch, fields, embedding_dim)
        parts = [vectors.flatten(1), dense]
        if self.bins is not None:
            parts.append(self.bins(dense))
        return torch.cat(parts, dim=1)  # (batch, width)

    def read_side(self, side: FeatureSide, categorical: Tensor, dense: Tensor) -> Tensor:
        """The entries of the vector that depend on `side`, from that side's columns only."""
        vectors = self.embedding(categorical + self.offsets[self.fields[side]])
        parts = [vectors.flatten(1), dense]
        if self.bins is not None:
            parts.append(self.bins(dense, self.columns[side]))
        return torch.cat(parts, dim=1)


class GroupedLinear(nn.Module):
    """`groups` independent affine maps, each with its own initialisation.

    Weights start uniform with variance 1 / inputs (LeCun et al., "Efficient backprop", 1998).
    """

    def __init__(self, groups: int, inputs: int, outputs: int, *, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(groups, inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(groups, 1, outputs)) if bias else None
        bound = math.sqrt(3.0 / inputs)
        nn.init.uniform_(self.weight, -bound, bound)

    @override
    def forward(self, inputs: Tensor, chosen: slice = EVERYTHING) -> Tensor:
        """Outputs (groups, batch, outputs).

        `inputs` is (groups, batch, inputs) for the `chosen` groups, or (batch, inputs) shared by
        all groups.
        """
        if inputs.dim() == 2:
            return self._shared(inputs)
        if self.bias is None:
            return torch.bmm(inputs, self.weight[chosen])
        return torch.baddbmm(self.bias[chosen], inputs, self.weight[chosen])

    def _shared(self, inputs: Tensor) -> Tensor:
        """One matrix product for all groups."""
        groups, width, outputs = self.weight.shape
        flat = self.weight.transpose(0, 1).reshape(width, groups * outputs)
        if self.bias is None:
            product = inputs @ flat  # (batch, groups x outputs)
        else:
            product = torch.addmm(self.bias.flatten(), inputs, flat)
        return product.view(len(inputs), groups, outputs).transpose(0, 1)


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

    @property
    def reader(self) -> GroupedLinear:
        """The affine map that reads the inputs."""
        first = self.layers[0]
        assert isinstance(first, GroupedLinear)
        return first

    @override
    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs (groups, batch, width) of inputs (groups, batch, inputs) or (batch, inputs)."""
        if not self.layers:
            return inputs
        read: Tensor = self.reader(inputs)
        return self.after_reading(read)

    def after_reading(self, read: Tensor) -> Tensor:
        """Outputs (groups, batch, width) from `reader`'s outputs (groups, batch, first width)."""
        # Not in place: `read` may be a view, whose gradient would then be copied.
        hidden: Tensor = self.dropout(torch.relu(read))
        for layer in list(self.layers)[1:]:
            hidden = self.dropout(layer(hidden).relu_())
        return hidden


class Gates(nn.Module):
    """Linear softmax gates: each gate gives its experts weights that sum to 1.

    In training mode, gate dropout drops each expert of each gate with probability `dropout` and
    renormalises the other weights, so that no gate relies on a single expert. Source: Zhao et al.,
    "Recommending what video to watch next: a multitask ranking system", RecSys 2019, section 5.2.4,
    which gives the rate but no formula.
    """

    def __init__(self, gates: int, inputs: int, experts: int, dropout: float) -> None:
        super().__init__()
        self.linear = GroupedLinear(gates, inputs, experts, bias=False)
        self.dropout = dropout

    @override
    def forward(self, inputs: Tensor) -> Tensor:
        """Weights (gates, batch, experts) from (batch, inputs) or (gates, batch, inputs)."""
        logits: Tensor = self.linear(inputs)
        return self.weigh(logits)

    def weigh(self, logits: Tensor) -> Tensor:
        """Weights (gates, batch, experts) from the gates' logits, of the same shape."""
        if not self.training or self.dropout == 0.0:
            return torch.softmax(logits, dim=2)
        dropped = torch.rand(logits.shape) < self.dropout
        # If all experts of a gate were dropped, keep all of them.
        dropped &= ~dropped.all(dim=2, keepdim=True)
        return torch.softmax(logits.masked_fill(dropped, -torch.inf), dim=2)


def mean_gate_entropies(weights: Tensor) -> Tensor:
    """Normalised entropy of each gate over its experts, averaged over rows: (gates,), in [0, 1].

    The entropy is divided by the logarithm of the number of experts. 0 means that the gate has
    collapsed on one expert, 1 that it weights all equally. With a single expert it is 1.
    """
    experts = weights.shape[2]
    if experts == 1:
        return weights.new_ones(len(weights))
    entropies = torch.special.entr(weights).sum(dim=2)  # (gates, batch)
    fractions: Tensor = entropies.mean(dim=1) / math.log(experts)
    return fractions


def replace_column(values: Tensor, position: int, column: Tensor) -> Tensor:
    """`values` (batch, columns) with the column at `position` replaced by `column` (batch, 1)."""
    return torch.cat([values[:, :position], column, values[:, position + 1 :]], dim=1)


@dataclass(frozen=True)
class TowerOutputs:
    """The towers' outputs for a batch."""

    logits: Tensor  # (batch, tasks); for the task in seconds, the logit of its expected label
    watch: Tensor | None  # (batch, parameters) of the watch head; None without such a task


class Towers(nn.Module):
    """One small network per task that maps the task's representation to its logit."""

    def __init__(
        self,
        inputs: int,
        widths: Sequence[int],
        dropout: float,
        watch_head: str = "share",
        *,
        tasks: TaskSet = KUAIRAND_TASKS,
    ) -> None:
        super().__init__()
        self.tasks = tasks
        self.hidden = GroupedMLP(len(tasks), inputs, widths, dropout)
        self.output = GroupedLinear(len(tasks), self.hidden.width, 1)
        self.watch: int | None = None
        """The position of the task in seconds, which has the watch head; None without one."""
        self.watch_head: WatchHead | None = None
        extra = 0
        if tasks.seconds is not None:
            self.watch = tasks.index(tasks.seconds.name)
            self.watch_head = WATCH_HEADS[watch_head](tasks.seconds.cap)
            extra = self.watch_head.parameters - 1
        self.watch_output = GroupedLinear(1, self.hidden.width, extra) if extra else None

    @override
    def forward(self, representations: Tensor) -> TowerOutputs:
        """Outputs for representations (tasks, batch, inputs)."""
        hidden = self.hidden(representations)  # (tasks, batch, width)
        logits = self.output(hidden).squeeze(2).T  # (batch, tasks)
        if self.watch is None or self.watch_head is None:
            return TowerOutputs(logits, None)
        own = slice(self.watch, self.watch + 1)
        if self.watch_output is None:
            return TowerOutputs(logits, logits[:, own])
        rest = self.watch_output(hidden[own])[0]  # (batch, parameters - 1)
        watch = torch.cat([logits[:, own], rest], dim=1)  # (batch, parameters)
        expected = self.watch_head.logit(watch)[:, None]
        return TowerOutputs(replace_column(logits, self.watch, expected), watch)

    def start_at(self, base_rates: Tensor) -> None:
        """Set the output biases to the logits of `base_rates` (tasks,).

        Otherwise the first steps would only fit the base rates of rare tasks.
        """
        assert self.output.bias is not None
        with torch.no_grad():
            biases = torch.logit(base_rates, eps=RATE_FLOOR)
            self.output.bias.copy_(biases[:, None, None])


def _side_slices(sides: Sequence[FeatureSide]) -> dict[FeatureSide, slice]:
    """The slice of each side's columns; a layout holds user, video and pair in this order."""
    starts = {
        side: sum(column_side < position for column_side in map(SIDES.index, sides))
        for position, side in enumerate(SIDES)
    }
    return {side: slice(starts[side], starts[side] + list(sides).count(side)) for side in SIDES}
