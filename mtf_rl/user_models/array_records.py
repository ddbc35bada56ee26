"""Dataclasses of arrays that a flat archive can hold."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["ArrayRecord"]


class ArrayRecord:
    """A dataclass of arrays (and of other such dataclasses) that a flat archive can hold."""

    def to_arrays(self, prefix: str) -> dict[str, NDArray[Any]]:
        """Every array, under `prefix.field`."""
        arrays: dict[str, NDArray[Any]] = {}
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            name = f"{prefix}.{field.name}"
            if isinstance(value, ArrayRecord):
                arrays |= value.to_arrays(name)
            else:
                arrays[name] = np.asarray(value)
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], prefix: str) -> Self:
        """What `to_arrays(prefix)` took apart."""
        values: dict[str, Any] = {}
        for field in fields(cls):  # type: ignore[arg-type]
            name = f"{prefix}.{field.name}"
            record = field.type
            if isinstance(record, type) and issubclass(record, ArrayRecord):
                values[field.name] = record.from_arrays(arrays, name)
            else:
                values[field.name] = arrays[name]
        return cls(**values)
