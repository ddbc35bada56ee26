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
    """A batch dataset as arrays (sessions, time), with the density of every logged action.

    `time` is the number of requests of the longest session. `padded` fills the entries past the
    end of a session, where `live` is False.

    Raises:
        DataError: if a log density is missing (NaN).
    """

    batch: BatchDataset

    def __post_init__(self) -> None:
        refuse_rows(
            np.isnan(self.batch.log_densities),
            "log_densities must not be NaN: importance weights divide by the densities. Log the"
            " density of every action, or fit only Q (mtf_rl.evaluation.least_squares_q)",
        )

    @cached_property
    def lengths(self) -> IntArray:
        """Requests of each session, (sessions,)."""
        return np.diff(np.append(np.flatnonzero(self.batch.requests == 0), len(self)))

    def __len__(self) -> int:
        return len(self.batch.rewards)

    @property
    def count(self) -> int:
        """Number of sessions."""
        return len(self.lengths)

    @cached_property
    def pieces(self) -> list[slice]:
        """Slices of rows, each of whole sessions, so that features need not fit in memory."""
        ends = np.cumsum(self.lengths)
        cuts = [0]
        while cuts[-1] < len(self):
            last = np.searchsorted(ends, cuts[-1] + _ROWS_AT_ONCE, side="right") - 1
            session = max(int(last), int(np.searchsorted(ends, cuts[-1], side="right")))
            cuts.append(int(ends[session]))
        return [slice(start, stop) for start, stop in itertools.pairwise(cuts)]

    @cached_property
    def live(self) -> BoolArray:
        """True where a session has a request, (sessions, time)."""
        return np.arange(self.lengths.max())[None, :] < self.lengths[:, None]

    @cached_property
    def rewards(self) -> FloatArray:
        """Reward of each request, (sessions, time) float64; 0 past the end."""
        return self.padded(self.batch.rewards, fill=0.0)

    @property
    def session_rewards(self) -> FloatArray:
        """Undiscounted reward of each session, (sessions,) float64."""
        sums: FloatArray = self.rewards.sum(axis=1)
        return sums

    def padded(self, values: FloatArray, *, fill: float) -> FloatArray:
        """Values (rows,) as (sessions, time) float64, with `fill` past the end.

        Raises:
            DataError: if there is not one value per row.
        """
        live = self.live
        if len(values) != len(self):
            raise DataError(f"values must have one entry per row, {len(self)}, got {len(values)}")
        grid = np.full(live.shape, fill)
        grid[live] = values
        return grid
