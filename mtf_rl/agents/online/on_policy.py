"""PPO and A2C on the batched simulator, using Stable-Baselines3.

Both are on-policy learners: each rollout of `rollout_requests` requests is followed by updates that
use only this rollout. A warm-up with uniformly random actions fixes the standardisation of
observations and the scale of rewards; its transitions are not used for updates.
"""

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from torch import nn

from mtf_rl.agents.actor import actor_policy
from mtf_rl.agents.learning import LearnedPolicy, LearningTask
from mtf_rl.agents.online.config import A2CConfig, OnPolicyConfig, PPOConfig
from mtf_rl.agents.online.loop import learn_within_budget, sessions_to_learn_from
from mtf_rl.agents.online.session_logger import SessionLogger
from mtf_rl.agents.standardised import StandardisedObservation, freeze_statistics
from mtf_rl.agents.vec_env import SessionVecEnv
from mtf_rl.core.arrays import BoolArray, FloatArray
from mtf_rl.core.errors import ConfigError

__all__ = ["learn_a2c", "learn_ppo"]

_LOGGED_REQUESTS = 1_000  # approximate number of requests per log line
_MIN_STD = 1e-6


def learn_ppo(task: LearningTask, config: PPOConfig) -> LearnedPolicy:
    """Learn with PPO until the task's budget is used.

    Raises:
        ConfigError: if the budget does not outlast the warm-up.
    """
    env = sessions_to_learn_from(task, config)
    plan = _Plan.of(task, config)
    with warnings.catch_warnings():
        # The last minibatch of a pass may be smaller than the others, which is harmless.
        warnings.filterwarnings("ignore", message="You have specified a mini-batch size")
        model = PPO(
            "MlpPolicy",
            env,
            n_steps=plan.rollout_steps,
            batch_size=config.batch_size,
            n_epochs=config.epochs,
            clip_range=config.clip_range,
            **_shared_settings(task, config),
        )
    return _learn(model, env, plan, task, config)


def learn_a2c(task: LearningTask, config: A2CConfig) -> LearnedPolicy:
    """Learn with A2C until the task's budget is used.

    Raises:
        ConfigError: if the budget does not outlast the warm-up.
    """
    env = sessions_to_learn_from(task, config)
    plan = _Plan.of(task, config)
    model = A2C(
        "MlpPolicy",
        env,
        n_steps=plan.rollout_steps,
        use_rms_prop=False,
        normalize_advantage=True,
        **_shared_settings(task, config),
    )
    return _learn(model, env, plan, task, config)


@dataclass(frozen=True)
class _Plan:
    """Number of batched steps of the warm-up and of a rollout; the rest fills whole rollouts."""

    warmup_steps: int
    rollout_steps: int

    @classmethod
    def of(cls, task: LearningTask, config: OnPolicyConfig) -> "_Plan":
        steps = int(task.budget.left) // config.num_envs
        warmup = math.ceil(config.warmup_requests / config.num_envs)
        left = steps - warmup
        if left < 1:
            raise ConfigError(
                f"requests must pay for a warm-up of {warmup} steps of num_envs ="
                f" {config.num_envs} and one more, {(warmup + 1) * config.num_envs} in all,"
                f" got {task.budget.left}; raise --requests or lower warmup_requests"
            )
        rollout = min(config.rollout_requests // config.num_envs, left)
        return cls(steps - left // rollout * rollout, rollout)


def _shared_settings(task: LearningTask, config: OnPolicyConfig) -> dict[str, Any]:
    return {
        "gamma": config.gamma,
        "learning_rate": config.learning_rate,
        "gae_lambda": config.gae_lambda,
        "ent_coef": config.entropy_bonus,
        "policy_kwargs": {
            "net_arch": list(config.hidden),
            "activation_fn": nn.ReLU,
            "log_std_init": math.log(config.initial_std),
            "features_extractor_class": StandardisedObservation,
        },
        "seed": task.seed,
        "device": task.device,
    }


def _learn(
    model: OnPolicyAlgorithm,
    env: SessionVecEnv,
    plan: _Plan,
    task: LearningTask,
    config: OnPolicyConfig,
) -> LearnedPolicy:
    _warm_up(model, env, plan.warmup_steps, task, config)
    rollout_requests = plan.rollout_steps * config.num_envs
    interval = max(1, round(_LOGGED_REQUESTS / rollout_requests))
    logger = SessionLogger(task.checkpoints, untrained=actor_policy(model), rollouts=interval)
    return learn_within_budget(model, task, logger, log_interval=interval)


def _warm_up(
    model: OnPolicyAlgorithm,
    env: SessionVecEnv,
    steps: int,
    task: LearningTask,
    config: OnPolicyConfig,
) -> None:
    """Serve requests with uniformly random actions; set the scales of observations and rewards."""
    generator = np.random.default_rng(task.seed)
    shape = (config.num_envs, task.learning.sessions.action_dim)
    observations = [np.asarray(env.reset())]
    rewards, ends = [], []
    for _ in range(steps):
        observation, reward, done, _ = env.step(generator.uniform(-1.0, 1.0, shape))
        observations.append(np.asarray(observation))
        rewards.append(reward)
        ends.append(done)
    freeze_statistics(model, np.concatenate(observations))
    env.reward_scale = return_std(np.array(rewards), np.array(ends), gamma=config.gamma)
    model.num_timesteps = steps * config.num_envs  # Logged steps then count all requests.


def return_std(rewards: FloatArray, ends: BoolArray, *, gamma: float) -> float:
    """Standard deviation of the running discounted sum of rewards, R_t = gamma R_{t-1} + r_t.

    Dividing rewards by it gives a value function with a standard deviation of about 1. SB3's
    VecNormalize uses the same scale; unlike SB3, we fix it after the warm-up.

    Args:
        rewards: rewards, (time, num_envs).
        ends: (time, num_envs), True at the last request of a session.
        gamma: discount factor per request, in [0, 1].
    """
    running = np.zeros(rewards.shape[1])
    sums = np.zeros(rewards.shape)  # (time, num_envs)
    for time, (reward, done) in enumerate(zip(rewards, ends, strict=True)):
        running = gamma * running + reward
        sums[time] = running
        running = np.where(done, 0.0, running)
    return max(float(sums.std()), _MIN_STD)
