"""TD3, DDPG and SAC on the batched simulator, using Stable-Baselines3.

All are off-policy learners. A warm-up with uniformly random actions fills the replay buffer and
fixes the observation statistics. Every later batched step of `num_envs` requests is followed by
`updates_per_request * num_envs` gradient steps.
"""

from typing import Any, TypeVar

import numpy as np
from stable_baselines3 import DDPG, SAC, TD3
from stable_baselines3.common.noise import ActionNoise, NormalActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from typing_extensions import override

from mtf_rl.agents.actor import actor_policy
from mtf_rl.agents.learning import LearnedPolicy, LearningTask, transitions_of
from mtf_rl.agents.online.config import (
    DDPGConfig,
    DeterministicConfig,
    OffPolicyConfig,
    SACConfig,
    TD3Config,
)
from mtf_rl.agents.online.loop import learn_within_budget, sessions_to_learn_from
from mtf_rl.agents.online.session_logger import SessionLogger
from mtf_rl.agents.online.squashing import SquashingPenalty
from mtf_rl.agents.standardised import StandardisedObservation, freeze_statistics
from mtf_rl.agents.warm_start import warm_start

__all__ = [
    "learn_ddpg",
    "learn_off_policy",
    "learn_sac",
    "learn_td3",
    "off_policy_settings",
    "penalise_squashing",
]

ModelT = TypeVar("ModelT", bound=TD3)


def learn_td3(task: LearningTask, config: TD3Config) -> LearnedPolicy:
    """Learn with TD3 until the task's budget is used.

    Raises:
        ConfigError: if the budget does not outlast the warm-up.
    """
    model = TD3(
        "MlpPolicy",
        sessions_to_learn_from(task, config),
        action_noise=_gaussian_noise(task, config.action_noise),
        **off_policy_settings(task, config),
    )
    return learn_off_policy(penalise_squashing(model, config), task, config)


def learn_ddpg(task: LearningTask, config: DDPGConfig) -> LearnedPolicy:
    """Learn with DDPG until the task's budget is used.

    Raises:
        ConfigError: if the budget does not outlast the warm-up.
    """
    model = DDPG(
        "MlpPolicy",
        sessions_to_learn_from(task, config),
        action_noise=_gaussian_noise(task, config.action_noise),
        **off_policy_settings(task, config),
    )
    return learn_off_policy(penalise_squashing(model, config), task, config)


def learn_sac(task: LearningTask, config: SACConfig) -> LearnedPolicy:
    """Learn with SAC until the task's budget is used.

    Raises:
        ConfigError: if the budget does not outlast the warm-up.
    """
    model = SAC(
        "MlpPolicy",
        sessions_to_learn_from(task, config),
        ent_coef=f"auto_{config.initial_temperature}",
        target_entropy=config.target_entropy_per_action * task.learning.sessions.action_dim,
        **off_policy_settings(task, config),
    )
    return learn_off_policy(model, task, config)


def off_policy_settings(task: LearningTask, config: OffPolicyConfig) -> dict[str, Any]:
    """Arguments of SB3's constructors that do not depend on the algorithm."""
    return {
        "gamma": config.gamma,
        "learning_rate": config.learning_rate,
        "batch_size": config.batch_size,
        "buffer_size": int(task.budget.limit or 0) + _rows_to_replay(task, config),
        "learning_starts": config.warmup_requests,
        "tau": config.tau,
        "train_freq": (1, "step"),
        "gradient_steps": max(1, round(config.updates_per_request * config.num_envs)),
        "policy_kwargs": {
            "net_arch": list(config.hidden),
            "features_extractor_class": StandardisedObservation,
        },
        "seed": task.seed,
        "device": task.device,
    }


def _rows_to_replay(task: LearningTask, config: OffPolicyConfig) -> int:
    return len(transitions_of(task)) if config.warm_start_updates > 0 else 0


def penalise_squashing(model: ModelT, config: DeterministicConfig) -> ModelT:
    """Insert a `SquashingPenalty` before the tanh of the model's actor."""
    layers: Any = model.actor.mu
    layers.insert(len(layers) - 1, SquashingPenalty(config.squashing_penalty))
    return model


def learn_off_policy(
    model: OffPolicyAlgorithm, task: LearningTask, config: OffPolicyConfig
) -> LearnedPolicy:
    """Train an off-policy SB3 model, including its warm-up, until the task's budget is used.

    Raises:
        DataError: if `warm_start_updates` is above 0 and the task has no batch.
    """
    logger = _OffPolicyLogger(task.checkpoints)
    if config.warm_start_updates > 0:
        dataset = transitions_of(task)
        freeze_statistics(model, dataset.observations)
        logger.untrained = actor_policy(model)
        updates, batch_size = config.warm_start_updates, config.batch_size
        warm_start(model, dataset, updates=updates, batch_size=batch_size)
    return learn_within_budget(model, task, logger, log_interval=2 * config.num_envs)


def _gaussian_noise(task: LearningTask, std: float) -> ActionNoise:
    width = task.learning.sessions.action_dim
    return NormalActionNoise(np.zeros(width), np.full(width, std))


class _OffPolicyLogger(SessionLogger):
    """A session logger that also ends the warm-up: it freezes the observation statistics."""

    @override
    def notice_warmup(self, model: Any) -> None:
        # SB3 stores this step's transitions and updates after this call; the next step is the first
        # that uses the network's actions.
        if self.untrained is None and model.num_timesteps >= model.learning_starts:
            self._end_warmup(model)

    def _end_warmup(self, model: Any) -> None:
        buffer = model.replay_buffer
        stored = buffer.observations[: buffer.pos]  # (steps, num_envs, obs_dim)
        latest = np.asarray(model._last_obs)[None]  # of this step, not stored yet
        observations = np.concatenate([stored, latest]).reshape(-1, stored.shape[2])
        freeze_statistics(model, observations)
        self.untrained = actor_policy(model)
