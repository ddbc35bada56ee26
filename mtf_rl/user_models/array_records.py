"""Dataclasses of arrays that a flat archive can hold."""

from collections.abc import Mapping
from dataclasses import Field, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["NOT_AN_ARRAY", "ArrayRecord"]

NOT_AN_ARRAY = {"array": False}


class ArrayRecord:
    """A dataclass of arrays (and of other such dataclasses) that a flat archive can hold.

    A field with the metadata `NOT_AN_ARRAY` is left out: whoever reads the archive gives it.
    """

    def to_arrays(self, prefix: str) -> dict[str, NDArray[Any]]:
        """Every array, under `prefix.field`."""
        arrays: dict[str, NDArray[Any]] = {}
        for field in _array_fields(self):
            value = getattr(self, field.name)
            name = f"{prefix}.{field.name}"
            if isinstance(value, ArrayRecord):
                arrays |= value.to_arrays(name)
            else:
                arrays[name] = np.asarray(value)
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], prefix: str, **given: Any) -> Self:
        """What `to_arrays(prefix)` took apart, with the fields that are no arrays as `given`."""
        values: dict[str, Any] = dict(given)
        for field in _array_fields(cls):
            name = f"{prefix}.{field.name}"
            record = field.type
            if isinstance(record, type) and issubclass(record, ArrayRecord):
                values[field.name] = record.from_arrays(arrays, name)
            else:
                values[field.name] = arrays[name]
        return cls(**values)


def _array_fields(record: Any) -> list[Field[Any]]:
    return [field for field in fields(record) if field.metadata.get("array", True)]
