"""Logits of many pairs of users and videos, most of whose work is done once per user and video.

A model made of `Network`s has an affine first layer, so what it makes of a pair is the sum of what
it makes of the user's columns, the video's and the pair's own: W x = W_u x_u + W_v x_v + W_p x_p.
The first two, which are nearly all of it, are computed once for every user and every video and
looked up for each pair. Any other model is given whole rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.data import FeatureRows, FeatureSide
from mtf_rl.scorers.model import PREDICT_ROWS, Network, ScorerModel

__all__ = ["PairScorer"]


class PairScorer:
    """A model that has read all users and videos."""

    def __init__(
        self, model: ScorerModel, tasks: int, users: FeatureRows, videos: FeatureRows
    ) -> None:
        """`users` and `videos` hold the columns of their side, a row for each user and video."""
        model.eval()
        self._tasks = tasks
        with torch.inference_mode():
            self._parts: list[_HalfRead | _WholeRows] = [
                _HalfRead.of(network, users, videos) for network in model.networks()
            ] or [_WholeRows.of(model, users, videos)]

    def logits(self, users: IntArray, videos: IntArray, pairs: FeatureRows) -> FloatArray:
        """Logits (rows, tasks) float32 before calibration.

        Args:
            users: (rows,) user indices.
            videos: (rows,) video indices.
            pairs: the columns of the pair's side, one row for each pair.
        """
        columns = [
            torch.from_numpy(column) for column in (users, videos, pairs.categorical, pairs.dense)
        ]
        total = torch.zeros(len(users), self._tasks)
        with torch.inference_mode():
            for start in range(0, len(users), PREDICT_ROWS):
                part = slice(start, start + PREDICT_ROWS)
                for each in self._parts:
                    total[part] += each.logits(*(column[part] for column in columns))
        mean: FloatArray = (total / len(self._parts)).numpy()
        return mean


@dataclass(frozen=True)
class _WholeRows:
    """Any model, with the columns of users and videos that its rows are put together from."""

    model: ScorerModel
    users: tuple[Tensor, Tensor]  # (users, fields) and (users, dense columns)
    videos: tuple[Tensor, Tensor]

    @classmethod
    def of(cls, model: ScorerModel, users: FeatureRows, videos: FeatureRows) -> "_WholeRows":
        def tensors(rows: FeatureRows) -> tuple[Tensor, Tensor]:
            return torch.from_numpy(rows.categorical), torch.from_numpy(rows.dense)

        return cls(model, tensors(users), tensors(videos))

    def logits(self, users: Tensor, videos: Tensor, categorical: Tensor, dense: Tensor) -> Tensor:
        # A layout holds the columns of users, videos and pairs in this order.
        fields, columns = (
            torch.cat([of_users[users], of_videos[videos], own], dim=1)
            for of_users, of_videos, own in zip(
                self.users, self.videos, (categorical, dense), strict=True
            )
        )
        logits: Tensor = self.model(fields, columns)
        return logits


@dataclass(frozen=True)
class _HalfRead:
    """One network with what its readers make of users and videos."""

    network: Network
    user_part: Tensor  # (users, total outputs), bias included
    video_part: Tensor  # (videos, total outputs)
    pair_weight: Tensor  # (pair width, total outputs)
    shapes: tuple[tuple[int, int], ...]  # groups and outputs of each reader

    @classmethod
    def of(cls, network: Network, users: FeatureRows, videos: FeatureRows) -> "_HalfRead":
        layer = network.input
        # An affine map is known by what it makes of zero and of the unit vectors.
        units = [reader(torch.eye(layer.width)) for reader in network.readers()]
        bias = _side_by_side([reader(torch.zeros(1, layer.width)) for reader in network.readers()])
        weight = _side_by_side(units) - bias  # (width, total outputs)
        parts = {
            side: weight[torch.tensor([own == side for own in layer.sides])] for side in FeatureSide
        }

        def read(side: FeatureSide, rows: FeatureRows) -> Tensor:
            categorical, dense = torch.from_numpy(rows.categorical), torch.from_numpy(rows.dense)
            return layer.read_side(side, categorical, dense) @ parts[side]

        return cls(
            network=network,
            user_part=read(FeatureSide.USER, users) + bias,
            video_part=read(FeatureSide.VIDEO, videos),
            pair_weight=parts[FeatureSide.PAIR],
            shapes=tuple((len(unit), unit.shape[2]) for unit in units),
        )

    def logits(self, users: Tensor, videos: Tensor, categorical: Tensor, dense: Tensor) -> Tensor:
        pairs = self.network.input.read_side(FeatureSide.PAIR, categorical, dense)
        total = self.user_part[users] + self.video_part[videos]  # (rows, total outputs)
        total.addmm_(pairs, self.pair_weight)
        sizes = [groups * outputs for groups, outputs in self.shapes]
        read = [
            part.view(-1, *shape).transpose(0, 1)  # (groups, rows, outputs)
            for part, shape in zip(torch.split(total, sizes, dim=1), self.shapes, strict=True)
        ]
        return self.network.combine(read).logits


def _side_by_side(read: Sequence[Tensor]) -> Tensor:
    """(rows, total outputs) of (groups, rows, outputs) each."""
    return torch.cat([each.transpose(0, 1).flatten(1) for each in read], dim=1)
