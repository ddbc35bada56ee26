"""Errors that tell a user what was wrong, what was expected and what to do.

Each derives from `MtfRlError`, so that a command can frame it, and from the builtin that a
stranger to the project would catch.
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
    """Something outside the program was wrong: an option, a file, a caller's array."""


class ConfigError(MtfRlError, ValueError):
    """A setting is out of range or contradicts another one."""


class ShapeError(MtfRlError, ValueError):
    """An array does not have the documented shape or type."""


class DataError(MtfRlError, ValueError):
    """Rows that were read or given do not hold what they must."""


class LeakageError(MtfRlError, ValueError):
    """Two parts that must not share rows, share rows."""


class ArtifactError(MtfRlError, OSError):
    """A saved file is missing, torn, or of another version."""


class RunFolderError(MtfRlError, OSError):
    """A run folder is in use, missing, or not a run."""


class UnknownNameError(MtfRlError, KeyError):
    """A name is not in a registry."""

    # KeyError shows the repr of its argument, which puts a sentence in quotes.
    __str__ = Exception.__str__
