"""The candidates of requests: which are drawn, and what their predictions look like.

Compiled loops over requests, each on its own row: a row's result does not depend on the others.
"""

from typing import Any

import numpy as np
from numba import njit

from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.randomness import Luck, Purpose, mix64_compiled

__all__ = ["STATISTICS", "candidate_statistics", "draw_candidates", "rows_of"]

STATISTICS = ("mean", "spread", "upper")
UPPER_QUANTILE = 0.9


def draw_candidates(luck: Luck, *, pool: int, candidates: int) -> IntArray:
    """A uniformly random subset of each pool, without replacement: (num_envs, candidates) int32.

    Positions in the pool, in order; the `candidates` smallest of `Luck.bits` win.
    """
    streams = luck.streams(Purpose.CANDIDATES)
    drawn = np.empty((len(streams), candidates), dtype=np.int32)
    if candidates == pool:
        drawn[:] = np.arange(pool)
    else:
        _draw_into(streams, pool, drawn)
    return drawn


def rows_of(table: FloatArray, users: IntArray, candidates: IntArray) -> FloatArray:
    """The candidates' rows (num_envs, candidates, tasks) of a table (users, pool, tasks)."""
    rows = np.empty((*candidates.shape, table.shape[2]), dtype=table.dtype)
    _gather_into(table, users, candidates, rows)
    return rows


def candidate_statistics(table: FloatArray, users: IntArray, candidates: IntArray) -> FloatArray:
    """Mean, standard deviation and 0.9 quantile over the candidates of each task's predictions.

    The quantile is the value at place floor(0.9 (candidates - 1)) in order.

    Args:
        table: predictions on the logit scale, (users, pool, tasks) float32.
        users: (num_envs,).
        candidates: positions in the users' pools, (num_envs, candidates).

    Returns:
        (num_envs, 3 * tasks) float32: all means, then all deviations, then all quantiles.
    """
    statistics = np.empty((len(users), 3, table.shape[2]), dtype=np.float32)
    place = int(UPPER_QUANTILE * (candidates.shape[1] - 1))
    _summarise_into(table, users, candidates, place, statistics)
    return statistics.reshape(len(users), -1)


@njit(cache=True, nogil=True)
def _draw_into(streams: Any, pool: int, drawn: Any) -> None:
    candidates = drawn.shape[1]
    bits = np.empty(pool, dtype=np.uint64)
    scratch = np.empty(pool, dtype=np.uint64)
    for row in range(len(streams)):
        for slot in range(pool):
            bits[slot] = mix64_compiled(
                streams[row] + np.uint64(slot + 1) * np.uint64(0x9E3779B97F4A7C15)
            )
            scratch[slot] = bits[slot]
        bound = _smallest(scratch, candidates - 1)
        count = 0
        for slot in range(pool):
            if bits[slot] <= bound and count < candidates:
                drawn[row, count] = slot
                count += 1


@njit(cache=True, nogil=True)
def _gather_into(table: Any, users: Any, candidates: Any, rows: Any) -> None:
    for row in range(len(users)):
        pool = table[users[row]]
        for place in range(candidates.shape[1]):
            for task in range(table.shape[2]):
                rows[row, place, task] = pool[candidates[row, place], task]


@njit(cache=True, nogil=True)
def _summarise_into(table: Any, users: Any, candidates: Any, place: int, statistics: Any) -> None:
    count = candidates.shape[1]
    tasks = table.shape[2]
    values = np.empty((tasks, count), dtype=np.float32)
    for row in range(len(users)):
        pool = table[users[row]]
        for candidate in range(count):
            for task in range(tasks):
                values[task, candidate] = pool[candidates[row, candidate], task]
        for task in range(tasks):
            total, squares = 0.0, 0.0
            for candidate in range(count):
                value = float(values[task, candidate])
                total += value
                squares += value * value
            mean = total / count
            statistics[row, 0, task] = mean
            statistics[row, 1, task] = np.sqrt(max(squares / count - mean * mean, 0.0))
            statistics[row, 2, task] = _smallest(values[task], place)


@njit(cache=True, nogil=True)
def _smallest(values: Any, place: int) -> Any:
    """The value at `place` in ascending order; reorders `values` (Hoare's quickselect)."""
    low, high = 0, len(values) - 1
    while low < high:
        middle = (low + high) // 2
        first, second, third = values[low], values[middle], values[high]
        pivot = max(min(first, second), min(max(first, second), third))
        left, right = low, high
        while left <= right:
            while values[left] < pivot:
                left += 1
            while pivot < values[right]:
                right -= 1
            if left <= right:
                values[left], values[right] = values[right], values[left]
                left += 1
                right -= 1
        if place <= right:
            high = right
        elif place >= left:
            low = left
        else:
            break
    return values[place]
