"""Errors caused by a user's input: options, files, arrays.

Each class derives from `MtfRlError`, which commands catch and print, and from the builtin
exception that other callers would expect. A message states what is wrong, what was expected and
what to do.
"""

__all__ = [
    "ArtifactError",
    "ConfigError",
    "DataError",
    "LeakageError",
    "MtfRlError",
    "RunFolderError",
    "ShapeError",
    "UnknownNameError",
]


class MtfRlError(Exception):
    """Base class: an option, a file or a caller's array is invalid."""


class ConfigError(MtfRlError, ValueError):
    """A setting is out of range or contradicts another one."""


class ShapeError(MtfRlError, ValueError):
    """An array does not have the documented shape or type."""


class DataError(MtfRlError, ValueError):
    """Data rows have invalid values."""


class LeakageError(MtfRlError, ValueError):
    """Two splits that must be disjoint have rows in common."""


class ArtifactError(MtfRlError, OSError):
    """A saved file is missing, damaged, or of another version."""


class RunFolderError(MtfRlError, OSError):
    """A run folder is in use, missing, or not a run."""


class UnknownNameError(MtfRlError, KeyError):
    """A name is not in a registry."""

    # KeyError prints the repr of its argument, which would put the message in quotes.
    __str__ = Exception.__str__
