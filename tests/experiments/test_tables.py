"""Typed tables as text, Markdown and HTML."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtf_rl.evaluation import Interval
from mtf_rl.experiments.tables import (
    Column,
    Marked,
    Table,
    screen_width,
    to_html,
    to_text,
    wrapped,
)

TABLE = Table(
    "Rates",
    (
        Column("policy"),
        Column("requests"),
        Column("session reward"),
        Column("hate, change in %", scale=100.0, signed=True, better=-1),
    ),
    (
        ("td3_myopic_static_mean_of_all", 3969, Interval(35.7475, 27.819, 43.676), None),
        ("uniform", 0, Interval(31.0, 24.0, 38.0), Interval(-0.28, -0.4, -0.16)),
        ("cem", 40_000, Interval(30.0, 23.0, 37.0), Marked(Interval(0.15, 0.05, 0.25))),
    ),
    bold=frozenset({"uniform"}),
)


def test_numbers_have_two_significant_digits_of_the_margin() -> None:
    assert TABLE.texts() == [
        ["td3_myopic_static_mean_of_all", "3,969", "35.7 ± 7.9", ""],
        ["uniform", "0", "31.0 ± 7.0", "-28 ± 12"],
        ["cem", "40,000", "30.0 ± 7.0", "+15 ± 10 !"],
    ]


def test_an_asymmetric_interval_is_written_with_its_limits() -> None:
    table = Table("t", (Column("a"), Column("b", decimals=1)), (
        ("x", Interval(0.5, 0.0, 3.0)), ("y", Interval(1.0, 0.0, 2.0)),
        ("z", Interval(2.0, -math.inf, math.inf)), ("w", Interval(math.nan, -math.inf, math.inf)),
    ))  # fmt: skip
    assert [row[1] for row in table.texts()] == [
        "0.5 [0.0, 3.0]", "1.0 [0.0, 2.0]", "2.0 (no CI)", "n/a",
    ]  # fmt: skip


def test_long_names_are_folded_and_numbers_are_not() -> None:
    assert to_text(TABLE, 100).splitlines() == [
        "                                               hate,",
        "                                 session   change in",
        "policy              requests      reward           %",
        "─" * 52,
        "td3_myopic_static_     3,969  35.7 ± 7.9",
        "  mean_of_all",
        "uniform                    0  31.0 ± 7.0  -28 ± 12",
        "cem                   40,000  30.0 ± 7.0  +15 ± 10 !",
    ]


@given(st.integers(1, 12), st.integers(40, 100), st.floats(0.01, 99_999.0))
def test_every_line_fits_and_no_number_is_missing(columns: int, width: int, value: float) -> None:
    cells = [Interval(value * (1 + k), value * k, value * (2 + k)) for k in range(columns)]
    table = Table(
        "wide",
        (Column("policy"), *(Column(f"metric number {k}") for k in range(columns))),
        (("cma_es_features_static_mean", *cells), ("b", *cells)),
    )
    text = to_text(table, width)
    assert max(map(len, text.splitlines())) <= width
    for written in table.texts()[0][1:]:
        assert written in text
    assert text.count("cma_es_features_") == text.count("policy")  # names in every part
    assert "…" not in text


def test_columns_are_spread_evenly_over_the_parts() -> None:
    table = Table(
        "t",
        (Column("policy"), *(Column(f"rate {k}") for k in range(7))),
        (("a" * 20, *[Interval(100.0, 90.0, 110.0)] * 7),),
    )
    heads = [part.splitlines()[0] for part in to_text(table, 80).split("\n\n")]
    assert [head.count("rate") for head in heads] == [4, 3]


def test_paragraphs_fit_and_keep_numbers_with_their_units() -> None:
    text = "session reward changes by 3.1 % [0.3, 5.9] (95 % CI); weight 0.52 ± 0.04 within it"
    for width in range(12, 90):
        lines = wrapped(text, width).splitlines()
        assert " ".join(lines) == text
        assert max(map(len, lines)) <= width
        assert not any(line.startswith(("%", "±")) or line.endswith("±") for line in lines)


def test_the_width_is_at_most_100_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    for columns, expected in (("80", 80), ("200", 100)):
        monkeypatch.setenv("COLUMNS", columns)
        assert screen_width() == expected


def test_markdown_marks_bold_names_and_escapes_bars() -> None:
    page = TABLE.to_markdown()
    assert "| **uniform** | 0 | 31.0 ± 7.0 | -28 ± 12 |" in page
    bar = Table("t", (Column("a"), Column("b")), (("x|y", 1),))
    assert "| x\\|y | 1 |" in bar.to_markdown()


def test_html_has_sort_keys_and_colours_by_what_is_better() -> None:
    page = to_html(TABLE)
    assert '<td data-key="-0.28" class="better">-28 ± 12</td>' in page  # less hate is good
    assert '<td data-key="0.15" class="worse">+15 ± 10 !</td>' in page
    assert '<td data-key="">' in page
    assert re.search(r'data-key="uniform"[^>]*><b>uniform</b>', page)
