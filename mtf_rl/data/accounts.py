"""Counts of log rows that were kept, dropped or repaired."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

__all__ = ["FileAccount", "RowAccount"]


@dataclass(frozen=True)
class FileAccount:
    """Row counts of one log file; read = kept + dropped."""

    name: str
    rows_read: int
    rows_kept: int
    dropped: Mapping[str, int]
    """Dropped rows, by reason."""
    repaired: Mapping[str, int]
    """Rows kept with a corrected value, by kind of correction."""

    def __post_init__(self) -> None:
        accounted = self.rows_kept + sum(self.dropped.values())
        assert self.rows_read == accounted, f"{self.name}: {self.rows_read} != {accounted} rows"


@dataclass(frozen=True)
class RowAccount:
    """Row counts of all log files."""

    files: tuple[FileAccount, ...]

    @property
    def rows_read(self) -> int:
        """Rows in the files."""
        return sum(file.rows_read for file in self.files)

    @property
    def rows_kept(self) -> int:
        """Rows that became impressions."""
        return sum(file.rows_kept for file in self.files)

    @property
    def dropped(self) -> dict[str, int]:
        """Dropped rows, by reason."""
        return _total(file.dropped for file in self.files)

    @property
    def repaired(self) -> dict[str, int]:
        """Rows kept with a corrected value, by kind of correction."""
        return _total(file.repaired for file in self.files)


def _total(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return dict(sorted(total.items()))
