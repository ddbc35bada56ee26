"""Terminal output of commands: headings, progress bars, tables."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text
from typing_extensions import override

from mtf_rl.experiments.entry_point import run_command

if TYPE_CHECKING:
    from mtf_rl.experiments.tables import Cell, Column

__all__ = ["Terminal", "run_command"]

PIPE_WIDTH = 160


class ProgressBar:
    """A progress bar: a call advances it, `reach` sets its position."""

    def __init__(self, bars: Progress, task: TaskID) -> None:
        self._bars, self._task = bars, task

    def __call__(self, amount: int) -> None:
        """Advance by `amount`."""
        self._bars.update(self._task, advance=amount)

    def reach(self, done: int, total: int | None = None) -> None:
        """Move to `done`, and set `total` if it was unknown before."""
        self._bars.update(self._task, completed=done, total=total)


class _CountColumn(ProgressColumn):
    """Done/total with thousands separators; empty while the total is unknown."""

    @override
    def render(self, task: Task) -> Text:
        if task.total is None:
            return Text("")
        return Text(f"{int(task.completed):,}/{int(task.total):,}", style="progress.download")


class Terminal:
    """Prints to the terminal and, inside `logging_to`, to a run's log."""

    def __init__(self) -> None:
        self.console = Console(highlight=False)
        if not self.console.is_terminal:
            # A file or a pipe has no width; the widest table must fit.
            self.console.width = PIPE_WIDTH
        self._logs: list[Console] = []

    @contextmanager
    def logging_to(self, path: Path) -> Iterator[None]:
        """Append everything that is printed inside the context to a file as well."""
        with path.open("a") as file:
            self._logs.append(Console(file=file, width=PIPE_WIDTH, highlight=False))
            try:
                yield
            finally:
                self._logs.pop()

    def say(self, text: str) -> None:
        """Print a line."""
        self._print(Text(text))

    def stage(self, title: str) -> None:
        """Print a heading for a part of the work."""
        self._print(Text(title, style="bold"))

    @contextmanager
    def progress(self, title: str, total: int | None) -> Iterator["ProgressBar"]:
        """Show a progress bar until the work is done; no-op without a terminal."""
        columns = (TextColumn("  {task.description}"), BarColumn(), _CountColumn())
        disabled = not self.console.is_terminal or total == 0
        with Progress(
            *columns,
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
            disable=disabled,
        ) as bars:
            yield ProgressBar(bars, bars.add_task(title, total=total))

    def table(
        self, title: str, columns: "Sequence[str | Column]", rows: "Sequence[Sequence[Cell]]"
    ) -> None:
        """Print a table that fits the terminal; the first column names the rows."""
        from mtf_rl.experiments.tables import Table, show  # a slow import: all of evaluation

        show(Table(title, tuple(columns), tuple(tuple(row) for row in rows)), self)

    def _print(self, content: Text) -> None:
        for console in (self.console, *self._logs):
            console.print(content, soft_wrap=True)
