"""Results pages keep what a person wrote under their tables."""

import re
from pathlib import Path

import pytest

from benchmarks.pages import write_page

HEADING = "## What it says"


def test_notes_stay_and_tables_are_replaced(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    write_page(page, "# Old\n", HEADING)
    page.write_text(page.read_text() + "\nA note.\n\n### What it says\n\nMore.\n")
    write_page(page, "# New\n\n1\n", HEADING)
    expected = "# New\n\n1\n\n## What it says\n\nA note.\n\n### What it says\n\nMore.\n"
    assert page.read_text() == expected


def test_a_page_without_the_heading_is_not_overwritten(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Notes of mine\n")
    with pytest.raises(ValueError, match=re.escape("has no heading '## What it says'")):
        write_page(page, "# New\n", HEADING)
    assert page.read_text() == "# Notes of mine\n"
