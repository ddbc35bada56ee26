"""The settings of the actor-critics."""

import math
from dataclasses import dataclass

from typing_extensions import override

from mtf_rl.core.errors import ConfigError
from mtf_rl.core.ranges import check_above, check_at_least, check_fraction

__all__ = [
    "A2CConfig",
    "ActorCriticConfig",
    "DDPGConfig",
    "DeterministicConfig",
    "HanConfig",
    "OffPolicyConfig",
    "OnPolicyConfig",
    "PPOConfig",
    "SACConfig",
    "TD3Config",
]


@dataclass(frozen=True)
class ActorCriticConfig:
    """Settings shared by all actor-critics.

    Raises:
        ConfigError: if a number is out of range.
    """

    gamma: float = 0.95
    """Discount factor per request, in [0, 1]; 0 makes the learner myopic."""
    learning_rate: float = 5e-4
    """Learning rate of actor and critics, above 0."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers of actor and critics."""
    num_envs: int = 32
    """Sessions simulated side by side, at least 1."""
    warmup_requests: int = 10_000
    """Requests served with uniformly random actions before the first update, at least num_envs."""

    @property
    def requests_before_learning(self) -> int:
        """Requests before the first update; the budget has to exceed them by one batched step."""
        return self.warmup_requests

    def __post_init__(self) -> None:
        check_fraction("gamma", self.gamma)
        check_above("learning_rate", self.learning_rate, 0.0)
        check_at_least("num_envs", self.num_envs, 1)
        check_at_least("warmup_requests", self.warmup_requests, self.num_envs)
        if not self.hidden or min(self.hidden) < 1:
            raise ConfigError(f"hidden needs positive widths, got {self.hidden}")


@dataclass(frozen=True)
class OffPolicyConfig(ActorCriticConfig):
    """Settings shared by TD3, DDPG and SAC.

    Raises:
        ConfigError: if a number is out of range.
    """

    batch_size: int = 512
    """Transitions per gradient step, at least 1."""
    updates_per_request: float = 0.25
    """Gradient steps per simulated request, above 0."""
    tau: float = 0.005
    """Step of the target networks towards the networks per update, in (0, 1]."""
    warm_start_updates: int = 0
    """Updates of TD3+BC (CQL for SAC) on the run's batch before the first request, at least 0. If
    above 0, the batch also fills the replay buffer, and the warm-up is skipped."""

    @property
    @override
    def requests_before_learning(self) -> int:
        return 0 if self.warm_start_updates > 0 else self.warmup_requests

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("batch_size", self.batch_size, 1)
        check_at_least("warm_start_updates", self.warm_start_updates, 0)
        check_fraction("tau", self.tau)
        for name in ("updates_per_request", "tau"):
            check_above(name, getattr(self, name), 0.0)


@dataclass(frozen=True)
class DeterministicConfig(OffPolicyConfig):
    """Settings shared by learners with a deterministic actor.

    Raises:
        ConfigError: if a number is out of range.
    """

    squashing_penalty: float = 1e-4
    """Strength of the penalty on the inputs of the actor's tanh, at least 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("squashing_penalty", self.squashing_penalty, 0.0)


@dataclass(frozen=True)
class TD3Config(DeterministicConfig):
    """TD3 (Fujimoto et al., ICML 2018), SB3's implementation.

    Raises:
        ConfigError: if a number is out of range.
    """

    action_noise: float = 0.5
    """Standard deviation of the exploration noise added to actions, at least 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("action_noise", self.action_noise, 0.0)


@dataclass(frozen=True)
class DDPGConfig(DeterministicConfig):
    """DDPG (Lillicrap et al., ICLR 2016), SB3's implementation: TD3 without its three additions.

    Raises:
        ConfigError: if a number is out of range.
    """

    learning_rate: float = 1e-4
    """Adam's learning rate of actor and critic, above 0."""
    batch_size: int = 160
    """Transitions per gradient step, at least 1."""
    hidden: tuple[int, ...] = (96, 96)
    """Widths of the hidden layers of actor and critic."""
    updates_per_request: float = 0.06
    """Gradient steps per simulated request, above 0."""
    action_noise: float = 0.67
    """Standard deviation of the exploration noise added to actions, at least 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("action_noise", self.action_noise, 0.0)


@dataclass(frozen=True)
class HanConfig(DeterministicConfig):
    """DDPG on ranking parameters with epsilon-greedy exploration (Han et al., 2019).

    Raises:
        ConfigError: if a number is out of range.
    """

    learning_rate: float = 1.7e-3
    """Adam's learning rate of actor and critic, above 0."""
    batch_size: int = 136
    """Transitions per gradient step, at least 1."""
    hidden: tuple[int, ...] = (36, 36)
    """Widths of the hidden layers of actor and critic."""
    updates_per_request: float = 0.1
    """Gradient steps per simulated request, above 0."""
    first_epsilon: float = 0.62
    """Fraction of actions drawn uniformly at random right after the warm-up, in [0, 1]."""
    last_epsilon: float = 0.05
    """The same at the end of the budget, in [0, 1]; it changes linearly in between."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fraction("first_epsilon", self.first_epsilon)
        check_fraction("last_epsilon", self.last_epsilon)


@dataclass(frozen=True)
class SACConfig(OffPolicyConfig):
    """SAC (Haarnoja et al., 2018) with automatic temperature, SB3's implementation.

    Raises:
        ConfigError: if a number is out of range.
    """

    target_entropy_per_action: float = -1.0
    """Target entropy of the automatic temperature, in nats per action entry."""
    initial_temperature: float = 0.1
    """Initial entropy temperature, in reward units per nat, above 0. SB3's default of 1.0 dominates
    the effect of fusion weights, a few tenths of a reward, for longer than a usual budget."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_above("initial_temperature", self.initial_temperature, 0.0)
        if not math.isfinite(self.target_entropy_per_action):
            raise ConfigError(
                f"target_entropy_per_action must be finite, got {self.target_entropy_per_action}"
            )


@dataclass(frozen=True)
class OnPolicyConfig(ActorCriticConfig):
    """Settings shared by PPO and A2C.

    Raises:
        ConfigError: if a number is out of range.
    """

    warmup_requests: int = 2_000
    """Requests served with uniformly random actions before the first rollout, at least num_envs.
    The rest of the budget that does not fill a rollout is added to them."""
    rollout_requests: int = 512
    """Requests per rollout, which is followed by an update, at least num_envs."""
    gae_lambda: float = 0.95
    """Lambda of generalised advantage estimation, in [0, 1]: 0 uses only the critic's next value, 1
    the full return."""
    initial_std: float = 0.5
    """Initial standard deviation of the policy's Gaussian, above 0."""
    entropy_bonus: float = 0.0
    """Weight of the policy's entropy, in nats, in the loss, at least 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("rollout_requests", self.rollout_requests, self.num_envs)
        check_fraction("gae_lambda", self.gae_lambda)
        check_above("initial_std", self.initial_std, 0.0)
        check_at_least("entropy_bonus", self.entropy_bonus, 0.0)


@dataclass(frozen=True)
class PPOConfig(OnPolicyConfig):
    """PPO (Schulman et al., 2017), SB3's implementation.

    Raises:
        ConfigError: if a number is out of range.
    """

    batch_size: int = 256
    """Transitions per gradient step, at least 2."""
    epochs: int = 5
    """Passes over a rollout per update, at least 1."""
    clip_range: float = 0.2
    """Clip range of the ratio of new to old density around 1, above 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("batch_size", self.batch_size, 2)
        check_at_least("epochs", self.epochs, 1)
        check_above("clip_range", self.clip_range, 0.0)


@dataclass(frozen=True)
class A2CConfig(OnPolicyConfig):
    """A2C (Mnih et al., ICML 2016, without the asynchrony), SB3's implementation with Adam.

    Raises:
        ConfigError: if a number is out of range.
    """

    learning_rate: float = 2e-3
    """Adam's learning rate of actor and critic, above 0; there is one gradient step per rollout."""
    rollout_requests: int = 256
    """Requests per rollout, at least num_envs; all are used in one gradient step."""
