"""Random search over static weights: the plainest tuning that a budget can buy."""

import math
from dataclasses import dataclass

import numpy as np
import optuna

from mtf_rl.agents.learning import LearnedPolicy, LearningInterruptedError, LearningTask
from mtf_rl.agents.policies import ConstantPolicy
from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.errors import ConfigError, DataError
from mtf_rl.envs import BudgetExceededError, SessionDynamics
from mtf_rl.evaluation import roll_out

__all__ = ["RandomSearchConfig", "learn_random_search"]

# A block of sessions may last longer than those before it.
_CAUTION = 1.25


@dataclass(frozen=True)
class RandomSearchConfig:
    """Hand-set weights first, then uniformly random ones, all tried in the same sessions.

    Raises:
        ConfigError: if a number is out of range.
    """

    sessions_per_trial: int = 64
    """Sessions in which a candidate is tried, at least 1."""
    finalists: int = 4
    """Best candidates that are tried again on tuning users, at least 1."""
    finalist_share: float = 0.25
    """Share of the budget kept for the finalists, in (0, 1)."""

    def __post_init__(self) -> None:
        for name in ("sessions_per_trial", "finalists"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0.0 < self.finalist_share < 1.0:
            raise ConfigError(f"finalist_share must be in (0, 1), got {self.finalist_share}")


def learn_random_search(task: LearningTask, config: RandomSearchConfig) -> LearnedPolicy:
    """Try static weights until the budget is used; choose among the best on fresh users.

    All candidates meet the same sessions, so that their differences are not luck. The first are
    those that a person would try: uniform weights, and each task alone. The best few are then
    tried again on tuning users in block after block, since the best of many noisy values is
    partly the luckiest.

    Raises:
        ConfigError: if the budget does not pay for one trial.
        LearningInterruptedError: on Ctrl-C; it carries the best so far.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        sampler=optuna.samplers.RandomSampler(seed=task.seed), direction="maximize"
    )
    by_hand = _hand_set_actions(task.learning)
    for action in by_hand:
        study.enqueue_trial({_name(column): float(entry) for column, entry in enumerate(action)})
    try:
        _search(study, task, config)
        action = _choose(task, config, _finalists(study, config))
    except KeyboardInterrupt:
        best = _finalists(study, config)
        action = best[0] if best else by_hand[0]
        raise LearningInterruptedError(_learned(task, action)) from None
    return _learned(task, action)


def _search(study: optuna.Study, task: LearningTask, config: RandomSearchConfig) -> None:
    """Trials until the next one might eat into the finalists' share."""
    limit = task.budget.limit or 0
    reserve = config.finalist_share * limit
    episodes = np.arange(config.sessions_per_trial)
    cost = 0.0
    while task.budget.left - reserve > _CAUTION * cost:
        used_before = task.budget.used
        trial = study.ask()
        action = _suggest(trial, task.learning.num_parameters)
        try:
            value = _try(task, task.learning, action, episodes)
        except BudgetExceededError:
            raise ConfigError(
                f"requests must pay for one trial of {config.sessions_per_trial} sessions and"
                f" leave {config.finalist_share:.0%} for finalists, got {limit}"
            ) from None
        study.tell(trial, value)
        cost = max(cost, task.budget.used - used_before)
        task.metrics(task.budget.used, "search/reward", value)
        task.metrics(task.budget.used, "search/best_reward", study.best_value)


def _choose(
    task: LearningTask, config: RandomSearchConfig, actions: list[FloatArray]
) -> FloatArray:
    """The best of the finalists over as many blocks of tuning sessions as the rest pays for."""
    sums = np.zeros(len(actions))
    block, cost = 0, 0.0
    size = max(1, config.sessions_per_trial // 4)
    while task.budget.left > _CAUTION * cost:
        used_before = task.budget.used
        episodes = np.arange(block * size, (block + 1) * size)
        try:
            values = [_try(task, task.tuning, action, episodes) for action in actions]
        except BudgetExceededError:
            break  # A block that not all of them have played says nothing.
        sums += values
        block += 1
        cost = max(cost, task.budget.used - used_before)
    return actions[int(np.argmax(sums))]


def _finalists(study: optuna.Study, config: RandomSearchConfig) -> list[FloatArray]:
    complete = study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
    ranked = sorted(complete, key=lambda trial: -float(trial.value or 0.0))
    return [_action_of(trial.params) for trial in ranked[: config.finalists]]


def _learned(task: LearningTask, action: FloatArray) -> LearnedPolicy:
    return LearnedPolicy(ConstantPolicy(action), untrained=None, requests_used=task.budget.used)


def _hand_set_actions(dynamics: SessionDynamics) -> list[FloatArray]:
    """Uniform weights, then each task alone with the sign of its worth, as actions."""
    signs = dynamics.formula.tasks.signs
    weights = [signs, *(signs * np.eye(len(signs), dtype=np.float32))]
    parameters = [dynamics.formula.parameters_of(entry) for entry in weights]
    return [dynamics.action_map.to_action(entry) for entry in parameters]


def _try(
    task: LearningTask, dynamics: SessionDynamics, action: FloatArray, episodes: IntArray
) -> float:
    sessions = roll_out(
        dynamics, ConstantPolicy(action), seed=task.seed, episodes=episodes, budget=task.budget
    )
    value = float(sessions.reward.mean())
    if not math.isfinite(value):
        raise DataError(
            f"the mean session reward must be finite, got {value}; look at the reward function and"
            f" the user model"
        )
    return value


def _name(column: int) -> str:
    return f"action_{column}"


def _suggest(trial: optuna.trial.Trial, width: int) -> FloatArray:
    values = [trial.suggest_float(_name(column), -1.0, 1.0) for column in range(width)]
    return np.asarray(values, dtype=np.float32)


def _action_of(params: dict[str, float]) -> FloatArray:
    return np.asarray([params[_name(column)] for column in range(len(params))], dtype=np.float32)
