"""What a comparison leaves behind: the leaderboard on the screen and in files."""

from mtf_rl.core.files import replace_atomically
from mtf_rl.experiments.comparison.comparing import Comparison
from mtf_rl.experiments.comparison.page import html_of
from mtf_rl.experiments.comparison.pictures import pictures_of
from mtf_rl.experiments.comparison.tables import summary_of, tables_of
from mtf_rl.experiments.comparison.tensorboard import write_events
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.pictures import save_figure
from mtf_rl.experiments.run_folder import write_table
from mtf_rl.experiments.settings import settings_to_json
from mtf_rl.experiments.tables import Table, plain

__all__ = ["page_of", "report"]


def report(comparison: Comparison, terminal: Terminal) -> None:
    """Print the tables; write them, pictures, a page for the browser and events of TensorBoard."""
    folder = comparison.config.folder
    tables = tables_of(comparison)
    for table in tables:
        terminal.table(table.title, list(table.columns), plain(table.rows))
        if table.note:
            terminal.say(table.note)
    replace_atomically(folder / "leaderboard.md", page_of(comparison).encode())
    write_table(folder / "leaderboard", _cells(tables[0]))
    write_table(folder / "results", _long(comparison))
    pictures = pictures_of(comparison)
    for name, figure in pictures.items():
        save_figure(figure, folder / f"{name}.png")
    replace_atomically(folder / "results.html", html_of(comparison, pictures).encode())
    write_events(comparison, pictures, folder / "tensorboard")
    terminal.say(
        f"Written to {folder}: leaderboard.csv, .json, .md; results.csv, .json, .html; jobs.jsonl;"
        f" {', '.join(f'{name}.png' for name in pictures)};"
        f" TensorBoard: tensorboard --logdir {folder / 'tensorboard'}"
    )


def page_of(comparison: Comparison) -> str:
    """All tables as one page."""
    heading = [f"# Leaderboard: {comparison.config.requests:,} requests", *summary_of(comparison)]
    return "\n\n".join([*heading, *(table.to_markdown() for table in tables_of(comparison))]) + "\n"


def _cells(table: Table) -> list[dict[str, str]]:
    return [dict(zip(table.columns, row, strict=True)) for row in plain(table.rows)]


def _long(comparison: Comparison) -> list[dict[str, str | int | float]]:
    """One row for each result and evaluator."""
    rows: list[dict[str, str | int | float]] = []
    for result in comparison.results.all:
        for evaluator, evaluated in result.evaluated.items():
            record = settings_to_json(result)
            del record["evaluated"]
            flat = settings_to_json(evaluated)
            for name in ("rates", "weights", "weights_spread"):
                values = flat.pop(name)
                flat |= {f"{name}/{key}": value for key, value in values.items()}
            rows.append(record | {"evaluator": evaluator} | flat)
    return rows
