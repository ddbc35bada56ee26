"""Atomic file writes, and reads that never run code (no pickle)."""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtf_rl.core.errors import ArtifactError

__all__ = [
    "load_arrays",
    "load_json",
    "replace_atomically",
    "save_arrays",
    "save_json",
    "sha256_of",
]


def replace_atomically(path: Path, content: bytes) -> None:
    """Write `content` to a temporary file in the same folder, then rename it to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def save_json(path: Path, value: Any) -> None:
    """Write a JSON document atomically, indented by two spaces."""
    replace_atomically(path, (json.dumps(value, indent=2) + "\n").encode())


def load_json(path: Path) -> Any:
    """Read a JSON document.

    Raises:
        ArtifactError: if the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as error:
        raise ArtifactError(f"No file {path}. Is this the folder of a finished run?") from error
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} is not a JSON file ({error}).") from error


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays atomically as .npz, without pickle; equal arrays give equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.npz")
    try:
        np.savez(temporary, allow_pickle=False, **arrays)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read a file written by `save_arrays`.

    Raises:
        ArtifactError: if the file is missing, damaged, or has pickled objects.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError as error:
        raise ArtifactError(f"No file {path}. Is this the folder of a finished run?") from error
    except Exception as error:
        raise ArtifactError(f"{path} cannot be read ({error}). Make it again.") from error


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
