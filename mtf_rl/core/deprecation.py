"""Deprecation notes: old spellings are accepted for one release with one line on stderr."""

import sys

__all__ = ["note_old_spelling"]

_NOTED: set[tuple[str, str]] = set()


def note_old_spelling(old: str, new: str) -> None:
    """Print once per process that `old` is deprecated in favour of `new`."""
    if (old, new) not in _NOTED:
        _NOTED.add((old, new))
        sys.stderr.write(f"{old} is the old spelling of {new}; the next release refuses it.\n")
