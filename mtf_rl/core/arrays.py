"""Array types, shape checks, and the axis names that docstrings use for shapes.

Axis names: `num_envs` (users served at once; `batch` in fitting code), `candidates` (videos
retrieved for a request), `slate` (videos shown), `tasks`, `users`, `videos`, `pool` (a user's
retrieval pool), `time` (requests of a session), `features`, `experts`, `rows` (of a log).
"""

from dataclasses import fields, replace
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from mtf_rl.core.errors import DataError, ShapeError

__all__ = [
    "BoolArray",
    "FloatArray",
    "IntArray",
    "check_shape",
    "refuse_rows",
    "replace_rows",
    "select_rows",
]

FloatArray: TypeAlias = NDArray[np.floating[Any]]
IntArray: TypeAlias = NDArray[np.integer[Any]]
BoolArray: TypeAlias = NDArray[np.bool_]

RecordT = TypeVar("RecordT")


def check_shape(name: str, array: NDArray[Any], axes: str, shape: tuple[int, ...]) -> None:
    """Raise an error unless `array` has the given shape; `axes` names its axes in the message.

    Raises:
        ShapeError: if the shape differs; the message has the array's name, axes and both shapes.
    """
    if array.shape != shape:
        raise ShapeError(f"{name} must have shape ({axes}) = {shape}, got {array.shape}")


def refuse_rows(bad: BoolArray, rule: str) -> None:
    """Raise an error if any element of `bad` (rows, ...) is True.

    Raises:
        DataError: with the rule, the first row that breaks it and the number of such rows.
    """
    rows = bad.any(axis=tuple(range(1, bad.ndim)))  # (rows,)
    if rows.any():
        first, count = int(np.argmax(rows)), int(rows.sum())
        raise DataError(f"{rule}; row {first} breaks this rule (rows in total: {count})")


def select_rows(record: RecordT, rows: NDArray[Any]) -> RecordT:
    """Select rows of a dataclass whose array fields have the same leading axis.

    `rows` is a mask or an index array. Nested dataclasses are selected recursively. Other fields
    are copied unchanged.
    """
    selected = {field.name: _select(getattr(record, field.name), rows) for field in fields(record)}  # type: ignore[arg-type]
    return replace(record, **selected)  # type: ignore[type-var]


def replace_rows(record: RecordT, rows: IntArray, fresh: RecordT) -> RecordT:
    """Copy `record` with the rows at indices `rows` replaced by the rows of `fresh`, in order."""
    merged = {
        field.name: _merge(getattr(record, field.name), rows, getattr(fresh, field.name))
        for field in fields(record)  # type: ignore[arg-type]
    }
    return replace(record, **merged)  # type: ignore[type-var]


def _select(value: Any, rows: NDArray[Any]) -> Any:
    if isinstance(value, np.ndarray):
        return value[rows]
    if hasattr(value, "__dataclass_fields__"):
        return select_rows(value, rows)
    return value


def _merge(value: Any, rows: IntArray, fresh: Any) -> Any:
    if isinstance(value, np.ndarray):
        merged = value.copy()
        merged[rows] = fresh
        return merged
    if hasattr(value, "__dataclass_fields__"):
        return replace_rows(value, rows, fresh)
    return value
