"""What a command shows while it works: stages, progress bars, tables."""

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
    """Moves by what it is called with, or to where it is told."""

    def __init__(self, bars: Progress, task: TaskID) -> None:
        self._bars, self._task = bars, task

    def __call__(self, amount: int) -> None:
        """Move on by `amount`."""
        self._bars.update(self._task, advance=amount)

    def reach(self, done: int, total: int | None = None) -> None:
        """Move to `done`, of `total` if that is known only now."""
        self._bars.update(self._task, completed=done, total=total)


class _CountColumn(ProgressColumn):
    """Done/total, both with thousands separated; nothing while the total is not known."""

    @override
    def render(self, task: Task) -> Text:
        if task.total is None:
            return Text("")
        return Text(f"{int(task.completed):,}/{int(task.total):,}", style="progress.download")


class Terminal:
    """Writes for a person, on the screen and, once there is a run folder, into its log."""

    def __init__(self) -> None:
        self.console = Console(highlight=False)
        if not self.console.is_terminal:
            # A file or a pipe has no width; the widest table should not be cut there.
            self.console.width = PIPE_WIDTH
        self._logs: list[Console] = []

    @contextmanager
    def logging_to(self, path: Path) -> Iterator[None]:
        """Whatever is printed inside is also appended to the file."""
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
        """Announce a part of the work."""
        self._print(Text(title, style="bold"))

    @contextmanager
    def progress(self, title: str, total: int | None) -> Iterator["ProgressBar"]:
        """A bar that is gone when the work is done; nothing where there is no screen."""
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
        """Print a table of text that fits the screen; the first column names the rows."""
        from mtf_rl.experiments.tables import Table, show  # imports all of evaluation

        show(Table(title, tuple(columns), tuple(tuple(row) for row in rows)), self)

    def _print(self, content: Text) -> None:
        for console in (self.console, *self._logs):
            console.print(content, soft_wrap=True)
