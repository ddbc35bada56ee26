"""Registry of named entries, shared by the command line, JSON files and tests."""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from typing_extensions import override

from mtf_rl.core.errors import ConfigError, UnknownNameError
from mtf_rl.core.plugins import check_import_path, import_from_path, is_import_path

__all__ = ["Registry"]

EntryT = TypeVar("EntryT")

_NAME = re.compile(r"[^\W\d]\w*")


class Registry(Mapping[str, EntryT], Generic[EntryT]):
    """Entries of one kind by name, in the order of definition.

    `resolve` also imports a user's own `module:Name`, so call it only on names that the caller
    gave, never on a name that only a file has. Indexing imports nothing: it accepts registered
    names, and extensions that were resolved before.

    >>> Registry("scorer", {"mmoe": 1, "ple": 2})["pel"]
    Traceback (most recent call last):
        ...
    mtf_rl.core.errors.UnknownNameError: Unknown scorer 'pel'. Did you mean 'ple'? Known: mmoe, ple.

    Args:
        kind: name of the kind of entry, for messages.
        entries: entries by name.
        adapt: function of (name, object) that turns a user's object into an entry, or raises a
            ConfigError with what was expected. None: `module:Name` is not accepted.
    """

    def __init__(
        self,
        kind: str,
        entries: Mapping[str, EntryT],
        *,
        adapt: Callable[[str, Any], EntryT] | None = None,
    ) -> None:
        self.kind = kind
        self._entries = dict(entries)
        self._built_in = frozenset(entries)
        self._adapt = adapt
        self._own: dict[str, EntryT] = {}

    @override
    def __getitem__(self, name: str) -> EntryT:
        if name in self._own:
            return self._own[name]
        if name not in self._entries:
            raise UnknownNameError(self._unknown_name(name))
        return self._entries[name]

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    @override
    def __len__(self) -> int:
        return len(self._entries)

    def register(self, name: str, entry: Any) -> None:
        """Add an entry under a new name in this process, for use in notebooks.

        Worker processes do not have the entry; use `module:Name` with commands that start workers.

        Raises:
            ConfigError: if the name is taken or not a plain word, or the entry is not of this kind.
        """
        if name in self._entries:
            raise ConfigError(
                f"{self.kind} '{name}' is registered already; choose another name. Taken:"
                f" {', '.join(self._entries)}"
            )
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"the name of a {self.kind} must be one word of letters, digits and _, got {name!r}"
            )
        self._entries[name] = self.adapted(name, entry)

    def adapted(self, name: str, own: Any) -> EntryT:
        """Turn a user's object into an entry.

        Raises:
            ConfigError: if the object is not of this kind.
        """
        entry: EntryT = own if self._adapt is None else self._adapt(name, own)
        return entry

    def check(self, name: str) -> None:
        """Raise an error if `name` cannot be an entry; imports nothing.

        Raises:
            UnknownNameError: if it is neither registered nor of the form `module:Name`.
            ConfigError: if it has a colon, but not the form `module:Name`.
        """
        if self._adapt is not None and is_import_path(name):
            check_import_path(name, self._option)
        else:
            self[name]

    def resolve(self, name: str) -> EntryT:
        """The entry of this name; a `module:Name` is imported, which runs the module.

        Raises:
            UnknownNameError: if it is neither registered nor of the form `module:Name`.
            ConfigError: if the object cannot be imported or is not of this kind.
        """
        if self._adapt is not None and is_import_path(name):
            self._own[name] = self.adapted(name, import_from_path(name, self._option))
        return self[name]

    def name_of(self, entry: EntryT) -> str | None:
        """The name of a registered or resolved entry; None for any other object."""
        named = (*self._entries.items(), *self._own.items())
        return next((name for name, candidate in named if candidate is entry), None)

    @property
    def registered_here(self) -> frozenset[str]:
        """Names added by `register` in this process; worker processes do not have them."""
        return frozenset(self._entries) - self._built_in

    @property
    def _option(self) -> str:
        return self.kind.split()[-1]

    def _unknown_name(self, name: str) -> str:
        nearest = difflib.get_close_matches(name, self._entries, n=1, cutoff=0.5)
        hint = f" Did you mean '{nearest[0]}'?" if nearest else ""
        own = "" if self._adapt is None else " Or your own, as module:Name."
        return f"Unknown {self.kind} '{name}'.{hint} Known: {', '.join(self._entries)}.{own}"
