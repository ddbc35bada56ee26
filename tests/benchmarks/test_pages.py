"""Results pages keep what a person wrote under their tables."""

import re
from pathlib import Path

import pytest

from benchmarks.pages import wrapped, write_page

HEADING = "## Findings"


def test_notes_stay_and_tables_are_replaced(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    write_page(page, "# Old\n", HEADING)
    page.write_text(page.read_text() + "\nA note.\n\n### Findings\n\nMore.\n")
    write_page(page, "# New\n\n1\n", HEADING)
    expected = "# New\n\n1\n\n## Findings\n\nA note.\n\n### Findings\n\nMore.\n"
    assert page.read_text() == expected


def test_a_page_without_the_heading_is_not_overwritten(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Notes of mine\n")
    with pytest.raises(ValueError, match=re.escape("has no heading '## Findings'")):
        write_page(page, "# New\n", HEADING)
    assert page.read_text() == "# Notes of mine\n"


def test_paragraphs_are_wrapped_and_tables_and_code_keep_their_lines() -> None:
    row = "| " + "cell " * 40 + "|"
    code = "    python -m benchmarks.page " + "--flag " * 20
    page = f"# {'Title ' * 30}\n\n{'word ' * 60}\n\n{row}\n| --- |\n\n{code}\n"
    blocks = wrapped(page).split("\n\n")
    assert [blocks[0], blocks[2], blocks[3]] == [page.split("\n\n")[part] for part in (0, 2, 3)]
    assert max(map(len, blocks[1].split("\n"))) <= 100
    assert blocks[1].split() == ["word"] * 60
