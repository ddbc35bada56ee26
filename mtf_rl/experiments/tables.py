"""Typed tables: numbers stay numbers until a table is written as text, Markdown or HTML."""

import html
import math
import shutil
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from mtf_rl.evaluation import Interval
from mtf_rl.experiments.console import Terminal

__all__ = [
    "Cell",
    "Column",
    "Marked",
    "Table",
    "screen_width",
    "show",
    "to_html",
    "to_text",
    "wrapped",
]

MAX_WIDTH = 100
NAME_WIDTH = 22
_GAP = "  "


@dataclass(frozen=True)
class Marked:
    """A number with a mark, such as a significant loss."""

    value: "float | Interval"
    mark: str = "!"


Cell = str | int | float | Interval | Marked | None
"""Text, a count, a number, a number with its 95 % CI, or nothing."""


@dataclass(frozen=True)
class Column:
    """The head of a column and the format of its numbers."""

    head: str
    scale: float = 1.0
    """Factor that numbers are multiplied by: 100 for %, 1,000 for ‰."""
    signed: bool = False
    """Whether a plus sign is written, as for differences."""
    decimals: int | None = None
    """Number of decimals; by default two significant digits of the median margin."""
    min_decimals: int = 0
    """Minimum of the default number of decimals."""
    better: int = 0
    """For differences: +1 if more is better, -1 if less is better, 0 if neither."""


@dataclass(frozen=True)
class Table:
    """A titled table; the first column has the names of its rows."""

    title: str
    columns: tuple[Column | str, ...]
    """A string is a column of text or counts."""
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    bold: frozenset[str] = field(default_factory=frozenset)
    """Names of rows that are bold in Markdown and HTML."""

    @property
    def heads(self) -> tuple[Column, ...]:
        """The columns with their formats."""
        return tuple(
            column if isinstance(column, Column) else Column(column) for column in self.columns
        )

    def texts(self) -> list[list[str]]:
        """The cells as text, row by row."""
        written = [
            [_written(cell, column, decimals, as_margin=as_margin) for cell in cells]
            for column, cells, (decimals, as_margin) in zip(
                self.heads, self._cells, self._formats, strict=True
            )
        ]
        return [list(row) for row in zip(*written, strict=True)]

    def to_markdown(self) -> str:
        """A heading, the note and the table."""
        lines = [f"## {self.title}", ""]
        if self.note:
            lines += [self.note, ""]
        lines += [f"| {' | '.join(column.head for column in self.heads)} |"]
        lines += ["|" + " --- |" * len(self.heads)]
        for row in self.texts():
            name = f"**{row[0]}**" if row[0] in self.bold else row[0]
            lines.append(f"| {' | '.join(_escaped(cell) for cell in (name, *row[1:]))} |")
        return "\n".join(lines)

    @property
    def _cells(self) -> list[list[Cell]]:
        """The cells of each column."""
        return [[row[position] for row in self.rows] for position in range(len(self.heads))]

    @property
    def _formats(self) -> list[tuple[int, bool]]:
        """For each column, its decimals and whether intervals are written as margins."""
        return [
            (
                column.decimals if column.decimals is not None else _usual_decimals(column, cells),
                all(_is_symmetric(_bare(cell)) for cell in cells),
            )
            for column, cells in zip(self.heads, self._cells, strict=True)
        ]


def screen_width() -> int:
    """Width of the terminal, or COLUMNS, at most 100; 100 without a terminal."""
    return min(MAX_WIDTH, shutil.get_terminal_size((MAX_WIDTH, 24)).columns)


def wrapped(text: str, width: int) -> str:
    """Break a paragraph into lines of at most `width`; `95 %` and `1 ± 2` stay on one line."""
    joined = text.replace(" %", "\u00a0%").replace(" ± ", "\u00a0±\u00a0")
    lines = textwrap.fill(joined, width, break_long_words=False, break_on_hyphens=False)
    return lines.replace("\u00a0", " ")


def show(table: Table, terminal: Terminal) -> None:
    """Print a table and its note, so that they fit the terminal."""
    terminal.say("")
    terminal.stage(wrapped(table.title, screen_width()))
    terminal.say(to_text(table, screen_width()))
    if table.note:
        terminal.say(wrapped(table.note, screen_width()))


def to_text(table: Table, width: int) -> str:
    """Format the table as text without its title.

    Columns that do not fit are printed below, with the row names repeated. Long names and heads
    are folded; numbers are never cut.
    """
    names = [_folded(row[0], NAME_WIDTH) for row in table.texts()]
    head = _folded(table.heads[0].head, NAME_WIDTH)
    first = max((len(line) for lines in (head, *names) for line in lines), default=0)
    blocks = [
        _block(table.heads[position].head, [row[position] for row in table.texts()])
        for position in range(1, len(table.heads))
    ]
    parts = _parts([len(block[0][0]) + len(_GAP) for block in blocks], width - first)
    texts = [
        _part_text(head, names, first, [blocks[position] for position in part]) for part in parts
    ]
    return "\n\n".join(texts)


def to_html(table: Table) -> str:
    """Format the table as HTML; each cell has its number as sort key.

    Differences whose CI excludes 0 are coloured by whether the change is better or worse.
    """
    heads = "".join(
        f"<th><button>{html.escape(column.head)}</button></th>" for column in table.heads
    )
    rows = "\n".join(
        "<tr>"
        + "".join(
            _html_cell(cell, text, column, bold=position == 0 and text in table.bold)
            for position, (cell, text, column) in enumerate(
                zip(row, texts, table.heads, strict=True)
            )
        )
        + "</tr>"
        for row, texts in zip(table.rows, table.texts(), strict=True)
    )
    note = f'<p class="note">{html.escape(table.note)}</p>' if table.note else ""
    return (
        f"<h2>{html.escape(table.title)}</h2>{note}\n"
        f'<div class="wide"><table><thead><tr>{heads}</tr></thead>\n<tbody>{rows}</tbody>'
        "</table></div>"
    )


def _html_cell(cell: Cell, text: str, column: Column, *, bold: bool) -> str:
    value = _bare(cell)
    number = value.mean if isinstance(value, Interval) else value
    key = "" if number is None else str(number)
    shown = f"<b>{html.escape(text)}</b>" if bold else html.escape(text)
    return f'<td data-key="{html.escape(key)}"{_colour(value, column)}>{shown}</td>'


def _colour(value: Cell, column: Column) -> str:
    if not column.better or not isinstance(value, Interval) or not value.excludes_zero:
        return ""
    return ' class="better"' if value.mean * column.better > 0.0 else ' class="worse"'


def _bare(cell: Cell) -> str | int | float | Interval | None:
    return cell.value if isinstance(cell, Marked) else cell


def _is_symmetric(value: Cell) -> bool:
    """Whether an interval is symmetric and finite; also True for other cells."""
    if not isinstance(value, Interval) or not math.isfinite(value.high - value.low):
        return True
    margins = value.high - value.mean, value.mean - value.low
    return math.isclose(*margins, rel_tol=1e-6, abs_tol=1e-12)


def _usual_decimals(column: Column, cells: Sequence[Cell]) -> int:
    """Decimals for two significant digits of the median margin, 0 to 4; 2 without intervals."""
    margins = sorted(
        column.scale * (value.high - value.low) / 2.0
        for value in map(_bare, cells)
        if isinstance(value, Interval) and 0.0 < value.high - value.low < math.inf
    )
    if not margins:
        return 2
    return min(4, max(column.min_decimals, 1 - math.floor(math.log10(margins[len(margins) // 2]))))


def _written(cell: Cell, column: Column, decimals: int, *, as_margin: bool) -> str:
    value = _bare(cell)
    mark = f" {cell.mark}" if isinstance(cell, Marked) else ""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, int):
        return f"{value:,}{mark}"
    if not isinstance(value, Interval):
        return f"{_number(value, column, decimals)}{mark}"
    mean = _number(value.mean, column, decimals)
    if not math.isfinite(value.high - value.low):
        return f"{mean}{' (no CI)' if math.isfinite(value.mean) else ''}{mark}"
    if as_margin:
        margin = replace(column, signed=False)
        return f"{mean} ± {_number((value.high - value.low) / 2.0, margin, decimals)}{mark}"
    low, high = (_number(limit, column, decimals) for limit in (value.low, value.high))
    return f"{mean} [{low}, {high}]{mark}"


def _number(value: float, column: Column, decimals: int) -> str:
    if not math.isfinite(value):
        return "n/a"
    rounded = round(column.scale * value, decimals) + 0.0  # no "-0.0"
    return f"{rounded:{'+' if column.signed else ''},.{decimals}f}"


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")


def _folded(name: str, width: int) -> list[str]:
    """Break a name after `_`, `/` or a space into lines of at most `width`."""
    lines = [""]
    for part in name.replace("_", "_\0").replace("/", "/\0").replace(" ", " \0").split("\0"):
        if lines[-1] and len(lines[-1]) + len(part.rstrip()) > width:
            lines.append("  ")
        lines[-1] += part
    return [line.rstrip() for line in lines]


def _block(head: str, cells: Sequence[str]) -> tuple[list[str], list[str]]:
    """The folded head and the cells of a column, right-aligned to one width.

    Numbers are aligned with or without marks at the end of the cells.
    """
    if any(cell.endswith(" !") for cell in cells):
        cells = [cell if cell.endswith(" !") else f"{cell}  " for cell in cells]
    words = max((len(word) for word in head.split()), default=0)
    width = max([words, *(len(cell) for cell in cells)])
    heads = textwrap.wrap(head, width) or [""]
    return [line.rjust(width) for line in heads], [cell.rjust(width) for cell in cells]


def _parts(widths: Sequence[int], available: int) -> list[range]:
    """Split columns, in order, into the minimum number of parts that fit, of similar size."""
    fewest = len(_filled(widths, available, len(widths)))
    for max_columns in range(1, len(widths) + 1):
        parts = _filled(widths, available, max_columns)
        if len(parts) == fewest:
            return parts
    return [range(0)]


def _filled(widths: Sequence[int], available: int, max_columns: int) -> list[range]:
    """Fill parts one after the other, each with 1 to `max_columns` columns."""
    parts, first, used = [], 0, 0
    for position, width in enumerate(widths):
        if position > first and (used + width > available or position - first >= max_columns):
            parts.append(range(first, position))
            first, used = position, 0
        used += width
    return [*parts, range(first, len(widths))]


def _part_text(
    head: Sequence[str],
    names: Sequence[Sequence[str]],
    first: int,
    blocks: Sequence[tuple[list[str], list[str]]],
) -> str:
    height = max([len(head), *(len(block[0]) for block in blocks)])
    lines = []
    for line in range(height):
        cells = [_head_line(head, line, height).ljust(first)]
        cells += [_head_line(block[0], line, height).rjust(len(block[0][0])) for block in blocks]
        lines.append(_GAP.join(cells))
    lines.append("─" * (first + sum(len(block[0][0]) + len(_GAP) for block in blocks)))
    for row, name in enumerate(names):
        lines.append(_GAP.join([name[0].ljust(first), *(block[1][row] for block in blocks)]))
        lines += name[1:]
    return "\n".join(line.rstrip() for line in lines)


def _head_line(lines: Sequence[str], line: int, height: int) -> str:
    """One line of a head that is aligned to the bottom of `height` lines."""
    position = line - (height - len(lines))
    return lines[position] if position >= 0 else ""
