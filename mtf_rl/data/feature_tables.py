"""What a log folder says about users and videos, by index."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray, check_shape
from mtf_rl.data.schema import Column, ColumnKind

__all__ = [
    "MISSING",
    "CategoricalColumn",
    "FeatureTable",
    "NumericColumn",
    "build_feature_table",
]

MISSING = -1


@dataclass(frozen=True)
class CategoricalColumn:
    """A column of categories: `values[codes[i]]` is the text of entity i."""

    name: str
    codes: IntArray  # (entities,) int32, MISSING where there is none
    values: tuple[str, ...]  # numbers ascending, or texts in alphabetical order


@dataclass(frozen=True)
class NumericColumn:
    """A column of quantities."""

    name: str
    values: FloatArray  # (entities,) float64, NaN where there is none


@dataclass(frozen=True)
class FeatureTable:
    """Raw features of all users or all videos; the index of an entity is its rank by id.

    Raises:
        ShapeError: if the columns do not share the `entities` axis.
    """

    ids: IntArray  # (entities,) int64, ascending
    known: BoolArray  # (entities,), True where a feature file has a row
    categorical: tuple[CategoricalColumn, ...]
    numeric: tuple[NumericColumn, ...]

    def __post_init__(self) -> None:
        check_shape("known", self.known, "entities", self.ids.shape)
        for column in self.categorical:
            check_shape(column.name, column.codes, "entities", self.ids.shape)
        for quantity in self.numeric:
            check_shape(quantity.name, quantity.values, "entities", self.ids.shape)

    def __len__(self) -> int:
        return len(self.ids)

    def category(self, name: str) -> CategoricalColumn:
        """The categorical column of that name."""
        return next(column for column in self.categorical if column.name == name)

    def quantity(self, name: str) -> FloatArray:
        """The values (entities,) of the numeric column of that name, NaN where missing."""
        return next(column.values for column in self.numeric if column.name == name)


def build_feature_table(
    table: pa.Table | None, columns: tuple[Column, ...], log_ids: IntArray
) -> FeatureTable:
    """The features of every id in `table` or in `log_ids`.

    `columns` are those of the file, the id first; the table holds an id at most once. Without a
    table, every feature is missing.
    """
    id_column, *feature_columns = columns
    table = _empty_table(columns) if table is None else table
    file_ids = np.asarray(table.column(id_column.name).to_numpy(), dtype=np.int64)
    ids = np.union1d(file_ids, log_ids).astype(np.int64)
    positions = np.searchsorted(ids, file_ids)  # (file rows,)
    known = np.zeros(len(ids), dtype=np.bool_)
    known[positions] = True
    categorical = []
    numeric = []
    for column in feature_columns:
        values = table.column(column.name)
        if column.kind in (ColumnKind.NUMBER, ColumnKind.DATE):
            numeric.append(NumericColumn(column.name, _spread_numbers(values, positions, len(ids))))
        else:
            codes, names = _categories(values, column.kind)
            spread = np.full(len(ids), MISSING, dtype=np.int32)
            spread[positions] = codes
            categorical.append(CategoricalColumn(column.name, spread, names))
    return FeatureTable(ids, known, tuple(categorical), tuple(numeric))


def _empty_table(columns: tuple[Column, ...]) -> pa.Table:
    types = {ColumnKind.TEXT: pa.string(), ColumnKind.TAGS: pa.string()}
    return pa.table(
        {column.name: pa.array([], types.get(column.kind, pa.float64())) for column in columns}
    )


def _spread_numbers(values: pa.ChunkedArray, positions: IntArray, entities: int) -> FloatArray:
    """Numbers by entity; dates become days since 1970-01-01; negative numbers are missing."""
    if pa.types.is_date32(values.type):
        values = values.cast(pa.int32()).cast(pa.float64())
    numbers = _numbers(values)
    spread = np.full(entities, np.nan)
    spread[positions] = numbers
    return spread


def _numbers(values: pa.ChunkedArray) -> NDArray[np.float64]:
    numbers = np.array(pc.fill_null(values, np.nan).to_numpy(), dtype=np.float64)
    numbers[numbers < 0] = np.nan
    return numbers


def _categories(values: pa.ChunkedArray, kind: ColumnKind) -> tuple[IntArray, tuple[str, ...]]:
    """Codes (file rows,) and the texts that they stand for, in order."""
    if kind is ColumnKind.CODE:
        numbers = _numbers(values)
        present = ~np.isnan(numbers)
        distinct, inverse = np.unique(numbers[present], return_inverse=True)
        names = tuple(_number_text(number) for number in distinct)
    else:
        texts: NDArray[Any] = np.array(values.to_pylist(), dtype=object)
        present = np.array([text is not None for text in texts], dtype=np.bool_)
        distinct, inverse = np.unique(texts[present].astype(str), return_inverse=True)
        names = tuple(str(text) for text in distinct)
    codes = np.full(len(present), MISSING, dtype=np.int32)
    codes[present] = inverse
    return codes, names


def _number_text(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)
