"""Past feedback by user, video, author or tag, counted up to a point in time.

For a row at time t, only training rows before t count, which excludes the row itself, its request
and later rows. After the last training row, all training rows count.
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
    """Signals of each row, (rows, signals) float64 in [0, 1], in the order `tasks.past_signals`.

    A signal is the label of a task, or the maximum label over a pool of rare tasks.
    """
    labels = tasks.labels(impressions.feedback[rows], impressions.play_seconds[rows])
    pooled = [
        labels[:, [task.past_signal == name for task in tasks]].max(axis=1)
        for name in tasks.past_signals
    ]
    return np.stack(pooled, axis=1).astype(np.float64)


@dataclass(frozen=True)
class PastTotals:
    """Exposures and sums of signals by key, or by (key, time)."""

    exposures: FloatArray  # (keys,) float64
    sums: FloatArray  # (keys, signals) float64

    @classmethod
    def of_all(cls, keys: IntArray, values: FloatArray, num_keys: int) -> "PastTotals":
        """Totals by key over rows with `keys` (rows,) and signals `values` (rows, signals)."""
        sums = [np.bincount(keys, values[:, k], num_keys) for k in range(values.shape[1])]
        exposures = np.bincount(keys, minlength=num_keys).astype(np.float64)
        return cls(exposures, np.stack(sums, axis=1))

    def take(self, keys: IntArray) -> "PastTotals":
        """The totals of the given keys."""
        return PastTotals(self.exposures[keys], self.sums[keys])


@dataclass(frozen=True)
class RunningTotals:
    """Running sums over the training rows of each key, in time order."""

    positions: IntArray  # (rows,) int64, key and time rank in one number, ascending
    running: FloatArray  # (rows + 1, signals), sums over the rows before each position
    times_ms: IntArray  # (distinct times,) int64, ascending

    @classmethod
    def of_rows(cls, keys: IntArray, times_ms: IntArray, values: FloatArray) -> "RunningTotals":
        """Sum training rows with `keys` (rows,), `times_ms` (rows,) and signals `values`."""
        distinct, ranks = np.unique(times_ms, return_inverse=True)
        positions = keys.astype(np.int64) * (len(distinct) + 1) + ranks
        order = np.argsort(positions, kind="stable")
        running = np.zeros((len(keys) + 1, values.shape[1]))
        np.cumsum(values[order], axis=0, out=running[1:])
        return cls(positions[order], running, distinct)

    def before(self, keys: IntArray, times_ms: IntArray) -> PastTotals:
        """Totals over the training rows with the same key and an earlier time, by (key, time)."""
        first_positions = keys.astype(np.int64) * (len(self.times_ms) + 1)
        ranks = np.searchsorted(self.times_ms, times_ms)
        start = np.searchsorted(self.positions, first_positions)
        stop = np.searchsorted(self.positions, first_positions + ranks)
        sums = self.running[stop] - self.running[start]  # (rows, signals)
        return PastTotals((stop - start).astype(np.float64), sums)


def rate_columns(past: PastTotals, base_rates: FloatArray, strength: float) -> FloatArray:
    """log(1 + exposures) and the logit of each smoothed rate, (keys, 1 + signals) float64.

    rate = (sum + strength * base rate) / (exposures + strength), which adds `strength` prior
    exposures at the base rate.
    """
    smoothed = past.sums + strength * base_rates
    rates = smoothed / (past.exposures + strength)[:, None]  # (keys, signals)
    bounded = np.clip(rates, _SMALLEST_RATE, 1.0 - _SMALLEST_RATE)
    return np.concatenate([np.log1p(past.exposures)[:, None], logit(bounded)], axis=1)
