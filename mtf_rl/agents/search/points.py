"""Searches that adapt little or not at all: random points and a grid."""

from collections.abc import Sequence
from itertools import product

import numpy as np
from typing_extensions import override

from mtf_rl.agents.search.optimizer import Optimizer, Trial, best_of
from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.ranges import check_at_least

__all__ = ["Grid", "RandomPoints"]

_POINTS_PER_ASK = 16
_LEVELS = (-1.0, 0.0, 1.0)


class RandomPoints(Optimizer):
    """Uniform draws from the box, the simplest baseline for tuning.

    Args:
        dimensions: dimensions of the box.
        seed: seed of the draws.
    """

    def __init__(self, dimensions: int, *, seed: int) -> None:
        self._dimensions = dimensions
        self._rng = np.random.default_rng(seed)

    @override
    def start(self, trials: Sequence[Trial]) -> None:
        pass

    @override
    def ask(self) -> FloatArray:
        return self._rng.uniform(-1.0, 1.0, (_POINTS_PER_ASK, self._dimensions))

    @override
    def tell(self, trials: Sequence[Trial]) -> None:
        pass


class Grid(Optimizer):
    """A grid with three levels (-1, 0, 1) over the dimensions with the largest effect.

    The scan comes first: each dimension alone at each level, with the others at the best initial
    point. The full grid follows over the `scanned` dimensions with the largest range of values in
    the scan (of ties the first); the others keep the values of the best initial point. No point is
    proposed twice.

    Args:
        dimensions: dimensions of the box.
        scanned: dimensions of the full grid, at least 1; at most `dimensions` are used.

    Raises:
        ConfigError: if `scanned` is below 1.
    """

    def __init__(self, dimensions: int, *, scanned: int = 4) -> None:
        check_at_least("scanned", scanned, 1)
        self._dimensions = dimensions
        self._scanned = min(scanned, dimensions)
        self._base: FloatArray = np.zeros(dimensions)
        self._values: dict[tuple[float, ...], float] = {}
        self._asks = 0

    @property
    def planned(self) -> int:
        """Maximum number of points proposed."""
        return int(len(_LEVELS) * self._dimensions + len(_LEVELS) ** self._scanned)

    @override
    def start(self, trials: Sequence[Trial]) -> None:
        self.tell(trials)
        if trials:
            self._base = best_of(trials).point

    @override
    def ask(self) -> FloatArray:
        self._asks += 1
        if self._asks == 1:
            proposed = [
                self._moved({column: level})
                for column in range(self._dimensions)
                for level in _LEVELS
            ]
        elif self._asks == 2:
            columns = self._largest_effects()
            proposed = [
                self._moved(dict(zip(columns, levels, strict=True)))
                for levels in product(_LEVELS, repeat=len(columns))
            ]
        else:
            proposed = []
        fresh = [point for point in dict.fromkeys(proposed) if point not in self._values]
        return np.array(fresh, dtype=np.float64).reshape(len(fresh), self._dimensions)

    @override
    def tell(self, trials: Sequence[Trial]) -> None:
        self._values |= {_key(trial.point): trial.value for trial in trials}

    def _moved(self, levels: dict[int, float]) -> tuple[float, ...]:
        point = self._base.copy()
        for column, level in levels.items():
            point[column] = level
        return _key(point)

    def _largest_effects(self) -> list[int]:
        """The `scanned` dimensions with the largest range of values in the scan, ascending."""
        ranges = []
        for column in range(self._dimensions):
            values = [self._values[self._moved({column: level})] for level in _LEVELS]
            ranges.append(max(values) - min(values))
        order = np.argsort(-np.array(ranges), kind="stable")
        return sorted(int(column) for column in order[: self._scanned])


def _key(point: FloatArray) -> tuple[float, ...]:
    return tuple(float(entry) for entry in point)
