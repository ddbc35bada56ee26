"""Lazy imports: a package's public names are imported on first use.

`import torch` takes seconds, but `--help`, error messages about flags and policy serving do not
need it. A package lists its imports under `if TYPE_CHECKING`, where mypy and linters still see
them. `lazy_names` returns the `__getattr__` (PEP 562) that runs each import on first use.
"""

import ast
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["lazy_names"]


def lazy_names(package: str, file: str) -> Callable[[str], Any]:
    """Return a module-level `__getattr__` that imports a package's names on first use.

    Args:
        package: `__name__` of the package.
        file: `__file__` of the package; its `from module import name` statements under
            `if TYPE_CHECKING` define the names.

    Raises:
        ValueError: if a name is also a module of the package: importing the module would overwrite
            the name.
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

    def import_name(name: str) -> Any:
        if name not in origins:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(origins[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    return import_name
