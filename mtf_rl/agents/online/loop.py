"""The loop in which a Stable-Baselines3 model learns until its budget is used."""

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
    """The task's sessions side by side, charged to its budget.

    Raises:
        ConfigError: if the budget does not outlast the warm-up.
    """
    limit = task.budget.limit
    before = config.requests_before_learning
    if limit is None or limit <= before + config.num_envs:
        raise ConfigError(
            f"requests must exceed warmup_requests + num_envs = {before + config.num_envs},"
            f" got {limit}"
        )
    env = FusionVectorEnv(task.learning, config.num_envs, task.budget)
    return SessionVecEnv(env)


def learn_within_budget(
    model: Any, task: LearningTask, account: SessionLogger, *, log_interval: int
) -> LearnedPolicy:
    """Let an SB3 model learn for as many steps as the rest of the budget pays for.

    It goes on from the task's checkpoint, where there is one.

    Args:
        model: whose steps so far, if any, are its `num_timesteps`.
        task: with the budget, and the sink of metrics.
        account: of the sessions; it holds the untrained actor once there is one.
        log_interval: sessions (off policy) or rollouts (on policy) from one log line to the next.

    Raises:
        ArtifactError: if there is a checkpoint that cannot be read or is of another learner.
        LearningInterruptedError: on Ctrl-C, with what was learnt so far.
    """
    num_envs = model.n_envs
    model.set_logger(Logger(folder=None, output_formats=[SinkWriter(task.metrics)]))
    if task.checkpoints is not None and task.checkpoints.path.exists():
        account.go_on_from(load_checkpoint(task.checkpoints.path), model)
    steps = int(task.budget.left) // num_envs * num_envs
    try:
        model.learn(
            steps,
            callback=[account, *_looks(task, account)],
            log_interval=log_interval,
            reset_num_timesteps=model.num_timesteps == 0,
        )
    except KeyboardInterrupt:
        if account.untrained is None:
            raise  # Nothing was learnt yet.
        raise LearningInterruptedError(_learned(model, account, task)) from None
    model.dump_logs()
    return _learned(model, account, task)


def _looks(task: LearningTask, account: SessionLogger) -> list[BaseCallback]:
    return [] if task.watch is None else [_Look(task.watch, account)]


class _Look(BaseCallback):
    """Lets a watch look at the policy, once it has learnt something."""

    def __init__(self, watch: Watch, account: SessionLogger) -> None:
        super().__init__()
        self._watch, self._account = watch, account
        self._looks = 0

    @override
    def _on_training_start(self) -> None:
        self._looks = self.num_timesteps // self._watch.every

    @override
    def _on_step(self) -> bool:
        due = self.num_timesteps // self._watch.every
        if due > self._looks and self._account.untrained is not None:
            self._watch.see(self.num_timesteps, actor_policy(self.model))
        self._looks = due
        return True


def _learned(model: Any, account: SessionLogger, task: LearningTask) -> LearnedPolicy:
    return LearnedPolicy(
        policy=actor_policy(model),
        untrained=account.untrained,
        requests_used=task.budget.used,
    )
