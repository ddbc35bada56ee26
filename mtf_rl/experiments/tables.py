"""Tables of text cells, for the screen and for pages."""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Table", "plain"]


@dataclass(frozen=True)
class Table:
    """A titled table of text cells."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def to_markdown(self) -> str:
        """A heading, the note and the table."""
        lines = [f"## {self.title}", ""]
        if self.note:
            lines += [self.note, ""]
        lines += [f"| {' | '.join(self.columns)} |", "|" + " --- |" * len(self.columns)]
        lines += [f"| {' | '.join(row)} |" for row in self.rows]
        return "\n".join(lines)


def plain(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Cells without Markdown's stars."""
    return [[cell.replace("**", "") for cell in row] for row in rows]
