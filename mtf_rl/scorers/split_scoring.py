"""Fast logits for many (user, video) pairs: user and video parts are computed once and reused.

A model built from `Network`s has an affine first layer. Its output for a pair is the sum of a user,
a video and a pair part: W x = W_u x_u + W_v x_v + W_p x_p. The user and video parts, which are most
of the work, are computed once for every user and video and looked up for each pair. Any other model
gets complete rows.
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
    """Computes a model's logits for pairs, from precomputed user and video parts."""

    def __init__(
        self, model: ScorerModel, tasks: int, users: FeatureRows, videos: FeatureRows
    ) -> None:
        """Precompute the user and video parts.

        Args:
            model: model whose logits are computed.
            tasks: number of tasks.
            users: user columns of the features, one row per user.
            videos: video columns of the features, one row per video.
        """
        model.eval()
        self._tasks = tasks
        with torch.inference_mode():
            self._parts: list[_SplitNetwork | _WholeRows] = [
                _SplitNetwork.of(network, users, videos) for network in model.networks()
            ] or [_WholeRows.of(model, users, videos)]

    def logits(self, users: IntArray, videos: IntArray, pairs: FeatureRows) -> FloatArray:
        """Logits (rows, tasks) float32 before calibration.

        Args:
            users: (rows,) user indices.
            videos: (rows,) video indices.
            pairs: pair columns of the features, one row per pair.
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
    """Any model, with the user and video columns from which complete rows are assembled."""

    model: ScorerModel
    users: tuple[Tensor, Tensor]  # (users, fields) and (users, dense columns)
    videos: tuple[Tensor, Tensor]  # (videos, fields) and (videos, dense columns)

    @classmethod
    def of(cls, model: ScorerModel, users: FeatureRows, videos: FeatureRows) -> "_WholeRows":
        def tensors(rows: FeatureRows) -> tuple[Tensor, Tensor]:
            return torch.from_numpy(rows.categorical), torch.from_numpy(rows.dense)

        return cls(model, tensors(users), tensors(videos))

    def logits(self, users: Tensor, videos: Tensor, categorical: Tensor, dense: Tensor) -> Tensor:
        # A layout holds the columns of users, videos and pairs in this order.
        fields, columns = (
            torch.cat([user_columns[users], video_columns[videos], pair_columns], dim=1)
            for user_columns, video_columns, pair_columns in zip(
                self.users, self.videos, (categorical, dense), strict=True
            )
        )
        logits: Tensor = self.model(fields, columns)
        return logits


@dataclass(frozen=True)
class _SplitNetwork:
    """One network, with its readers' outputs for all users and all videos."""

    network: Network
    user_part: Tensor  # (users, total outputs), bias included
    video_part: Tensor  # (videos, total outputs)
    pair_weight: Tensor  # (pair width, total outputs)
    shapes: tuple[tuple[int, int], ...]  # (groups, outputs) of each reader

    @classmethod
    def of(cls, network: Network, users: FeatureRows, videos: FeatureRows) -> "_SplitNetwork":
        layer = network.input
        # An affine map is determined by its values at zero and at the unit vectors.
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
    """Concatenate outputs (groups, rows, outputs) of each reader to (rows, total outputs)."""
    return torch.cat([each.transpose(0, 1).flatten(1) for each in read], dim=1)
