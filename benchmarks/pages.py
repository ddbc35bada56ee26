"""Results pages: a script writes the tables anew and keeps the notes below them."""

import textwrap
from pathlib import Path

__all__ = ["FINDINGS", "wrapped", "write_page"]

FINDINGS = "## Findings"
"""Heading above the notes of most pages."""
_COLUMNS = 100


def write_page(path: Path, tables: str, heading: str = FINDINGS) -> None:
    """Write `tables` to `path`, then `heading` and the notes that the file has under it.

    Raises:
        ValueError: if the file has no such heading, since its notes would be lost.
    """
    notes = ""
    if path.exists():
        before = path.read_text()
        _, found, notes = before.partition(f"\n{heading}\n")
        if not found:
            raise ValueError(f"{path} has no heading {heading!r}. Add it, or delete the file.")
    path.write_text(f"{wrapped(tables).rstrip()}\n\n{heading}\n{notes}")


def wrapped(page: str) -> str:
    """The page with its paragraphs wrapped; headings, tables and code keep their lines."""
    blocks = page.split("\n\n")
    return "\n\n".join(block if _keeps_lines(block) else _wrap(block) for block in blocks)


def _keeps_lines(block: str) -> bool:
    return block.lstrip("\n").startswith(("#", "|", "    ", "```", "- ", "!["))


def _wrap(paragraph: str) -> str:
    end = "\n" if paragraph.endswith("\n") else ""
    lines = textwrap.wrap(paragraph, _COLUMNS, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines) + end
