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
    """What all batch-RL agents share.

    Raises:
        ConfigError: if a number is out of range.
    """

    updates: int = 5_000
    """Gradient steps, at least 1; they cost no requests."""
    learning_rate: float = 1e-3
    """Adam's step, above 0."""
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
    """What the agents with critics share; their rewards are divided by the log's deviation.

    Raises:
        ConfigError: if a number is out of range.
    """

    gamma: float = 0.95
    """Discount per request, in [0, 1]; 0 makes the learner myopic."""
    tau: float = 0.005
    """Fraction of the networks that moves into their targets per update, in (0, 1]."""

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
    """Weight of the value against cloning, at least 0."""

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
    """Weight of the conservative gap, at least 0; with a threshold, at the start."""
    alpha_threshold: float | None = None
    """Gap that a Lagrange multiplier holds, in deviations of the reward; None fixes the weight. The
    authors' gap is larger by log(3 samples), and so are their thresholds of 5 and 10."""
    n_action_samples: int = 4
    """Actions of each of the three kinds that the gap's integral is estimated from, at least 1."""
    actor_learning_rate: float = 1e-3
    """Adam's step of actor and temperature, above 0."""

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
    """Adam's step, above 0; the actor's falls to 0 by a cosine."""
    expectile: float = 0.7
    """Expectile of the values of logged actions that V is, in [0, 1]."""
    beta: float = 10.0
    """Inverse temperature, per deviation of the reward, at least 0."""

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
    """Adam's step, above 0."""
    temperature: float = 0.1
    """Advantage that weighs e times as much, in deviations of the reward, above 0."""

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
    """Adam's step of the critics, above 0."""
    actor_learning_rate: float = 1e-3
    """Adam's step of the perturbation network, above 0."""
    vae_learning_rate: float = 1e-3
    """Adam's step of the autoencoder, above 0."""
    action_flexibility: float = 0.05
    """Most that a proposed action is moved by, in [0, 2]."""
    min_fraction: float = 0.75
    """Fraction of the smaller of two values in a target, in [0, 1]; the rest is the larger's."""
    n_action_samples: int = 10
    """Proposals that a target chooses from, at least 1."""
    proposals: int = 20
    """Proposals that the policy chooses from, at least 1."""
    target_interval: int = 1
    """Updates from one move of the targets to the next, at least 1."""

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

    Its networks' widths and its number of proposals are not told; they are ours.

    Raises:
        ConfigError: if a number is out of range.
    """

    learning_rate: float = 2e-4
    """Adam's step of the critics, above 0."""
    actor_learning_rate: float = 1e-4
    """Adam's step of the perturbation network, above 0."""
    vae_learning_rate: float = 1e-3
    """Adam's step of the autoencoder, above 0."""
    tau: float = 0.05
    """Fraction of the networks that moves into their targets, in (0, 1]."""
    target_interval: int = 10
    """Updates from one move of the targets to the next, at least 1."""
    action_flexibility: float = 0.15
    """Most that a proposed action is moved by, in [0, 2]."""
    min_fraction: float = 1.0
    """Fraction of the smaller of two values in a target, in [0, 1]; the rest is the larger's."""
    checkpoints: int = 4
    """Moments, evenly spread, whose policies Conservative-OPEstimator compares, at least 1."""
    held_out: float = 0.1
    """Fraction of the sessions that it is fitted on, kept from the learner, in (0, 1)."""
    estimator_updates: int = 5_000
    """Its gradient steps for each policy, at least 1."""

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
    """Worth of a nat of entropy at the start, in deviations of the reward, above 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_above("initial_temperature", self.initial_temperature, 0.0)
