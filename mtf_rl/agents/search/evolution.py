"""Searches with a Gaussian: CMA-ES, the cross-entropy method, an evolution strategy."""

import math
from collections.abc import Sequence

import cmaes
import numpy as np
from typing_extensions import override

from mtf_rl.agents.search.optimizer import Optimizer, Trial, best_of
from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.ranges import check_above, check_at_least, check_proper_fraction

__all__ = ["CmaEs", "CrossEntropy", "EvolutionStrategy"]

_INSIDE = 0.9  # bound of initial means: around a mean on the bound, half of the draws are outside


class CmaEs(Optimizer):
    """CMA-ES (Hansen, 2016) from the package `cmaes`, which redraws points outside the box.

    It starts at the best initial point. After convergence it restarts with twice the population
    (IPOP; Auger and Hansen, CEC 2005). Unlike the paper, which restarts at a random point, we
    restart at the best point so far.

    Args:
        dimensions: dimensions of the box, at least 2.
        seed: seed of the draws.
        population: points per generation, at least 3; 0 for the package's rule,
            4 + 3 log(dimensions).
        sigma: initial standard deviation, above 0.

    Raises:
        ConfigError: if a setting is out of range.
    """

    def __init__(
        self, dimensions: int, *, seed: int, population: int = 0, sigma: float = 0.4
    ) -> None:
        check_at_least("dimensions", dimensions, 2)
        check_above("sigma", sigma, 0.0)
        if population and population < 3:
            raise ConfigError(f"population must be 0 or at least 3, got {population}")
        self._dimensions, self._seed, self._sigma = dimensions, seed, sigma
        self._population = population or 4 + math.floor(3 * math.log(dimensions))
        self._restarts = 0
        self._best: Trial | None = None
        self._cma = self._fresh()

    @override
    def start(self, trials: Sequence[Trial]) -> None:
        self._note(trials)
        self._cma = self._fresh()

    @override
    def ask(self) -> FloatArray:
        return np.stack([self._cma.ask() for _ in range(self._cma.population_size)])

    @override
    def tell(self, trials: Sequence[Trial]) -> None:
        self._note(trials)
        self._cma.tell([(trial.point, -trial.value) for trial in trials])
        if self._cma.should_stop():
            self._restarts += 1
            self._cma = self._fresh()

    def _note(self, trials: Sequence[Trial]) -> None:
        known = [] if self._best is None else [self._best]
        if known or trials:
            self._best = best_of([*known, *trials])

    def _fresh(self) -> cmaes.CMA:
        mean = np.zeros(self._dimensions) if self._best is None else self._best.point
        return cmaes.CMA(
            mean=np.clip(mean, -_INSIDE, _INSIDE),
            sigma=self._sigma,
            bounds=np.tile([-1.0, 1.0], (self._dimensions, 1)),
            seed=self._seed + self._restarts,
            population_size=self._population * 2**self._restarts,
        )


class CrossEntropy(Optimizer):
    """The cross-entropy method with a diagonal Gaussian (de Boer et al., 2005, section 5).

    Each generation is drawn from N(mu, diag(sd^2)) and clipped to the box. Then mu and sd move by
    `smoothing` towards mean and standard deviation of the best `elite_fraction` of points. Unlike
    the paper, we keep sd above `min_std`: values are noisy, and one overestimated early point would
    stop the search.

    Args:
        dimensions: dimensions of the box.
        seed: seed of the draws.
        population: points per generation, at least 2.
        elite_fraction: fraction of best points used for the fit, in (0, 1]; at least two points.
        smoothing: step towards the fitted Gaussian, in (0, 1]; 1 replaces the old one.
        std: initial standard deviation, above 0.
        min_std: minimum standard deviation, above 0.

    Raises:
        ConfigError: if a setting is out of range.
    """

    def __init__(
        self,
        dimensions: int,
        *,
        seed: int,
        population: int = 16,
        elite_fraction: float = 0.25,
        smoothing: float = 0.7,
        std: float = 0.5,
        min_std: float = 0.05,
    ) -> None:
        check_at_least("population", population, 2)
        check_proper_fraction("1 - elite_fraction", 1.0 - elite_fraction)
        check_proper_fraction("1 - smoothing", 1.0 - smoothing)
        check_above("std", std, 0.0)
        check_above("min_std", min_std, 0.0)
        self._rng = np.random.default_rng(seed)
        self._population = population
        self._elite = max(2, round(elite_fraction * population))
        self._smoothing, self._min_std = smoothing, min_std
        self.mean: FloatArray = np.zeros(dimensions)
        self.std: FloatArray = np.full(dimensions, std)

    @override
    def start(self, trials: Sequence[Trial]) -> None:
        if trials:
            self.mean = np.clip(best_of(trials).point, -_INSIDE, _INSIDE)

    @override
    def ask(self) -> FloatArray:
        noise = self._rng.normal(size=(self._population, len(self.mean)))
        return np.clip(self.mean + self.std * noise, -1.0, 1.0)

    @override
    def tell(self, trials: Sequence[Trial]) -> None:
        ranked = sorted(trials, key=lambda trial: -trial.value)
        elite = np.stack([trial.point for trial in ranked[: self._elite]])  # (elite, dimensions)
        kept = 1.0 - self._smoothing
        self.mean = kept * self.mean + self._smoothing * elite.mean(axis=0)
        moved = kept * self.std + self._smoothing * elite.std(axis=0)
        self.std = np.maximum(moved, self._min_std)


class EvolutionStrategy(Optimizer):
    """An evolution strategy with mirrored sampling and rank shaping (Salimans et al., 2017).

    With eps_i ~ N(0, I) and u the centred ranks of the values of mu +- sigma eps_i, in
    [-1/2, 1/2], the estimated gradient is sum_i (u_i^+ - u_i^-) eps_i / (2 pairs sigma). Adam
    updates mu with it. Personalised searches of fusion weights use natural gradients (Wierstra et
    al., 2014; Pei et al., WWW 2019); with a fixed sigma and an isotropic Gaussian the natural
    gradient is the same up to a factor. Unlike Salimans et al., we use no weight decay, and we also
    evaluate mu itself, since mu is the result of the search.

    Args:
        dimensions: dimensions of the box.
        seed: seed of the draws.
        pairs: mirrored pairs per generation, at least 1.
        sigma: standard deviation of points around mu, above 0.
        learning_rate: Adam's learning rate, above 0.

    Raises:
        ConfigError: if a setting is out of range.
    """

    def __init__(
        self,
        dimensions: int,
        *,
        seed: int,
        pairs: int = 8,
        sigma: float = 0.15,
        learning_rate: float = 0.1,
    ) -> None:
        check_at_least("pairs", pairs, 1)
        check_above("sigma", sigma, 0.0)
        check_above("learning_rate", learning_rate, 0.0)
        self._rng = np.random.default_rng(seed)
        self._pairs, self._sigma, self._rate = pairs, sigma, learning_rate
        self.mean: FloatArray = np.zeros(dimensions)
        self._noise: FloatArray = np.zeros((0, dimensions))
        self._moments: FloatArray = np.zeros((2, dimensions))
        self._steps = 0

    @override
    def start(self, trials: Sequence[Trial]) -> None:
        if trials:
            self.mean = best_of(trials).point.copy()

    @override
    def ask(self) -> FloatArray:
        self._noise = self._rng.normal(size=(self._pairs, len(self.mean)))
        moves = self._sigma * np.concatenate([self._noise, -self._noise])
        points = np.concatenate([self.mean[None], self.mean + moves])
        asked: FloatArray = np.clip(points, -1.0, 1.0)
        return asked

    @override
    def tell(self, trials: Sequence[Trial]) -> None:
        values = np.array([trial.value for trial in trials[1:]])
        up, down = centred_ranks(values).reshape(2, self._pairs)
        gradient = (up - down) @ self._noise / (2 * self._pairs * self._sigma)  # (dimensions,)
        self._steps += 1
        betas = np.array([[0.9], [0.999]])
        powers = np.stack([gradient, gradient**2])
        self._moments = betas * self._moments + (1.0 - betas) * powers
        first, second = self._moments / (1.0 - betas**self._steps)
        self.mean = np.clip(self.mean + self._rate * first / (np.sqrt(second) + 1e-8), -1.0, 1.0)


def centred_ranks(values: FloatArray) -> FloatArray:
    """Ranks of values (points,), scaled to [-1/2, 1/2], 1/2 for the largest; ties are averaged."""
    if len(values) < 2:
        return np.zeros(len(values))
    below = (values[:, None] > values).sum(axis=1)
    equal = (values[:, None] == values).sum(axis=1) - 1
    ranks: FloatArray = (below + 0.5 * equal) / (len(values) - 1) - 0.5
    return ranks
