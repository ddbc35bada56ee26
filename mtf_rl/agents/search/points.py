"""Points that do not depend on what was learnt, or hardly: uniform draws, and a grid."""

from collections.abc import Sequence
from itertools import product

import numpy as np
from typing_extensions import override

from mtf_rl.agents.search.optimizer import Optimizer, Trial, best_of
from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.ranges import check_at_least

__all__ = ["Grid", "RandomPoints"]

_DRAWN_AT_ONCE = 16
_LEVELS = (-1.0, 0.0, 1.0)


class RandomPoints(Optimizer):
    """Uniform draws from the box: the plainest tuning that a budget can buy.

    Args:
        dimensions: of the box.
        seed: of the draws.
    """

    def __init__(self, dimensions: int, *, seed: int) -> None:
        self._dimensions = dimensions
        self._rng = np.random.default_rng(seed)

    @override
    def start(self, trials: Sequence[Trial]) -> None:
        pass

    @override
    def ask(self) -> FloatArray:
        return self._rng.uniform(-1.0, 1.0, (_DRAWN_AT_ONCE, self._dimensions))

    @override
    def tell(self, trials: Sequence[Trial]) -> None:
        pass


class Grid(Optimizer):
    """Three levels (-1, 0, 1) of the few dimensions that matter most.

    First a scan: each dimension alone at each level, the others at the best point tried before.
    Then the full grid over the `scanned` dimensions whose scan moved the value most (the largest
    of its three values minus the smallest; of equal ones the first), the others staying where they
    were. No point is asked for twice.

    Args:
        dimensions: of the box.
        scanned: dimensions of the full grid, at least 1; all where there are fewer.

    Raises:
        ConfigError: if `scanned` is below 1.
    """

    def __init__(self, dimensions: int, *, scanned: int = 4) -> None:
        check_at_least("scanned", scanned, 1)
        self._dimensions = dimensions
        self._scanned = min(scanned, dimensions)
        self._base: FloatArray = np.zeros(dimensions)
        self._values: dict[tuple[float, ...], float] = {}
        self._questions = 0

    @property
    def planned(self) -> int:
        """Points that it asks for at most."""
        return int(len(_LEVELS) * self._dimensions + len(_LEVELS) ** self._scanned)

    @override
    def start(self, trials: Sequence[Trial]) -> None:
        self.tell(trials)
        if trials:
            self._base = best_of(trials).point

    @override
    def ask(self) -> FloatArray:
        self._questions += 1
        if self._questions == 1:
            wanted = [
                self._moved({column: level})
                for column in range(self._dimensions)
                for level in _LEVELS
            ]
        elif self._questions == 2:
            columns = self._most_telling()
            wanted = [
                self._moved(dict(zip(columns, levels, strict=True)))
                for levels in product(_LEVELS, repeat=len(columns))
            ]
        else:
            wanted = []
        fresh = [point for point in dict.fromkeys(wanted) if point not in self._values]
        return np.array(fresh, dtype=np.float64).reshape(len(fresh), self._dimensions)

    @override
    def tell(self, trials: Sequence[Trial]) -> None:
        self._values |= {_key(trial.point): trial.value for trial in trials}

    def _moved(self, levels: dict[int, float]) -> tuple[float, ...]:
        point = self._base.copy()
        for column, level in levels.items():
            point[column] = level
        return _key(point)

    def _most_telling(self) -> list[int]:
        spreads = []
        for column in range(self._dimensions):
            values = [self._values[self._moved({column: level})] for level in _LEVELS]
            spreads.append(max(values) - min(values))
        order = np.argsort(-np.array(spreads), kind="stable")
        return sorted(int(column) for column in order[: self._scanned])


def _key(point: FloatArray) -> tuple[float, ...]:
    return tuple(float(entry) for entry in point)
