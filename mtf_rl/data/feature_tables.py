"""Raw features of users and videos, by index."""

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
    """A categorical column: `values[codes[i]]` is the category of entity i."""

    name: str
    codes: IntArray  # (entities,) int32, or MISSING
    values: tuple[str, ...]  # numbers in ascending order, or texts in alphabetical order


@dataclass(frozen=True)
class NumericColumn:
    """A numeric column."""

    name: str
    values: FloatArray  # (entities,) float64, NaN if missing


@dataclass(frozen=True)
class FeatureTable:
    """Raw features of all users or all videos; the index of an entity is its rank by id.

    Raises:
        ShapeError: if the lengths of the columns differ.
    """

    ids: IntArray  # (entities,) int64, ascending
    known: BoolArray  # (entities,), True if a feature file has a row for the entity
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
        """The categorical column with this name."""
        return next(column for column in self.categorical if column.name == name)

    def quantity(self, name: str) -> FloatArray:
        """The values (entities,) of the numeric column with this name, NaN if missing."""
        return next(column.values for column in self.numeric if column.name == name)


def build_feature_table(
    table: pa.Table | None, columns: tuple[Column, ...], log_ids: IntArray
) -> FeatureTable:
    """Build the features of every id in `table` or `log_ids`.

    Args:
        table: rows of the feature file, each id at most once. None: all features are missing.
        columns: columns of the file, the id first.
        log_ids: ids in the log, (rows,).
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
            numeric.append(NumericColumn(column.name, _entity_numbers(values, positions, len(ids))))
        else:
            codes, names = _categories(values, column.kind)
            entity_codes = np.full(len(ids), MISSING, dtype=np.int32)
            entity_codes[positions] = codes
            categorical.append(CategoricalColumn(column.name, entity_codes, names))
    return FeatureTable(ids, known, tuple(categorical), tuple(numeric))


def _empty_table(columns: tuple[Column, ...]) -> pa.Table:
    types = {ColumnKind.TEXT: pa.string(), ColumnKind.TAGS: pa.string()}
    return pa.table(
        {column.name: pa.array([], types.get(column.kind, pa.float64())) for column in columns}
    )


def _entity_numbers(values: pa.ChunkedArray, positions: IntArray, entities: int) -> FloatArray:
    """Numbers by entity; dates as days since 1970-01-01; negative numbers become missing."""
    if pa.types.is_date32(values.type):
        values = values.cast(pa.int32()).cast(pa.float64())
    numbers = _numbers(values)
    entity_numbers = np.full(entities, np.nan)
    entity_numbers[positions] = numbers
    return entity_numbers


def _numbers(values: pa.ChunkedArray) -> NDArray[np.float64]:
    numbers = np.array(pc.fill_null(values, np.nan).to_numpy(), dtype=np.float64)
    numbers[numbers < 0] = np.nan
    return numbers


def _categories(values: pa.ChunkedArray, kind: ColumnKind) -> tuple[IntArray, tuple[str, ...]]:
    """Codes (file rows,) and the text of each code."""
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
