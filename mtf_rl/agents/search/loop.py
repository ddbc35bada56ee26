"""The loop of all searches: initial points, proposals of the optimizer, a final on tuning users."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict

import numpy as np
import optuna

from mtf_rl.agents.final import select_finalist
from mtf_rl.agents.learning import LearnedPolicy, LearningInterruptedError, LearningTask
from mtf_rl.agents.search.config import SearchConfig
from mtf_rl.agents.search.objective import Objective
from mtf_rl.agents.search.optimizer import Optimizer, Trial
from mtf_rl.agents.search.space import SearchSpace
from mtf_rl.agents.search.spaces import make_space
from mtf_rl.agents.search.study import Study
from mtf_rl.core.arrays import BoolArray, FloatArray
from mtf_rl.core.errors import ConfigError
from mtf_rl.envs import BudgetExceededError

__all__ = [
    "front_by_value",
    "learn_by_search",
    "pareto_front",
]

OptimizerMaker = Callable[[int], Optimizer]
Shortlist = Callable[[list[Trial]], list[Trial]]


def by_value(trials: list[Trial]) -> list[Trial]:
    """Sort trials by value, largest first."""
    return sorted(trials, key=lambda trial: -trial.value)


def pareto_front(objectives: FloatArray) -> BoolArray:
    """Which rows of (points, objectives) are on the Pareto front, (points,).

    A point is on the front if no other point is at least as good in all objectives and better in
    one. Larger is better.
    """
    at_least = (objectives[:, None] >= objectives[None]).all(axis=2)  # (points, points)
    better = (objectives[:, None] > objectives[None]).any(axis=2)
    return np.asarray(~(at_least & better).any(axis=0))


def front_by_value(trials: list[Trial]) -> list[Trial]:
    """Trials on the Pareto front of watch minutes and interactions, largest value first."""
    kept = pareto_front(np.array([trial.objectives for trial in trials]))
    return by_value([trial for trial, keep in zip(trials, kept, strict=True) if keep])


def learn_by_search(
    task: LearningTask,
    config: SearchConfig,
    make: OptimizerMaker,
    *,
    block: int | None = None,
    shortlist: Shortlist = by_value,
) -> LearnedPolicy:
    """Evaluate points until the budget is used, then select the best on tuning users.

    The initial points come first: uniform weights, and each task alone. The first `finalists` of
    the shortlist are then evaluated again on tuning users with fresh random numbers, because the
    maximum of many noisy values overfits their noise.

    Args:
        task: the learning task; if it has a `study`, the search resumes from its stored trials.
        config: settings of the search.
        make: makes the optimizer, given the number of dimensions.
        block: sessions per block; `config.sessions_per_trial` by default.
        shortlist: sorts all trials for the final, best first; it may leave some out.

    Raises:
        ArtifactError: if the stored trials are of another search.
        ConfigError: if the budget does not pay for one trial.
        DataError: if a reward is not finite.
        LearningInterruptedError: on Ctrl-C, with the best policy so far.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        space = make_space(config.space, task)
    except BudgetExceededError:
        raise _too_small(task, config) from None
    fingerprint = {
        "search": type(config).__name__,
        "settings": asdict(config),
        "seed": task.seed,
        "dimensions": space.dimensions,
        "block": block or config.sessions_per_trial,
        "requests": task.budget.limit,
    }
    study = Study(task.study, fingerprint)
    objective = Objective(task, space, config, study, block or config.sessions_per_trial)
    try:
        with suppress(BudgetExceededError):  # Sessions were much longer than estimated.
            _explore(objective, make(space.dimensions), task)
        finalists = shortlist(objective.trials)[: config.finalists]
        best = finalists[
            select_finalist(
                task,
                [space.policy(trial.point) for trial in finalists],
                block=max(1, config.sessions_per_trial // 2),
            )
        ]
    except KeyboardInterrupt:
        point = objective.best.point if objective.trials else space.start[0]
        raise LearningInterruptedError(_learned(task, space, point)) from None
    return _learned(task, space, best.point)


def _explore(objective: Objective, optimizer: Optimizer, task: LearningTask) -> None:
    """Evaluate points until only the finalists' budget is left or the optimizer stops."""
    evaluate = _Evaluation(objective, task)
    start = objective.space.start
    try:
        initial = evaluate(start[:1])  # The reference for paired differences, alone.
    except BudgetExceededError:
        raise _too_small(task, objective.config) from None
    initial += evaluate(start[1:])
    optimizer.start(initial)
    while objective.affordable() and len(points := optimizer.ask()):
        trials = evaluate(points)
        if len(trials) < len(points):
            return
        optimizer.tell(trials)


class _Evaluation:
    """Evaluates points, logs metrics and calls the watch."""

    def __init__(self, objective: Objective, task: LearningTask) -> None:
        self._objective, self._task = objective, task
        self._watch_calls = 0

    def __call__(self, points: FloatArray) -> list[Trial]:
        task, objective = self._task, self._objective
        trials = objective.try_points(points)
        for trial in trials:
            task.metrics(task.budget.used, "search/reward", trial.value)
        task.metrics(task.budget.used, "search/best_reward", objective.best.value)
        if task.watch is not None and task.budget.used // task.watch.every > self._watch_calls:
            self._watch_calls = task.budget.used // task.watch.every
            task.watch.see(task.budget.used, objective.space.policy(objective.best.point))
        return trials


def _learned(task: LearningTask, space: SearchSpace, point: FloatArray) -> LearnedPolicy:
    return LearnedPolicy(space.policy(point), untrained=None, requests_used=task.budget.used)


def _too_small(task: LearningTask, config: SearchConfig) -> ConfigError:
    return ConfigError(
        f"requests must pay for one point in {config.max_blocks} blocks of"
        f" {config.sessions_per_trial} sessions and leave {config.finalist_fraction:.0%} for"
        f" finalists, got {task.budget.limit}; raise --requests or lower sessions_per_trial or"
        " max_blocks"
    )
