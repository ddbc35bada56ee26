"""Extensions: users' own objects, given as `module:Name` in place of a registered name.

For security, reading a file never imports code. An extension named in a file is imported only if
the caller repeats its name: on the command line, or with `allow_extensions` in Python.
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
    """Whether a name has a colon, as in `module:Name`, and so cannot be a registered name."""
    return ":" in name


def check_import_path(name: str, option: str) -> None:
    """Raise an error unless `name` has the form `module:Name`; imports nothing.

    Raises:
        ConfigError: if it has another form; the message names `option`.
    """
    if not _IMPORT_PATH.fullmatch(name):
        raise ConfigError(
            f"{option} must be a registered name or module:Name, such as my_code:my_{option},"
            f" got {name!r}"
        )


def import_from_path(name: str, option: str) -> Any:
    """Import a user's object, which runs its module.

    Raises:
        ConfigError: if the name is malformed, the module is missing or raises an error, or the
            module has no such object.
    """
    check_import_path(name, option)
    module_name, _, attribute = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        hint = (
            "; modules are searched in the current folder and the installed packages"
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
    _ALLOWED.add(name)  # The caller named it and its module has run, so files may name it too.
    return getattr(module, attribute)


def where_raised(error: BaseException) -> str:
    """The error in one line, with the file and line of the user's code that raised it."""
    message = f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError):
        return message  # A SyntaxError includes its file and line.
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<") and Path(frame.filename) != Path(__file__)
    ]
    frames = [frame for frame in frames if "importlib" not in frame.filename]
    return f"{message} ({frames[-1].filename}, line {frames[-1].lineno})" if frames else message


def short_name(name: str) -> str:
    """The name for folders, tables and tags: `Name` for `module:Name`, else unchanged."""
    return name.rpartition(":")[2]


def import_paths_in(document: Any) -> Iterator[str]:
    """Yield every string in a JSON document that has the form `module:Name`."""
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
    """Raise an error if a file names an extension that the caller has not repeated.

    Args:
        document: JSON content of the file.
        source: the file or folder, for the message.
        repeated: names allowed in addition to those given to `allow_extensions`.

    Raises:
        ConfigError: with the extension, the file and how to allow it.
    """
    for name in import_paths_in(document):
        if name not in repeated and name not in _ALLOWED:
            raise ConfigError(
                f"{source} names the extension {name!r}. An extension named in a file is not"
                f" imported unless you repeat it: {_FLAG} {name} on the command line, or"
                f" mtf_rl.allow_extensions({name!r}) in Python"
            )


def allow_extensions(*names: str) -> None:
    """Allow files read by this process to name these extensions, which are then imported.

    Raises:
        ConfigError: if a name does not have the form `module:Name`.
    """
    for name in names:
        check_import_path(name, "extension")
        _ALLOWED.add(name)


def allowed_extensions() -> tuple[str, ...]:
    """Names that were allowed or imported so far, sorted; passed on to worker processes."""
    return tuple(sorted(_ALLOWED))


def repeated_on_command_line(words: Sequence[str]) -> list[str]:
    """Allow every `module:Name` in the arguments of a command.

    Returns:
        The arguments without `--extension NAME`, which has no other effect.
    """
    remaining: list[str] = []
    rest = iter(words)
    for word in rest:
        flag, _, value = word.partition("=")
        if flag == _FLAG:
            allow_extensions(value or next(rest, ""))
            continue
        remaining.append(word)
        for part in (word, value):
            if _IMPORT_PATH.fullmatch(part):
                allow_extensions(part)
    return remaining
