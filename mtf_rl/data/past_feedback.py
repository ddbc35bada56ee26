"""What the training rows say about a user, a video, an author, a tag: counted as of a time.

For a row at time t only training rows at times before t count, so no row sees itself, its request
or anything later. After the last training row that is all of them.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import logit

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray
from mtf_rl.core.tasks import TaskSet
from mtf_rl.data.impressions import Impressions

__all__ = ["PastTotals", "RunningTotals", "rate_columns", "signals"]

_SMALLEST_RATE = 1e-6


def signals(impressions: Impressions, rows: IntArray | BoolArray, tasks: TaskSet) -> FloatArray:
    """What is counted of each row, (rows, signals) float64 in [0, 1], named `tasks.past_signals`.

    A signal is a task's label, or the largest label of the tasks that are pooled in it because
    they are too rare alone.
    """
    labels = tasks.labels(impressions.feedback[rows], impressions.play_seconds[rows])
    pooled = [
        labels[:, [task.past_signal == name for task in tasks]].max(axis=1)
        for name in tasks.past_signals
    ]
    return np.stack(pooled, axis=1).astype(np.float64)


@dataclass(frozen=True)
class PastTotals:
    """Exposures and summed signals of each key, or of each row's key as of its time."""

    exposures: FloatArray  # (keys,) float64
    sums: FloatArray  # (keys, signals) float64

    @classmethod
    def of_all(cls, keys: IntArray, values: FloatArray, num_keys: int) -> "PastTotals":
        """Totals of every key over rows with `keys` (rows,) and signals `values`."""
        sums = [np.bincount(keys, values[:, k], num_keys) for k in range(values.shape[1])]
        exposures = np.bincount(keys, minlength=num_keys).astype(np.float64)
        return cls(exposures, np.stack(sums, axis=1))

    def take(self, keys: IntArray) -> "PastTotals":
        """The totals of given keys."""
        return PastTotals(self.exposures[keys], self.sums[keys])


@dataclass(frozen=True)
class RunningTotals:
    """Running sums of the training rows of each key, in the order of time."""

    positions: IntArray  # (rows,) int64, key and time rank as one number, ascending
    running: FloatArray  # (rows + 1, signals), sums of the rows before each place
    times_ms: IntArray  # (distinct times,) int64, ascending

    @classmethod
    def of_rows(cls, keys: IntArray, times_ms: IntArray, values: FloatArray) -> "RunningTotals":
        """From training rows with `keys` (rows,), `times_ms` (rows,) and signals `values`."""
        distinct, ranks = np.unique(times_ms, return_inverse=True)
        positions = keys.astype(np.int64) * (len(distinct) + 1) + ranks
        order = np.argsort(positions, kind="stable")
        running = np.zeros((len(keys) + 1, values.shape[1]))
        np.cumsum(values[order], axis=0, out=running[1:])
        return cls(positions[order], running, distinct)

    def before(self, keys: IntArray, times_ms: IntArray) -> PastTotals:
        """Totals of rows with the same key and an earlier time, for each (key, time)."""
        first_positions = keys.astype(np.int64) * (len(self.times_ms) + 1)
        ranks = np.searchsorted(self.times_ms, times_ms)
        start = np.searchsorted(self.positions, first_positions)
        stop = np.searchsorted(self.positions, first_positions + ranks)
        sums = self.running[stop] - self.running[start]  # (rows, signals)
        return PastTotals((stop - start).astype(np.float64), sums)


def rate_columns(past: PastTotals, base_rates: FloatArray, strength: float) -> FloatArray:
    """log(1 + exposures) and the logit of each smoothed rate, (keys, 1 + signals) float64.

    rate = (sum + strength * base rate) / (exposures + strength): `strength` exposures at the
    overall rate are added to what was seen.
    """
    smoothed = past.sums + strength * base_rates
    rates = smoothed / (past.exposures + strength)[:, None]  # (keys, signals)
    bounded = np.clip(rates, _SMALLEST_RATE, 1.0 - _SMALLEST_RATE)
    return np.concatenate([np.log1p(past.exposures)[:, None], logit(bounded)], axis=1)
