"""TD3 and SAC on the batched simulator, through Stable-Baselines3.

Both are off-policy learners: a warm-up of uniformly random actions fills the replay buffer and
fixes the observation statistics; then every batched step of `num_envs` requests is followed by
`updates_per_request * num_envs` gradient steps.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from stable_baselines3 import SAC, TD3
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter, Logger
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from torch import nn
from typing_extensions import override

from mtf_rl.agents.learning import (
    LearnedPolicy,
    LearningInterruptedError,
    LearningTask,
    MetricSink,
)
from mtf_rl.agents.networks import Mlp
from mtf_rl.agents.online.squashing import SquashingPenalty
from mtf_rl.agents.online.standardised import (
    StandardisedObservation,
    freeze_statistics,
    standardisation_of,
)
from mtf_rl.agents.policies import MlpPolicy
from mtf_rl.agents.vec_env import SessionVecEnv
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.ranges import check_above, check_at_least, check_share
from mtf_rl.core.tasks import FEEDBACKS
from mtf_rl.envs import FusionSessionVectorEnv

__all__ = ["ActorCriticConfig", "SACConfig", "TD3Config", "learn_sac", "learn_td3"]


@dataclass(frozen=True)
class ActorCriticConfig:
    """What TD3 and SAC share.

    Raises:
        ConfigError: if a number is out of range.
    """

    gamma: float = 0.95
    """Discount per request, in [0, 1]; 0 makes the learner myopic."""
    learning_rate: float = 5e-4
    """Adam's step, above 0, for actor and critics."""
    batch_size: int = 512
    """Transitions per gradient step, at least 1."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers of actor and critics."""
    num_envs: int = 32
    """Sessions simulated side by side, at least 1."""
    updates_per_request: float = 0.25
    """Gradient steps per simulated request, above 0."""
    warmup_requests: int = 10_000
    """Requests served with uniformly random actions before the first update, at least num_envs."""
    tau: float = 0.005
    """Share of the networks that moves into their targets per update, in (0, 1]."""

    def __post_init__(self) -> None:
        check_share("gamma", self.gamma)
        check_share("tau", self.tau)
        for name in ("learning_rate", "updates_per_request", "tau"):
            check_above(name, getattr(self, name), 0.0)
        for name in ("batch_size", "num_envs"):
            check_at_least(name, getattr(self, name), 1)
        check_at_least("warmup_requests", self.warmup_requests, self.num_envs)
        if not self.hidden or min(self.hidden) < 1:
            raise ConfigError(f"hidden needs positive widths, got {self.hidden}")


@dataclass(frozen=True)
class TD3Config(ActorCriticConfig):
    """TD3 (Fujimoto et al., ICML 2018), SB3's implementation.

    Raises:
        ConfigError: if a number is out of range.
    """

    action_noise: float = 0.5
    """Standard deviation of the exploration noise added to actions, at least 0."""
    squashing_penalty: float = 1e-4
    """Strength of the penalty on what goes into the actor's tanh, at least 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("action_noise", self.action_noise, 0.0)
        check_at_least("squashing_penalty", self.squashing_penalty, 0.0)


@dataclass(frozen=True)
class SACConfig(ActorCriticConfig):
    """SAC (Haarnoja et al., 2018) with a learnt temperature, SB3's implementation.

    Raises:
        ConfigError: if a number is out of range.
    """

    target_entropy_per_action: float = -1.0
    """Entropy that the temperature is steered to, in nats per action entry."""
    initial_temperature: float = 0.1
    """Worth of a nat of entropy at the start, in rewards, above 0. SB3's 1.0 drowns the effect of
    fusion weights, a few tenths of a reward, until long after a budget of this size is spent."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_above("initial_temperature", self.initial_temperature, 0.0)
        if not math.isfinite(self.target_entropy_per_action):
            raise ConfigError(
                f"target_entropy_per_action must be finite, got {self.target_entropy_per_action}"
            )


def learn_td3(task: LearningTask, config: TD3Config) -> LearnedPolicy:
    """Learn with TD3 until the task's budget is used.

    Raises:
        ConfigError: if the budget does not outlast the warm-up.
    """
    env = _environment(task, config)
    width = env.action_space.shape[0] if env.action_space.shape else 0
    model = TD3(
        "MlpPolicy",
        env,
        action_noise=NormalActionNoise(np.zeros(width), np.full(width, config.action_noise)),
        **_shared_settings(task, config),
    )
    layers: Any = model.actor.mu
    layers.insert(len(layers) - 1, SquashingPenalty(config.squashing_penalty))
    return _learn(model, task, config)


def learn_sac(task: LearningTask, config: SACConfig) -> LearnedPolicy:
    """Learn with SAC until the task's budget is used.

    Raises:
        ConfigError: if the budget does not outlast the warm-up.
    """
    env = _environment(task, config)
    width = env.action_space.shape[0] if env.action_space.shape else 0
    model = SAC(
        "MlpPolicy",
        env,
        ent_coef=f"auto_{config.initial_temperature}",
        target_entropy=config.target_entropy_per_action * width,
        **_shared_settings(task, config),
    )
    return _learn(model, task, config)


def _environment(task: LearningTask, config: ActorCriticConfig) -> SessionVecEnv:
    limit = task.budget.limit
    if limit is None or limit <= config.warmup_requests + config.num_envs:
        raise ConfigError(
            f"requests must exceed warmup_requests + num_envs = "
            f"{config.warmup_requests + config.num_envs}, got {limit}"
        )
    env = FusionSessionVectorEnv(task.learning, config.num_envs, task.budget)
    return SessionVecEnv(env)


def _shared_settings(task: LearningTask, config: ActorCriticConfig) -> dict[str, Any]:
    return {
        "gamma": config.gamma,
        "learning_rate": config.learning_rate,
        "batch_size": config.batch_size,
        "buffer_size": int(task.budget.limit or 0),
        "learning_starts": config.warmup_requests,
        "tau": config.tau,
        "train_freq": (1, "step"),
        "gradient_steps": max(1, round(config.updates_per_request * config.num_envs)),
        "policy_kwargs": {
            "net_arch": list(config.hidden),
            "features_extractor_class": StandardisedObservation,
        },
        "seed": task.seed,
        "device": "cpu",
    }


def _learn(
    model: OffPolicyAlgorithm, task: LearningTask, config: ActorCriticConfig
) -> LearnedPolicy:
    steps = int(task.budget.left) // config.num_envs * config.num_envs
    model.set_logger(Logger(folder=None, output_formats=[_SinkWriter(task.metrics)]))
    account = _SessionAccount()
    try:
        model.learn(steps, callback=account, log_interval=2 * config.num_envs)
    except KeyboardInterrupt:
        if account.untrained is None:
            raise  # Nothing was learnt yet.
        raise LearningInterruptedError(_learned(model, account, task)) from None
    model.dump_logs()
    return _learned(model, account, task)


def _learned(
    model: OffPolicyAlgorithm, account: "_SessionAccount", task: LearningTask
) -> LearnedPolicy:
    return LearnedPolicy(
        policy=actor_policy(model),
        untrained=account.untrained,
        requests_used=task.budget.used,
    )


def actor_policy(model: OffPolicyAlgorithm) -> MlpPolicy:
    """The deterministic actor of a TD3 or SAC model as plain arrays."""
    actor: Any = model.policy.actor
    body = actor.latent_pi if isinstance(model, SAC) else actor.mu
    layers = [module for module in body if isinstance(module, nn.Linear)]
    if isinstance(model, SAC):
        layers.append(actor.mu)
    mean, scale = standardisation_of(model)
    return MlpPolicy(
        mean=mean,
        scale=scale,
        network=Mlp(
            weights=tuple(layer.weight.detach().numpy().copy() for layer in layers),
            biases=tuple(layer.bias.detach().numpy().copy() for layer in layers),
        ),
    )


class _SessionAccount(BaseCallback):
    """Ends the warm-up, keeps the untrained actor, and logs what sessions were like."""

    def __init__(self) -> None:
        super().__init__()
        self.untrained: MlpPolicy | None = None

    @override
    def _on_step(self) -> bool:
        model: Any = self.model
        # The step's own transitions are stored after this call, and updates come after that; the
        # step after this one is the first to act with the network.
        if self.untrained is None and self.num_timesteps >= model.learning_starts:
            self._end_warmup(model)
        self._log_step()
        return True

    def _end_warmup(self, model: Any) -> None:
        buffer = model.replay_buffer
        stored = buffer.observations[: buffer.pos]  # (steps, num_envs, obs_dim)
        latest = np.asarray(model._last_obs)[None]  # acted on, but not stored yet
        seen = np.concatenate([stored, latest]).reshape(-1, stored.shape[2])
        freeze_statistics(model, seen)
        self.untrained = actor_policy(model)

    def _log_step(self) -> None:
        infos = _infos(self.training_env)
        dynamics = self.training_env.get_attr("dynamics")[0]
        for column, name in enumerate(dynamics.sessions.formula.parameter_names):
            weight = float(infos["parameters"][:, column].mean())
            self.logger.record_mean(f"weights/{name}", weight)
        shown = infos["videos"].shape[1]
        for feedback in FEEDBACKS:
            rate = float(infos[feedback.name].mean()) / shown
            self.logger.record_mean(f"rate/{feedback.name}", rate)
        self.logger.record_mean(
            "session/watch_seconds_per_request", float(infos["watch_seconds"].mean())
        )
        for episode in (info["episode"] for info in self.locals["infos"] if "episode" in info):
            self.logger.record_mean("session/reward", episode["r"])
            self.logger.record_mean("session/depth", episode["l"])


def _infos(env: Any) -> dict[str, Any]:
    infos: dict[str, Any] = env.last_infos
    return infos


class _SinkWriter(KVWriter):
    """Hands SB3's logged values on to the run's metric writer."""

    def __init__(self, sink: MetricSink) -> None:
        self._sink = sink

    @override
    def write(
        self,
        key_values: dict[str, Any],
        key_excluded: Mapping[str, Any],
        step: int = 0,
    ) -> None:
        for name, value in sorted(key_values.items()):
            if isinstance(value, int | float | np.number | torch.Tensor):
                self._sink(step, name, float(value))

    @override
    def close(self) -> None:
        return
