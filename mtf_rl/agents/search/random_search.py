"""Random search over static weights: the plainest tuning that a budget can buy."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import optuna

from mtf_rl.agents.learning import LearnedPolicy, LearningTask
from mtf_rl.agents.policies import ConstantPolicy
from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.errors import ConfigError
from mtf_rl.envs import SessionDynamics
from mtf_rl.evaluation import Sessions, roll_out

__all__ = ["RandomSearchConfig", "learn_random_search"]


@dataclass(frozen=True)
class RandomSearchConfig:
    """Uniformly random actions, each tried in the same sessions.

    Raises:
        ConfigError: if a number is out of range.
    """

    sessions_per_trial: int = 64
    """Sessions in which a candidate is tried, at least 1."""
    finalists: int = 5
    """Best candidates that are tried again on tuning users, at least 1."""
    finalist_share: float = 0.2
    """Share of the budget kept for the finalists, in (0, 1)."""

    def __post_init__(self) -> None:
        for name in ("sessions_per_trial", "finalists"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0.0 < self.finalist_share < 1.0:
            raise ConfigError(f"finalist_share must be in (0, 1), got {self.finalist_share}")


def learn_random_search(task: LearningTask, config: RandomSearchConfig) -> LearnedPolicy:
    """Try random static weights until the budget is used; choose among the best on fresh users.

    All candidates meet the same sessions, so that their differences are not luck. The best few
    are then tried on tuning users, since the best of many noisy values is partly the luckiest.

    Raises:
        ConfigError: if the budget does not pay for one trial.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        sampler=optuna.samplers.RandomSampler(seed=task.seed), direction="maximize"
    )
    limit = task.budget.limit or 0
    reserve = int(config.finalist_share * limit)
    episodes = np.arange(config.sessions_per_trial)
    dearest = config.sessions_per_trial * task.learning.config.max_requests
    while task.budget.left - reserve >= dearest:
        trial = study.ask()
        action = _suggest(trial, task.learning.num_parameters)
        value = _try(task, task.learning, action, episodes)
        study.tell(trial, value)
        task.metrics(task.budget.used, "search/reward", value)
        task.metrics(task.budget.used, "search/best_reward", study.best_value)
    if not study.trials:
        raise ConfigError(
            f"requests must be at least {int(dearest / (1 - config.finalist_share)) + 1} for one "
            f"trial of {config.sessions_per_trial} sessions, got {limit}"
        )
    ranked = sorted(study.trials, key=lambda trial: -float(trial.value or 0.0))
    actions = [_action_of(trial.params) for trial in ranked[: config.finalists]]
    return LearnedPolicy(
        policy=ConstantPolicy(_choose(task, actions)),
        untrained=None,
        requests_used=task.budget.used,
    )


def _choose(task: LearningTask, actions: list[FloatArray]) -> FloatArray:
    """The best of the finalists on as many tuning sessions as the rest of the budget pays for."""
    dearest = len(actions) * task.tuning.config.max_requests
    sessions = int(task.budget.left) // dearest
    if sessions == 0:
        return actions[0]
    episodes = np.arange(sessions)
    values = [_try(task, task.tuning, action, episodes) for action in actions]
    return actions[int(np.argmax(values))]


def _try(
    task: LearningTask, dynamics: SessionDynamics, action: FloatArray, episodes: Iterable[int]
) -> float:
    sessions: Sessions = roll_out(
        dynamics,
        ConstantPolicy(action),
        seed=task.seed,
        episodes=np.asarray(episodes),
        budget=task.budget,
    )
    return float(sessions.reward.mean())


def _suggest(trial: optuna.trial.Trial, width: int) -> FloatArray:
    values = [trial.suggest_float(f"action_{column}", -1.0, 1.0) for column in range(width)]
    return np.asarray(values, dtype=np.float32)


def _action_of(params: dict[str, float]) -> FloatArray:
    values = [params[f"action_{column}"] for column in range(len(params))]
    return np.asarray(values, dtype=np.float32)
