"""Names that a package offers and imports on first use.

`import torch` takes seconds, and neither `--help`, a mistyped flag nor serving a policy needs it.
A package therefore lists its imports under `if TYPE_CHECKING`, where readers, mypy and linters see
them as ever, and `lazy_names` makes the `__getattr__` (PEP 562) that runs each on first use.
"""

import ast
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["lazy_names"]


def lazy_names(package: str, file: str) -> Callable[[str], Any]:
    """The `__getattr__` of a package that imports on first use what its source lists.

    Args:
        package: the package's `__name__`.
        file: its `__file__`, whose `from module import name` under `if TYPE_CHECKING` are read.

    Raises:
        ValueError: if a name is also a module of the package. Importing the module would put it in
            the name's place.
    """
    lazy = [
        statement
        for node in ast.parse(Path(file).read_text(encoding="utf-8")).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for statement in node.body
    ]
    origins = {
        alias.name: statement.module or ""
        for statement in lazy
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
    clashes = sorted(name for name in origins if f"{package}.{name}" in origins.values())
    if clashes:
        raise ValueError(f"{package} cannot import {clashes[0]} on first use: it is also a module")

    def find(name: str) -> Any:
        if name not in origins:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        found = getattr(importlib.import_module(origins[name]), name)
        setattr(sys.modules[package], name, found)
        return found

    return find
