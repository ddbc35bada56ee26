"""Logged sessions of any length, as padded arrays."""

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray, refuse_rows
from mtf_rl.core.errors import DataError
from mtf_rl.data import BatchDataset

__all__ = ["LoggedSessions"]

_ROWS_AT_ONCE = 8_192


@dataclass(frozen=True)
class LoggedSessions:
    """A batch dataset by session and request, with the density of every action.

    Rows are those of the batch. `padded` puts them into (sessions, time), time being the longest
    session's requests; what lies past the end of a session is filled, and `live` tells it apart.

    Raises:
        DataError: if a density is not known.
    """

    batch: BatchDataset

    def __post_init__(self) -> None:
        refuse_rows(
            np.isnan(self.batch.log_densities),
            "log_densities must be known: importance weights divide by them. Log the density of"
            " every action, or fit Q alone (mtf_rl.evaluation.least_squares_q)",
        )

    @cached_property
    def lengths(self) -> IntArray:
        """Requests of each session, (sessions,)."""
        return np.diff(np.append(np.flatnonzero(self.batch.requests == 0), len(self)))

    def __len__(self) -> int:
        return len(self.batch.rewards)

    @property
    def count(self) -> int:
        """Sessions."""
        return len(self.lengths)

    @cached_property
    def pieces(self) -> list[slice]:
        """The rows of some whole sessions at a time, so that features need not fit in memory."""
        ends = np.cumsum(self.lengths)
        cuts = [0]
        while cuts[-1] < len(self):
            last = np.searchsorted(ends, cuts[-1] + _ROWS_AT_ONCE, side="right") - 1
            session = max(int(last), int(np.searchsorted(ends, cuts[-1], side="right")))
            cuts.append(int(ends[session]))
        return [slice(start, stop) for start, stop in itertools.pairwise(cuts)]

    @cached_property
    def live(self) -> BoolArray:
        """Where a session had a request, (sessions, time)."""
        return np.arange(self.lengths.max())[None, :] < self.lengths[:, None]

    @cached_property
    def rewards(self) -> FloatArray:
        """(sessions, time) float64, 0 past the end."""
        return self.padded(self.batch.rewards, fill=0.0)

    @property
    def session_rewards(self) -> FloatArray:
        """Undiscounted reward of each session, (sessions,) float64."""
        sums: FloatArray = self.rewards.sum(axis=1)
        return sums

    def padded(self, values: FloatArray, *, fill: float) -> FloatArray:
        """Values of rows (rows,) as (sessions, time) float64."""
        live = self.live
        if len(values) != len(self):
            raise DataError(f"values must be of {len(self)} rows, got {len(values)}")
        grid = np.full(live.shape, fill)
        grid[live] = values
        return grid
