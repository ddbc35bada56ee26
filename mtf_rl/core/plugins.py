"""Extensions: a user's own object, named `module:Name` where an option takes a registered name.

One rule keeps files harmless: no file may have code imported. A name that a file holds is imported
only if the caller repeats it: on the command line, or with `allow_extensions` in Python.
"""

import difflib
import importlib
import re
import traceback
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from mtf_rl.core.errors import ConfigError

__all__ = [
    "allow_extensions",
    "allowed_extensions",
    "check_import_path",
    "import_from_path",
    "import_paths_in",
    "is_import_path",
    "refuse_unrepeated",
    "repeated_on_command_line",
    "short_name",
    "where_raised",
]

_FLAG = "--extension"
_ALLOWED: set[str] = set()
_IMPORT_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


def is_import_path(name: str) -> bool:
    """Whether a name is a user's own `module:Name`, not one of a registry."""
    return ":" in name


def check_import_path(name: str, option: str) -> None:
    """Refuse what is not of the form `module:Name`; imports nothing.

    Raises:
        ConfigError: naming the option that it was given for.
    """
    if not _IMPORT_PATH.fullmatch(name):
        raise ConfigError(
            f"{option} must be a registered name or module:Name, such as my_code:my_{option},"
            f" got {name!r}"
        )


def import_from_path(name: str, option: str) -> Any:
    """Import a user's object; this runs its module.

    Raises:
        ConfigError: if the name is malformed, the module is missing or raises an error, or has no
            such object.
    """
    check_import_path(name, option)
    module_name, _, attribute = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        hint = (
            "; modules are looked for in the current folder and among what is installed"
            if isinstance(error, ModuleNotFoundError)
            else ""
        )
        raise ConfigError(
            f"{option} {name!r} cannot be imported: {where_raised(error)}{hint}"
        ) from error
    if not hasattr(module, attribute):
        public = [known for known in vars(module) if not known.startswith("_")]
        nearest = difflib.get_close_matches(attribute, public, n=1, cutoff=0.5)
        hint = f" Did you mean '{module_name}:{nearest[0]}'?" if nearest else ""
        raise ConfigError(
            f"{option} {name!r} cannot be imported: {module.__file__} has no '{attribute}'.{hint}"
        )
    _ALLOWED.add(name)  # The caller named it, and its module has run: a file changes nothing now.
    return getattr(module, attribute)


def where_raised(error: BaseException) -> str:
    """The error in one line, with file and line of the user's code where it was raised."""
    said = f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError):
        return said  # It names its own file and line.
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<") and Path(frame.filename) != Path(__file__)
    ]
    own = [frame for frame in own if "importlib" not in frame.filename]
    return f"{said} ({own[-1].filename}, line {own[-1].lineno})" if own else said


def short_name(name: str) -> str:
    """A registered name as it is; of `module:Name` the Name, for folders, tables and tags."""
    return name.rpartition(":")[2]


def import_paths_in(document: Any) -> Iterator[str]:
    """Every text in a JSON document that has the form `module:Name`."""
    if isinstance(document, str):
        if _IMPORT_PATH.fullmatch(document):
            yield document
    elif isinstance(document, dict):
        for value in document.values():
            yield from import_paths_in(value)
    elif isinstance(document, list):
        for value in document:
            yield from import_paths_in(value)


def refuse_unrepeated(document: Any, *, source: object, repeated: Collection[str] = ()) -> None:
    """Refuse a file's document that names an extension which the caller has not repeated.

    Args:
        document: what the file holds, as JSON.
        source: the file or folder, for the message.
        repeated: names that the caller gave, beside those that `allow_extensions` was called with.

    Raises:
        ConfigError: naming the extension, the file and the remedy.
    """
    for name in import_paths_in(document):
        if name not in repeated and name not in _ALLOWED:
            raise ConfigError(
                f"{source} names the extension {name!r}. Nothing that a file names is imported"
                f" unless you repeat it: {_FLAG} {name} on the command line, or"
                f" mtf_rl.allow_extensions({name!r}) in Python"
            )


def allow_extensions(*names: str) -> None:
    """Repeat the names of your own extensions, so that files read by this process may hold them.

    Raises:
        ConfigError: if a name is not of the form `module:Name`.
    """
    for name in names:
        check_import_path(name, "extension")
        _ALLOWED.add(name)


def allowed_extensions() -> tuple[str, ...]:
    """The names that were repeated or imported so far, for worker processes."""
    return tuple(sorted(_ALLOWED))


def repeated_on_command_line(words: Sequence[str]) -> list[str]:
    """Allow every `module:Name` among a command's words, which its user typed.

    Returns:
        The words without `--extension NAME`, which has no other effect.
    """
    kept: list[str] = []
    rest = iter(words)
    for word in rest:
        flag, _, value = word.partition("=")
        if flag == _FLAG:
            allow_extensions(value or next(rest, ""))
            continue
        kept.append(word)
        for part in (word, value):
            if _IMPORT_PATH.fullmatch(part):
                allow_extensions(part)
    return kept
