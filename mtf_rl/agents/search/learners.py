"""The learning functions of the searches, called by the registry."""

from mtf_rl.agents.learning import LearnedPolicy, LearningTask
from mtf_rl.agents.search.config import (
    LONG_DEPTH,
    CemConfig,
    CmaEsConfig,
    EsConfig,
    GpBoConfig,
    GridConfig,
    Nsga2Config,
    RandomSearchConfig,
    TpeConfig,
)
from mtf_rl.agents.search.evolution import CmaEs, CrossEntropy, EvolutionStrategy
from mtf_rl.agents.search.gaussian_process import GaussianProcess
from mtf_rl.agents.search.loop import front_by_value, learn_by_search
from mtf_rl.agents.search.optuna_samplers import Nsga2, Tpe
from mtf_rl.agents.search.points import Grid, RandomPoints

__all__ = [
    "learn_cem",
    "learn_cma_es",
    "learn_es",
    "learn_gp_bo",
    "learn_grid",
    "learn_nsga2",
    "learn_random_search",
    "learn_tpe",
]


def learn_random_search(task: LearningTask, config: RandomSearchConfig) -> LearnedPolicy:
    """Search uniformly random points; raises as `learn_by_search`."""
    return learn_by_search(task, config, lambda width: RandomPoints(width, seed=task.seed))


def learn_grid(task: LearningTask, config: GridConfig) -> LearnedPolicy:
    """Search a grid, with block size fitted to the budget; raises as `learn_by_search`."""
    width = len(task.learning.sessions.formula.parameter_names)
    points = Grid(width, scanned=config.scanned).planned + 1 + width
    paid = (task.budget.limit or 0) * (1.0 - config.finalist_fraction) / (points * LONG_DEPTH)
    block = max(2, min(config.sessions_per_trial, int(paid)))
    return learn_by_search(
        task, config, lambda dimensions: Grid(dimensions, scanned=config.scanned), block=block
    )


def learn_cma_es(task: LearningTask, config: CmaEsConfig) -> LearnedPolicy:
    """Search with CMA-ES; raises as `learn_by_search`."""
    return learn_by_search(
        task,
        config,
        lambda dimensions: CmaEs(
            dimensions, seed=task.seed, population=config.population, sigma=config.sigma
        ),
    )


def learn_tpe(task: LearningTask, config: TpeConfig) -> LearnedPolicy:
    """Search with tree-structured Parzen estimators; raises as `learn_by_search`."""
    return learn_by_search(
        task, config, lambda dimensions: Tpe(dimensions, seed=task.seed, initial=config.initial)
    )


def learn_gp_bo(task: LearningTask, config: GpBoConfig) -> LearnedPolicy:
    """Search with a Gaussian process; raises as `learn_by_search`."""
    return learn_by_search(
        task,
        config,
        lambda dimensions: GaussianProcess(
            dimensions,
            seed=task.seed,
            initial=config.initial,
            acquisition=config.acquisition,
            beta=config.beta,
            refit_every=config.refit_every,
        ),
    )


def learn_nsga2(task: LearningTask, config: Nsga2Config) -> LearnedPolicy:
    """Search the Pareto front of watch time and interactions and select its best point.

    Finalists are the points of the front with the largest session reward. Raises as
    `learn_by_search`.
    """
    return learn_by_search(
        task,
        config,
        lambda dimensions: Nsga2(dimensions, seed=task.seed, population=config.population),
        shortlist=front_by_value,
    )


def learn_cem(task: LearningTask, config: CemConfig) -> LearnedPolicy:
    """Search with the cross-entropy method; raises as `learn_by_search`."""
    return learn_by_search(
        task,
        config,
        lambda dimensions: CrossEntropy(
            dimensions,
            seed=task.seed,
            population=config.population,
            elite_fraction=config.elite_fraction,
            smoothing=config.smoothing,
            std=config.std,
        ),
    )


def learn_es(task: LearningTask, config: EsConfig) -> LearnedPolicy:
    """Search with an evolution strategy; raises as `learn_by_search`."""
    return learn_by_search(
        task,
        config,
        lambda dimensions: EvolutionStrategy(
            dimensions,
            seed=task.seed,
            pairs=config.pairs,
            sigma=config.sigma,
            learning_rate=config.learning_rate,
        ),
    )
