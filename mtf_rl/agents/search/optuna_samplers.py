"""Searches with Optuna's samplers: TPE, and NSGA-II for two objectives."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
from typing_extensions import override

from mtf_rl.agents.search.optimizer import Optimizer, Trial
from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.ranges import check_at_least

__all__ = ["Nsga2", "Tpe"]


class Tpe(Optimizer):
    """Tree-structured Parzen estimators (Bergstra et al., NeurIPS 2011): Optuna's, multivariate.

    Args:
        dimensions: dimensions of the box.
        seed: seed of the draws.
        initial: points before the first estimate, including those given to `start`, at least 1.

    Raises:
        ConfigError: if `initial` is below 1.
    """

    def __init__(self, dimensions: int, *, seed: int, initial: int = 20) -> None:
        check_at_least("initial", initial, 1)
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=initial, multivariate=True)
        self._study = optuna.create_study(sampler=sampler, direction="maximize")
        self._ranges = _ranges(dimensions)
        self._asked: optuna.trial.Trial | None = None

    @override
    def start(self, trials: Sequence[Trial]) -> None:
        for trial in trials:
            done = optuna.trial.create_trial(
                params=_params(trial.point), distributions=self._ranges, value=trial.value
            )
            self._study.add_trial(done)

    @override
    def ask(self) -> FloatArray:
        self._asked = self._study.ask(self._ranges)
        return _point(self._asked)[None]

    @override
    def tell(self, trials: Sequence[Trial]) -> None:
        assert self._asked is not None
        self._study.tell(self._asked, trials[0].value)


class Nsga2(Optimizer):
    """Optuna's NSGA-II (Deb et al., 2002) on a trial's two objectives; its value is not used.

    Args:
        dimensions: dimensions of the box.
        seed: seed of the draws.
        population: points per generation, at least 4.

    Raises:
        ConfigError: if `population` is below 4.
    """

    def __init__(self, dimensions: int, *, seed: int, population: int = 20) -> None:
        check_at_least("population", population, 4)
        sampler = optuna.samplers.NSGAIISampler(seed=seed, population_size=population)
        self._study = optuna.create_study(sampler=sampler, directions=["maximize", "maximize"])
        self._population = population
        self._ranges = _ranges(dimensions)
        self._asked: list[optuna.trial.Trial] = []

    @override
    def start(self, trials: Sequence[Trial]) -> None:
        # The sampler's generations have a fixed size, so initial points cannot be added.
        pass

    @override
    def ask(self) -> FloatArray:
        self._asked = [self._study.ask(self._ranges) for _ in range(self._population)]
        return np.stack([_point(trial) for trial in self._asked])

    @override
    def tell(self, trials: Sequence[Trial]) -> None:
        for asked, trial in zip(self._asked, trials, strict=True):
            self._study.tell(asked, list(trial.objectives))


def _name(column: int) -> str:
    return f"x{column}"


def _ranges(dimensions: int) -> dict[str, Any]:
    box = optuna.distributions.FloatDistribution(-1.0, 1.0)
    return {_name(column): box for column in range(dimensions)}


def _params(point: FloatArray) -> dict[str, float]:
    return {_name(column): float(entry) for column, entry in enumerate(point)}


def _point(trial: optuna.trial.Trial) -> FloatArray:
    return np.array([trial.params[_name(column)] for column in range(len(trial.params))])
