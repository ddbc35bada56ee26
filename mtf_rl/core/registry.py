"""A visible table of named entries, which the command line, JSON and tests iterate."""

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
    """Names of one kind, in the order in which they are written.

    `resolve` also imports a user's own `module:Name`, so it is called on names that the caller
    gave, never on one that only a file holds. Indexing imports nothing: it finds registered names,
    and own ones that were resolved before.

    >>> Registry("scorer", {"mmoe": 1, "ple": 2})["pel"]
    Traceback (most recent call last):
        ...
    mtf_rl.core.errors.UnknownNameError: Unknown scorer 'pel'. Did you mean 'ple'? Known: mmoe, ple.

    Args:
        kind: what an entry is, for messages.
        entries: the entries by name.
        adapt: makes an entry of a user's own object, given its name too; it raises a ConfigError
            that says what was expected. Without it the kind takes no extension by `module:Name`.
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
            raise UnknownNameError(self._complaint(name))
        return self._entries[name]

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    @override
    def __len__(self) -> int:
        return len(self._entries)

    def register(self, name: str, entry: Any) -> None:
        """Add an entry under a new name, for this process: a notebook's way to extend the table.

        Worker processes do not share it. Name `module:Name` where a command starts workers.

        Raises:
            ConfigError: if the name is taken or no plain word, or the entry is not of the kind.
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
        """The entry that a user's own object makes.

        Raises:
            ConfigError: if it is not of this kind.
        """
        entry: EntryT = own if self._adapt is None else self._adapt(name, own)
        return entry

    def check(self, name: str) -> None:
        """Refuse a name that cannot be an entry's; imports nothing.

        Raises:
            UnknownNameError: if it is neither registered nor of the form `module:Name`.
            ConfigError: if it has a colon, but is not of that form.
        """
        if self._adapt is not None and is_import_path(name):
            check_import_path(name, self._option)
        else:
            self[name]

    def resolve(self, name: str) -> EntryT:
        """The entry of that name; a `module:Name` is imported, which runs the module.

        Raises:
            UnknownNameError: if it is neither registered nor of the form `module:Name`.
            ConfigError: if the object cannot be imported, or is not of this kind.
        """
        if self._adapt is not None and is_import_path(name):
            self._own[name] = self.adapted(name, import_from_path(name, self._option))
        return self[name]

    def name_of(self, entry: EntryT) -> str | None:
        """The name of an entry that is registered or was resolved; None if it is neither."""
        named = (*self._entries.items(), *self._own.items())
        return next((name for name, known in named if known is entry), None)

    @property
    def registered_here(self) -> frozenset[str]:
        """Names that `register` added in this process, which its workers do not know."""
        return frozenset(self._entries) - self._built_in

    @property
    def _option(self) -> str:
        return self.kind.split()[-1]

    def _complaint(self, name: str) -> str:
        nearest = difflib.get_close_matches(name, self._entries, n=1, cutoff=0.5)
        hint = f" Did you mean '{nearest[0]}'?" if nearest else ""
        own = "" if self._adapt is None else " Or your own, as module:Name."
        return f"Unknown {self.kind} '{name}'.{hint} Known: {', '.join(self._entries)}.{own}"
