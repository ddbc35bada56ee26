"""Dataclasses of arrays that can be stored in a flat archive."""

from collections.abc import Mapping
from dataclasses import Field, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["NOT_AN_ARRAY", "STORED_AS", "ArrayRecord"]

NOT_AN_ARRAY = {"array": False}
STORED_AS = "stored_as"
"""Metadata key: the field's name in archives, if it differs from its name in the class."""


class ArrayRecord:
    """A dataclass of arrays and nested `ArrayRecord`s that can be stored in a flat archive.

    Fields with the metadata `NOT_AN_ARRAY` are not stored; pass them to `from_arrays`.
    """

    def to_arrays(self, prefix: str) -> dict[str, NDArray[Any]]:
        """All arrays by their name in the archive, `prefix.field`."""
        arrays: dict[str, NDArray[Any]] = {}
        for field in _array_fields(self):
            value = getattr(self, field.name)
            name = _stored_name(prefix, field)
            if isinstance(value, ArrayRecord):
                arrays |= value.to_arrays(name)
            else:
                arrays[name] = np.asarray(value)
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], prefix: str, **given: Any) -> Self:
        """Rebuild the record from `to_arrays(prefix)`; `given` holds the fields not stored."""
        values: dict[str, Any] = dict(given)
        for field in _array_fields(cls):
            name = _stored_name(prefix, field)
            record = field.type
            if isinstance(record, type) and issubclass(record, ArrayRecord):
                values[field.name] = record.from_arrays(arrays, name)
            else:
                values[field.name] = arrays[name]
        return cls(**values)


def _stored_name(prefix: str, field: Field[Any]) -> str:
    return f"{prefix}.{field.metadata.get(STORED_AS, field.name)}"


def _array_fields(record: Any) -> list[Field[Any]]:
    return [field for field in fields(record) if field.metadata.get("array", True)]
