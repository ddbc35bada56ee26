"""Results pages: tables that a script writes anew, above what somebody has written about them."""

from pathlib import Path

__all__ = ["write_page"]


def write_page(path: Path, tables: str, heading: str) -> None:
    """Write `tables` to `path`, then `heading` and whatever stood under it in the file before.

    Raises:
        ValueError: if the file has no such heading, since its notes would be lost.
    """
    notes = ""
    if path.exists():
        before = path.read_text()
        _, found, notes = before.partition(f"\n{heading}\n")
        if not found:
            raise ValueError(f"{path} has no heading {heading!r}. Add it, or delete the file.")
    path.write_text(f"{tables.rstrip()}\n\n{heading}\n{notes}")
