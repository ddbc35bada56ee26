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
    """What all actor-critics share.

    Raises:
        ConfigError: if a number is out of range.
    """

    gamma: float = 0.95
    """Discount per request, in [0, 1]; 0 makes the learner myopic."""
    learning_rate: float = 5e-4
    """The optimizer's step, above 0, for actor and critics."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers of actor and critics."""
    num_envs: int = 32
    """Sessions simulated side by side, at least 1."""
    warmup_requests: int = 10_000
    """Requests served with uniformly random actions before the first update, at least num_envs."""

    @property
    def requests_before_learning(self) -> int:
        """What a budget has to exceed, a step of all sessions aside."""
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
    """What TD3, DDPG and SAC share.

    Raises:
        ConfigError: if a number is out of range.
    """

    batch_size: int = 512
    """Transitions per gradient step, at least 1."""
    updates_per_request: float = 0.25
    """Gradient steps per simulated request, above 0."""
    tau: float = 0.005
    """Fraction of the networks that moves into their targets per update, in (0, 1]."""
    warm_start_updates: int = 0
    """Updates of TD3+BC (of CQL for SAC) on the run's batch before the first request, at least 0;
    its rows are replayed too, and the warm-up is left out."""

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
    """What learners of a deterministic actor share.

    Raises:
        ConfigError: if a number is out of range.
    """

    squashing_penalty: float = 1e-4
    """Strength of the penalty on what goes into the actor's tanh, at least 0."""

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
    """DDPG (Lillicrap et al., ICLR 2016), SB3's implementation: TD3 without its three mends.

    Raises:
        ConfigError: if a number is out of range.
    """

    learning_rate: float = 1e-4
    """Adam's step, above 0, for actor and critic."""
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
    """Adam's step, above 0, for actor and critic."""
    batch_size: int = 136
    """Transitions per gradient step, at least 1."""
    hidden: tuple[int, ...] = (36, 36)
    """Widths of the hidden layers of actor and critic."""
    updates_per_request: float = 0.1
    """Gradient steps per simulated request, above 0."""
    first_epsilon: float = 0.62
    """Fraction of actions drawn uniformly at random right after the warm-up, in [0, 1]."""
    last_epsilon: float = 0.05
    """The same when the budget is used, in [0, 1]; in between it changes evenly."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fraction("first_epsilon", self.first_epsilon)
        check_fraction("last_epsilon", self.last_epsilon)


@dataclass(frozen=True)
class SACConfig(OffPolicyConfig):
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


@dataclass(frozen=True)
class OnPolicyConfig(ActorCriticConfig):
    """What PPO and A2C share.

    Raises:
        ConfigError: if a number is out of range.
    """

    warmup_requests: int = 2_000
    """Requests served with uniformly random actions before the first rollout, at least num_envs;
    what makes no whole rollout at the end of the budget is added."""
    rollout_requests: int = 512
    """Requests from one update to the next, at least num_envs."""
    gae_lambda: float = 0.95
    """Weight of longer returns in an advantage, in [0, 1]: 0 trusts the critic, 1 the rewards."""
    initial_std: float = 0.5
    """Standard deviation of the Gaussian that actions are drawn from at the start, above 0."""
    entropy_bonus: float = 0.0
    """Worth of a nat of the Gaussian's entropy in the loss, at least 0."""

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
    """Passes over a rollout, at least 1."""
    clip_range: float = 0.2
    """How far the ratio of new to old density may leave 1 before its gradient is cut, above 0."""

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
    """Adam's step, above 0, for actor and critic; a rollout is worth one step only."""
    rollout_requests: int = 256
    """Requests from one update to the next, at least num_envs; all are in one gradient step."""
