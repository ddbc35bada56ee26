"""Train a Stable-Baselines3 model until its budget of requests is used."""

from typing import Any

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from typing_extensions import override

from mtf_rl.agents.actor import actor_policy
from mtf_rl.agents.checkpoint import load_checkpoint
from mtf_rl.agents.learning import (
    LearnedPolicy,
    LearningInterruptedError,
    LearningTask,
    Watch,
)
from mtf_rl.agents.online.config import ActorCriticConfig
from mtf_rl.agents.online.session_logger import SessionLogger
from mtf_rl.agents.sink_writer import SinkWriter
from mtf_rl.agents.vec_env import SessionVecEnv
from mtf_rl.core.errors import ConfigError
from mtf_rl.envs import FusionVectorEnv

__all__ = ["learn_within_budget", "sessions_to_learn_from"]


def sessions_to_learn_from(task: LearningTask, config: ActorCriticConfig) -> SessionVecEnv:
    """A batched environment of the task's learning sessions, charged to its budget.

    Raises:
        ConfigError: if the budget does not outlast the warm-up.
    """
    limit = task.budget.limit
    before = config.requests_before_learning
    if limit is None or limit <= before + config.num_envs:
        raise ConfigError(
            f"requests must exceed warmup_requests + num_envs = {before + config.num_envs},"
            f" got {limit}; raise --requests or lower warmup_requests"
        )
    env = FusionVectorEnv(task.learning, config.num_envs, task.budget)
    return SessionVecEnv(env)


def learn_within_budget(
    model: Any, task: LearningTask, logger: SessionLogger, *, log_interval: int
) -> LearnedPolicy:
    """Train an SB3 model for all steps that the rest of the budget pays for.

    Training resumes from the task's checkpoint if there is one.

    Args:
        model: the SB3 model; `num_timesteps` counts the requests of a warm-up, if any.
        task: provides budget, metrics, checkpoints and watch.
        logger: the callback that logs sessions and keeps the untrained actor.
        log_interval: sessions (off-policy) or rollouts (on-policy) per log line, at least 1.

    Raises:
        ArtifactError: if there is a checkpoint that cannot be read or is of another learner.
        LearningInterruptedError: on Ctrl-C after the warm-up, with the policy so far.
    """
    num_envs = model.n_envs
    model.set_logger(Logger(folder=None, output_formats=[SinkWriter(task.metrics)]))
    if task.checkpoints is not None and task.checkpoints.path.exists():
        logger.go_on_from(load_checkpoint(task.checkpoints.path), model)
    steps = int(task.budget.left) // num_envs * num_envs
    try:
        model.learn(
            steps,
            callback=[logger, *_watchers(task, logger)],
            log_interval=log_interval,
            reset_num_timesteps=model.num_timesteps == 0,
        )
    except KeyboardInterrupt:
        if logger.untrained is None:
            raise  # There was no update yet.
        raise LearningInterruptedError(_learned(model, logger, task)) from None
    model.dump_logs()
    return _learned(model, logger, task)


def _watchers(task: LearningTask, logger: SessionLogger) -> list[BaseCallback]:
    return [] if task.watch is None else [_Watcher(task.watch, logger)]


class _Watcher(BaseCallback):
    """Calls a watch with the policy, once the warm-up is over."""

    def __init__(self, watch: Watch, logger: SessionLogger) -> None:
        super().__init__()
        self._watch, self._session_logger = watch, logger
        self._watch_calls = 0

    @override
    def _on_training_start(self) -> None:
        self._watch_calls = self.num_timesteps // self._watch.every

    @override
    def _on_step(self) -> bool:
        due = self.num_timesteps // self._watch.every
        if due > self._watch_calls and self._session_logger.untrained is not None:
            self._watch.see(self.num_timesteps, actor_policy(self.model))
        self._watch_calls = due
        return True


def _learned(model: Any, logger: SessionLogger, task: LearningTask) -> LearnedPolicy:
    return LearnedPolicy(
        policy=actor_policy(model),
        untrained=logger.untrained,
        requests_used=task.budget.used,
    )
