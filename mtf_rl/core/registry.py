"""A visible table of named entries, which the command line, JSON and tests iterate."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

from typing_extensions import override

from mtf_rl.core.errors import UnknownNameError

__all__ = ["Registry"]

EntryT = TypeVar("EntryT")


class Registry(Mapping[str, EntryT], Generic[EntryT]):
    """Names of one kind, in the order in which they are written.

    >>> Registry("scorer", {"mmoe": 1, "ple": 2})["pel"]
    Traceback (most recent call last):
        ...
    mtf_rl.core.errors.UnknownNameError: Unknown scorer 'pel'. Did you mean 'ple'? Known: mmoe, ple.
    """

    def __init__(self, kind: str, entries: Mapping[str, EntryT]) -> None:
        self.kind = kind
        self._entries = dict(entries)

    @override
    def __getitem__(self, name: str) -> EntryT:
        if name not in self._entries:
            raise UnknownNameError(self._complaint(name))
        return self._entries[name]

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    @override
    def __len__(self) -> int:
        return len(self._entries)

    def _complaint(self, name: str) -> str:
        nearest = difflib.get_close_matches(name, self._entries, n=1, cutoff=0.5)
        hint = f" Did you mean '{nearest[0]}'?" if nearest else ""
        return f"Unknown {self.kind} '{name}'.{hint} Known: {', '.join(self._entries)}."
