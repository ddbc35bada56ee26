"""The settings of the batch-RL agents."""

from dataclasses import dataclass

from mtf_rl.core.errors import ConfigError
from mtf_rl.core.ranges import check_above, check_at_least, check_fraction

__all__ = [
    "AWACConfig",
    "BCConfig",
    "BCQConfig",
    "BatchConfig",
    "BatchRLMTFConfig",
    "BatchSACConfig",
    "BatchTD3Config",
    "BatchValueConfig",
    "CQLConfig",
    "IQLConfig",
    "TD3BCConfig",
]


@dataclass(frozen=True)
class BatchConfig:
    """Settings shared by all batch-RL agents.

    Raises:
        ConfigError: if a number is out of range.
    """

    updates: int = 5_000
    """Gradient steps, at least 1; they cost no requests."""
    learning_rate: float = 1e-3
    """Adam's learning rate, above 0."""
    batch_size: int = 256
    """Transitions per gradient step, at least 1."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers of every network."""

    def __post_init__(self) -> None:
        check_at_least("updates", self.updates, 1)
        check_above("learning_rate", self.learning_rate, 0.0)
        check_at_least("batch_size", self.batch_size, 1)
        if not self.hidden or min(self.hidden) < 1:
            raise ConfigError(f"hidden needs positive widths, got {self.hidden}")


@dataclass(frozen=True)
class BCConfig(BatchConfig):
    """Behaviour cloning."""


@dataclass(frozen=True)
class BatchValueConfig(BatchConfig):
    """Settings shared by agents with critics; rewards are divided by their standard deviation.

    Raises:
        ConfigError: if a number is out of range.
    """

    gamma: float = 0.95
    """Discount factor per request, in [0, 1]; 0 makes the learner myopic."""
    tau: float = 0.005
    """Step of the target networks towards the networks per update, in (0, 1]."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fraction("gamma", self.gamma)
        check_fraction("tau", self.tau)
        check_above("tau", self.tau, 0.0)


@dataclass(frozen=True)
class TD3BCConfig(BatchValueConfig):
    """TD3+BC (Fujimoto and Gu, NeurIPS 2021).

    Raises:
        ConfigError: if a number is out of range.
    """

    alpha: float = 10.0
    """Weight of the Q value relative to cloning, at least 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("alpha", self.alpha, 0.0)


@dataclass(frozen=True)
class CQLConfig(BatchValueConfig):
    """CQL(H) (Kumar et al., NeurIPS 2020).

    Raises:
        ConfigError: if a number is out of range.
    """

    conservative_weight: float = 0.05
    """Weight of the conservative gap, at least 0; the initial weight if alpha_threshold is set."""
    alpha_threshold: float | None = None
    """Target of the gap for a Lagrange multiplier, in standard deviations of the reward; None keeps
    the weight fixed. The authors' gap, and so their thresholds 5 and 10, is larger by
    log(3 n_action_samples)."""
    n_action_samples: int = 4
    """Actions sampled from each of three distributions to estimate the gap, at least 1."""
    actor_learning_rate: float = 1e-3
    """Adam's learning rate of actor and temperature, above 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("conservative_weight", self.conservative_weight, 0.0)
        check_at_least("n_action_samples", self.n_action_samples, 1)
        check_above("actor_learning_rate", self.actor_learning_rate, 0.0)


@dataclass(frozen=True)
class IQLConfig(BatchValueConfig):
    """IQL (Kostrikov et al., ICLR 2022).

    Raises:
        ConfigError: if a number is out of range.
    """

    updates: int = 10_000
    """Gradient steps, at least 1; they cost no requests."""
    learning_rate: float = 3e-4
    """Adam's learning rate, above 0; the actor's decays to 0 with a cosine schedule."""
    expectile: float = 0.7
    """Expectile of the Q values of logged actions that V estimates, in [0, 1]."""
    beta: float = 10.0
    """Inverse temperature, per standard deviation of the reward, at least 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fraction("expectile", self.expectile)
        check_at_least("beta", self.beta, 0.0)


@dataclass(frozen=True)
class AWACConfig(BatchValueConfig):
    """AWAC (Nair et al., 2020).

    Raises:
        ConfigError: if a number is out of range.
    """

    updates: int = 10_000
    """Gradient steps, at least 1; they cost no requests."""
    learning_rate: float = 3e-4
    """Adam's learning rate, above 0."""
    temperature: float = 0.1
    """Temperature of the advantage weights, in standard deviations of the reward, above 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_above("temperature", self.temperature, 0.0)


@dataclass(frozen=True)
class BCQConfig(BatchValueConfig):
    """BCQ (Fujimoto et al., ICML 2019).

    Raises:
        ConfigError: if a number is out of range.
    """

    learning_rate: float = 1e-3
    """Adam's learning rate of the critics, above 0."""
    actor_learning_rate: float = 1e-3
    """Adam's learning rate of the perturbation network, above 0."""
    vae_learning_rate: float = 1e-3
    """Adam's learning rate of the autoencoder, above 0."""
    action_flexibility: float = 0.05
    """Maximum perturbation of a proposed action, in units of the action, in [0, 2]."""
    min_fraction: float = 0.75
    """Weight of the smaller of two Q values in a target, in [0, 1]; the larger gets the rest."""
    n_action_samples: int = 10
    """Proposals over which a target takes the maximum, at least 1."""
    proposals: int = 20
    """Proposals from which the policy selects, at least 1."""
    target_interval: int = 1
    """Updates between updates of the target networks, at least 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("actor_learning_rate", "vae_learning_rate"):
            check_above(name, getattr(self, name), 0.0)
        check_fraction("min_fraction", self.min_fraction)
        if not 0.0 <= self.action_flexibility <= 2.0:
            raise ConfigError(
                f"action_flexibility must be in [0, 2], got {self.action_flexibility}"
            )
        for name in ("n_action_samples", "proposals", "target_interval"):
            check_at_least(name, getattr(self, name), 1)


@dataclass(frozen=True)
class BatchRLMTFConfig(BCQConfig):
    """BatchRL-MTF (Zhang et al., KDD 2022): BCQ with the paper's settings (section 4.5).

    The paper does not give the widths of the networks and the number of proposals; ours are used.

    Raises:
        ConfigError: if a number is out of range.
    """

    learning_rate: float = 2e-4
    """Adam's learning rate of the critics, above 0."""
    actor_learning_rate: float = 1e-4
    """Adam's learning rate of the perturbation network, above 0."""
    vae_learning_rate: float = 1e-3
    """Adam's learning rate of the autoencoder, above 0."""
    tau: float = 0.05
    """Step of the target networks towards the networks per update of them, in (0, 1]."""
    target_interval: int = 10
    """Updates between updates of the target networks, at least 1."""
    action_flexibility: float = 0.15
    """Maximum perturbation of a proposed action, in units of the action, in [0, 2]."""
    min_fraction: float = 1.0
    """Weight of the smaller of two Q values in a target, in [0, 1]; the larger gets the rest."""
    checkpoints: int = 4
    """Evenly spaced checkpoints whose policies Conservative-OPEstimator compares, at least 1."""
    held_out: float = 0.1
    """Fraction of sessions held out from learning, for Conservative-OPEstimator, in (0, 1)."""
    estimator_updates: int = 5_000
    """Gradient steps of Conservative-OPEstimator for each policy, at least 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("checkpoints", self.checkpoints, 1)
        check_at_least("estimator_updates", self.estimator_updates, 1)
        check_above("held_out", self.held_out, 0.0)
        if self.held_out >= 1.0:
            raise ConfigError(f"held_out must be below 1, got {self.held_out}")


@dataclass(frozen=True)
class BatchTD3Config(BatchValueConfig):
    """TD3 on the dataset: a negative control."""


@dataclass(frozen=True)
class BatchSACConfig(BatchValueConfig):
    """SAC on the dataset: a negative control.

    Raises:
        ConfigError: if a number is out of range.
    """

    initial_temperature: float = 0.1
    """Initial entropy temperature, in standard deviations of the reward per nat, above 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_above("initial_temperature", self.initial_temperature, 0.0)
