"""Offline to online: initialise an off-policy learner from a batch dataset."""

from typing import Any

import numpy as np
from stable_baselines3 import SAC
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from mtf_rl.agents.offline.batch_learning import BatchLearning
from mtf_rl.agents.offline.config import CQLConfig, TD3BCConfig
from mtf_rl.agents.offline.cql import CQL
from mtf_rl.agents.offline.td3_bc import TD3BC
from mtf_rl.core.errors import ConfigError
from mtf_rl.data import Transitions

__all__ = ["fill_replay", "warm_start"]


def warm_start(
    model: OffPolicyAlgorithm, dataset: Transitions, *, updates: int, batch_size: int
) -> None:
    """Train a fresh model on a dataset and copy the dataset into its replay buffer.

    TD3 and DDPG get actor and critics of TD3+BC after `updates` updates, SAC those of CQL(H), with
    the default settings of `td3_bc` and `cql`; optimizers start afresh. Rewards are not scaled, so
    the critics have the reward units of online learning. SB3's warm-up with random actions is
    skipped.

    Args:
        model: an untrained TD3, DDPG or SAC whose replay buffer is large enough for the dataset.
        dataset: transitions with the widths of the model's spaces.
        updates: updates of the batch-RL algorithm, at least 1.
        batch_size: transitions per update.

    Raises:
        ConfigError: if the replay buffer is too small.
    """
    networks = {key: value for key, value in model.policy_kwargs.items() if key != "use_sde"}
    shared: dict[str, Any] = {
        "dataset": dataset,
        "gamma": model.gamma,
        "tau": model.tau,
        "learning_rate": model.learning_rate,
        "batch_size": batch_size,
        "policy_kwargs": networks,
        "reward_scale": 1.0,
        "seed": model.seed,
    }
    pretrained: BatchLearning
    if isinstance(model, SAC):
        rate: Any = model.learning_rate
        # `CQLConfig.conservative_weight` is for standardised rewards; rewards here are unscaled.
        weight = CQLConfig().conservative_weight * float(dataset.rewards.std(dtype=np.float64))
        pretrained = CQL(
            conservative_weight=weight,
            n_action_samples=CQLConfig().n_action_samples,
            actor_learning_rate=rate,
            ent_coef=model.ent_coef,
            **shared,
        )
    else:
        pretrained = TD3BC(alpha=TD3BCConfig().alpha, **shared)
    pretrained.learn(updates)
    model.policy.load_state_dict(pretrained.policy.state_dict())
    buffer: Any = model.replay_buffer
    fill_replay(buffer, dataset)
    model.learning_starts = 0


def fill_replay(buffer: ReplayBuffer, dataset: Transitions) -> None:
    """Copy a dataset into an empty SB3 replay buffer.

    The buffer stores steps of `n_envs` rows; the rows of an incomplete last step are left out.

    Raises:
        ConfigError: if the buffer is too small.
    """
    width = buffer.n_envs
    steps = len(dataset) // width
    if steps > buffer.buffer_size:
        raise ConfigError(
            f"the replay buffer must hold the dataset's {len(dataset)} rows,"
            f" got {buffer.buffer_size * width}"
        )
    kept = steps * width

    def stepwise(values: Any) -> Any:
        return np.asarray(values[:kept]).reshape(steps, width, *values.shape[1:])

    buffer.observations[:steps] = stepwise(dataset.observations)
    buffer.next_observations[:steps] = stepwise(dataset.next_observations)
    buffer.actions[:steps] = stepwise(dataset.actions)
    buffer.rewards[:steps] = stepwise(dataset.rewards)
    # SB3 bootstraps where done * (1 - timeout) is 0; a truncated session is not done.
    buffer.dones[:steps] = stepwise(dataset.terminated)
    buffer.timeouts[:steps] = 0.0
    buffer.pos = steps % buffer.buffer_size
    buffer.full = steps == buffer.buffer_size
