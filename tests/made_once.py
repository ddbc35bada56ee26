"""Folders that take seconds to make, made once for all tests and all worker processes."""

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path

__all__ = ["MadeOnce"]


class MadeOnce:
    """A folder for each name, shared by the processes of one test session.

    The first process that asks makes it, others wait. Nobody may write into it: a test that has
    to takes `copy`.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def folder(self, name: str, make: Callable[[Path], object]) -> Path:
        """The folder that `make` fills; `make` gets its path, and may create it."""
        folder, done = self._root / name, self._root / f"{name}.done"
        with (self._root / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                make(folder)
                done.touch()
        return folder
