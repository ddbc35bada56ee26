"""Layout of encoded features: the columns by name and side (user, video or pair)."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from mtf_rl.core.arrays import FloatArray, IntArray

__all__ = [
    "UNSEEN_CODE",
    "CategoricalField",
    "DenseColumn",
    "FeatureLayout",
    "FeatureRows",
    "FeatureSide",
]


UNSEEN_CODE = 1
"""Code of a value that was not seen in fitting."""


class FeatureSide(StrEnum):
    """What a feature depends on."""

    USER = "user"
    VIDEO = "video"
    PAIR = "pair"  # user, video and time together


@dataclass(frozen=True)
class CategoricalField:
    """A column of codes in 0..size-1: 0 is missing, 1 unseen in fitting, others seen values."""

    name: str
    size: int
    side: FeatureSide


@dataclass(frozen=True)
class DenseColumn:
    """A standardised number, clipped to [-5, 5]; 0 (the mean) if missing."""

    name: str
    side: FeatureSide


@dataclass(frozen=True)
class FeatureLayout:
    """The columns of `FeatureRows`, in order: user, video, pair."""

    categorical: tuple[CategoricalField, ...]
    dense: tuple[DenseColumn, ...]

    def restrict(self, side: FeatureSide) -> "FeatureLayout":
        """The layout of the columns of one side."""
        return FeatureLayout(
            tuple(field for field in self.categorical if field.side == side),
            tuple(column for column in self.dense if column.side == side),
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON document for `from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "FeatureLayout":
        """Read the document of `to_json`."""
        return cls(
            tuple(
                CategoricalField(field["name"], field["size"], FeatureSide(field["side"]))
                for field in document["categorical"]
            ),
            tuple(
                DenseColumn(column["name"], FeatureSide(column["side"]))
                for column in document["dense"]
            ),
        )


@dataclass(frozen=True)
class FeatureRows:
    """Encoded rows, with the columns of a `FeatureLayout`."""

    categorical: IntArray  # (rows, fields) int64
    dense: FloatArray  # (rows, columns) float32

    def __len__(self) -> int:
        return len(self.categorical)
