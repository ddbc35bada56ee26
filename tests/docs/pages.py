"""README and pages, taken apart: prose, tables, links, and what the glossary explains."""

import re
from collections.abc import Iterator
from pathlib import Path

__all__ = [
    "ROOT",
    "first_cells",
    "glossary_names",
    "links_of",
    "matches_any",
    "prose_lines",
    "slugs_of",
    "table_rows",
    "without_code",
]

ROOT = Path(__file__).parents[2]
_URL = re.compile(r"https?://\S+")
_CODE = re.compile(r"`[^`]*`")
_LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s]+)\)")


def without_code(text: str) -> Iterator[tuple[int, str]]:
    """Numbered lines outside fenced blocks."""
    fenced = False
    for number, line in enumerate(text.splitlines(), start=1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced:
            yield number, line


def prose_lines(text: str) -> Iterator[tuple[int, str]]:
    """Numbered lines that are neither code nor table, without the targets of their links."""
    for number, line in without_code(text):
        if not line.lstrip().startswith("|"):
            yield number, re.sub(r"\]\([^)]*\)", "]", _URL.sub("", line))


def table_rows(text: str, heading: str) -> list[list[str]]:
    """Cells of the tables below a heading, without heads and rules."""
    section = text.split(f"\n{heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [
        row
        for row, below in zip(rows, [*lines[1:], ""], strict=True)
        if not set(below) <= set("|- ") or not below
        if not set("".join(row)) <= set("-| ")
    ]


def first_cells(text: str, heading: str) -> list[str]:
    """The first column of the tables below a heading."""
    return [row[0] for row in table_rows(text, heading)]


def glossary_names(text: str, heading: str) -> list[str]:
    """Names in the first column; of `X_mean`, `_low` the second is X_low."""
    names: list[str] = []
    for cell in first_cells(text, heading):
        first, *others = re.findall(r"`([^`]+)`", cell)
        stem = first.removesuffix("_mean")
        names += [first, *(f"{stem}{one}" if one.startswith("_") else one for one in others)]
    return names


def matches_any(name: str, patterns: list[str]) -> bool:
    """Whether a name is one of the patterns, in which <...> and * stand for anything."""
    return any(
        re.fullmatch(re.sub(r"<[^>]+>|\\\*", ".+", re.escape(pattern).replace(r"\<", "<")), name)
        for pattern in patterns
    )


def links_of(text: str) -> list[str]:
    """Relative links, with their anchors."""
    outside = "\n".join(_CODE.sub("", line) for _, line in without_code(text))
    return _LINK.findall(outside)


def slugs_of(text: str) -> set[str]:
    """Anchors of the headings, as GitHub makes them."""
    headings = [line.lstrip("# ") for _, line in without_code(text) if line.startswith("#")]
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings
    }
