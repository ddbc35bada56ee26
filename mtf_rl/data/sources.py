"""Find the files of a data folder and read their bytes."""

import gzip
import hashlib
import lzma
import zlib
from dataclasses import dataclass
from pathlib import Path

import zstandard

from mtf_rl.core.errors import DataError
from mtf_rl.data.schema import FileKind

__all__ = ["FoundFile", "SourceFile", "find_files", "read_source"]

_SUFFIXES = (".csv", ".csv.gz", ".csv.xz", ".csv.zst")


@dataclass(frozen=True)
class FoundFile:
    """A file and its kind, identified by name."""

    path: Path
    kind: FileKind


@dataclass(frozen=True)
class SourceFile:
    """A file that was read: `rows` without the header, `sha256` of the file as stored."""

    name: str
    kind: FileKind
    rows: int
    sha256: str
    ignored_columns: tuple[str, ...] = ()


def find_files(directory: Path) -> tuple[FoundFile, ...]:
    """Find KuaiRand's files in `directory` by prefix, in the order of their names.

    Raises:
        DataError: if the folder is missing or has no log.
    """
    if not directory.is_dir():
        raise DataError(
            f"No folder {directory}. Give the folder with KuaiRand's CSV files; download them from"
            " https://kuairand.com"
        )
    found = tuple(
        FoundFile(path, kind)
        for path in sorted(directory.iterdir())
        for kind in FileKind
        if path.name.startswith(f"{kind}_") and path.is_file()
    )
    for file in found:
        if not file.path.name.endswith(_SUFFIXES):
            raise DataError(
                f"{file.path.name} is named like a KuaiRand file but does not end in one of"
                f" {', '.join(_SUFFIXES)}. Convert it, or move it out of {directory}."
            )
    if not any(file.kind.is_log for file in found):
        here = ", ".join(path.name for path in sorted(directory.iterdir())[:8]) or "nothing"
        raise DataError(
            f"No log in {directory}: expected a file log_standard_*.csv or log_random_*.csv"
            f" (plain, .gz, .xz or .zst), or a folder written by python -m mtf_rl.prepare; found"
            f" {here}. Put the log there, or give its folder. Download KuaiRand from"
            " https://kuairand.com"
        )
    return found


def read_source(path: Path) -> tuple[bytes, str]:
    """The decompressed bytes of a file, and the SHA-256 of the file as stored.

    Raises:
        DataError: if the file cannot be opened, or its compressed stream is incomplete.
    """
    try:
        stored = path.read_bytes()
        return _decompress(path, stored), hashlib.sha256(stored).hexdigest()
    except (EOFError, OSError, lzma.LZMAError, zlib.error, zstandard.ZstdError) as error:
        raise DataError(
            f"{path.name} cannot be read to its end ({error}). It may be truncated: download it"
            " again."
        ) from error


def _decompress(path: Path, stored: bytes) -> bytes:
    if path.suffix == ".gz":
        return gzip.decompress(stored)
    if path.suffix == ".xz":
        return lzma.decompress(stored)
    if path.suffix == ".zst":
        return _decompress_zstd(stored)
    return stored


def _decompress_zstd(stored: bytes) -> bytes:
    """Decompress all frames; zstandard's stream reader does not report a truncated file."""
    parts = []
    while stored:
        frame = zstandard.ZstdDecompressor().decompressobj()
        parts.append(frame.decompress(stored))
        if not frame.eof:
            raise EOFError("the last frame is not complete")
        stored = frame.unused_data
    return b"".join(parts)
