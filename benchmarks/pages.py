"""Results pages: tables that a script writes anew, above what somebody has written about them."""

from pathlib import Path

__all__ = ["write_page"]


def write_page(path: Path, tables: str, heading: str) -> None:
    """Write `tables` to `path`, then `heading` and whatever stood under it in the file before."""
    before = path.read_text() if path.exists() else ""
    _, _, notes = before.partition(f"{heading}\n")
    path.write_text(f"{tables.rstrip()}\n\n{heading}\n{notes}")
