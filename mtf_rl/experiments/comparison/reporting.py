"""Reports a comparison: the leaderboard in the terminal and in files."""

from typing import Any

from mtf_rl.core.files import replace_atomically
from mtf_rl.experiments.answer import say_wrapped
from mtf_rl.experiments.comparison.comparing import Comparison
from mtf_rl.experiments.comparison.numbers import rows_of
from mtf_rl.experiments.comparison.page import html_of
from mtf_rl.experiments.comparison.pictures import pictures_of
from mtf_rl.experiments.comparison.summary import answer_of, summary_of
from mtf_rl.experiments.comparison.tables import printed_tables, tables_of
from mtf_rl.experiments.comparison.tensorboard import write_events
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.pictures import save_figure
from mtf_rl.experiments.run_folder import write_table
from mtf_rl.experiments.settings import settings_to_json
from mtf_rl.experiments.tables import show

__all__ = ["page_of", "report"]


def report(comparison: Comparison, terminal: Terminal) -> None:
    """Write tables, pictures, an HTML page and TensorBoard events; print answer and tables."""
    folder = comparison.config.folder
    replace_atomically(folder / "leaderboard.md", page_of(comparison).encode())
    write_table(folder / "leaderboard", _rows(comparison))
    write_table(folder / "results", _long(comparison))
    pictures = pictures_of(comparison)
    for name, figure in pictures.items():
        save_figure(figure, folder / f"{name}.png")
    replace_atomically(folder / "results.html", html_of(comparison, pictures).encode())
    write_events(comparison, pictures, folder / "tensorboard")
    terminal.say("")
    for sentences in answer_of(comparison):
        say_wrapped(sentences, terminal)
    for table in printed_tables(comparison):
        show(table, terminal)
    terminal.say("")
    for sentence in summary_of(comparison):
        say_wrapped([sentence], terminal)
    say_wrapped(
        [
            f"Written to {folder}: leaderboard.csv, .json, .md; results.csv, .json, .html;"
            f" jobs.jsonl; {', '.join(f'{name}.png' for name in pictures)}.",
            f"TensorBoard: tensorboard --logdir {folder / 'tensorboard'}",
        ],
        terminal,
    )


def page_of(comparison: Comparison) -> str:
    """The answer and all tables as a Markdown page."""
    blocks = [
        f"# Leaderboard: {comparison.config.requests:,} requests",
        *(" ".join(sentences) for sentences in answer_of(comparison)),
        *summary_of(comparison),
        *(table.to_markdown() for table in tables_of(comparison)),
    ]
    return "\n\n".join(blocks) + "\n"


def _rows(comparison: Comparison) -> list[dict[str, Any]]:
    """One row for each contestant and evaluator, the deciding evaluator first."""
    return [
        row.cells(comparison.search)
        for evaluator in reversed(comparison.results.evaluators())
        for row in rows_of(comparison, evaluator)
    ]


def _long(comparison: Comparison) -> list[dict[str, str | int | float]]:
    """One row for each result and evaluator."""
    rows: list[dict[str, str | int | float]] = []
    for result in comparison.results.all:
        for evaluator, evaluated in result.evaluated.items():
            record = settings_to_json(result)
            del record["evaluated"]
            flat = settings_to_json(evaluated)
            del flat["rate_signs"]
            for name in ("rates", "weights", "weights_spread"):
                values = flat.pop(name)
                flat |= {f"{name}/{key}": value for key, value in values.items()}
            rows.append(record | {"evaluator": evaluator} | flat)
    return rows
