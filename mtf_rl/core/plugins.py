"""A user's own functions, named `module:function` and imported only where the user names them.

No artifact may name one: what a file asks for is never imported without the user repeating it.
"""

import importlib
from collections.abc import Callable
from typing import Any

from mtf_rl.core.errors import ConfigError

__all__ = ["check_import_path", "import_from_path", "is_import_path"]


def is_import_path(name: str) -> bool:
    """Whether a name is a user's own `module:function`, not one of a registry."""
    return ":" in name


def check_import_path(name: str, option: str) -> None:
    """Refuse what is not of the form `module:function`; imports nothing.

    Raises:
        ConfigError: naming the option that it was given for.
    """
    module, colon, function = name.partition(":")
    named = all(part.isidentifier() for part in module.split(".")) and function.isidentifier()
    if not (colon and named):
        raise ConfigError(
            f"{option} must be named module:function, such as my_code:{option}, got {name!r}"
        )


def import_from_path(name: str, option: str) -> Callable[..., Any]:
    """Import a user's function; this runs its module, whose own errors pass through.

    Raises:
        ConfigError: if the name is malformed, or the module or a function in it not to be had.
    """
    check_import_path(name, option)
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"{option} {name!r} cannot be imported ({error}); modules are looked for in the"
            " current folder and among what is installed"
        ) from error
    if not callable(found):
        raise ConfigError(f"{option} {name!r} must be a function, got {found!r}")
    function_found: Callable[..., Any] = found
    return function_found
