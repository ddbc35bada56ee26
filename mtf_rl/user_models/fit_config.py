"""Settings of the fit of a user model."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from mtf_rl.core.errors import ConfigError
from mtf_rl.user_models.prior_config import DeclaredPriorConfig

__all__ = ["REPLAY_SHARE", "RESPONSES_SHARE", "PriorUse", "Progress", "UserModelFitConfig"]

Progress = Callable[[str, float], None]
"""Called with the name of a stage and the fraction of the whole fit that is done, in [0, 1]."""

# Rough fractions of the time that a fit takes.
REPLAY_SHARE = 0.1
RESPONSES_SHARE = 0.8

PriorUse = Literal["auto", "always", "never"]


@dataclass(frozen=True)
class UserModelFitConfig:
    """How a user model is fitted on its half of a log.

    Raises:
        ConfigError: if a field is out of its range.
    """

    max_rows: int = 1_000_000
    """Training rows at most, whole sessions drawn by hash, at least 1."""
    max_requests: int = 100
    """Requests of a session that are replayed, at least 1; later ones are left out."""
    max_slate: int = 40
    """Videos of a request that are replayed, at least 1; later ones are left out."""
    hidden: int = 64
    """Units of the hidden layer of the response network, at least 1."""
    session_hidden: int = 32
    """Units of the hidden layer of the leaving and returning networks, at least 1."""
    session_factors: int = 8
    """Products of a user's and a session's numbers in these networks, at least 1."""
    embedding: int = 8
    """Numbers that describe a category, at least 1."""
    factors: int = 8
    """Products of a user's and a video's numbers, at least 1."""
    batch_size: int = 2048
    """Rows per gradient step of the response network, at least 1."""
    session_batch_size: int = 512
    """Requests per gradient step of the leaving and returning networks, at least 1."""
    learning_rate: float = 2e-3
    """AdamW's step size at the start, > 0; it falls linearly to a tenth over `max_epochs`."""
    weight_decay: float = 0.5
    """AdamW's decoupled weight decay of the response network, >= 0."""
    session_weight_decay: float = 2.0
    """The same of the leaving and returning networks, >= 0; their events are few."""
    max_epochs: int = 5
    """Passes over the training rows at most, at least 1."""
    patience: int = 2
    """Passes without a better held-out likelihood before the fit stops, at least 1."""
    prior: PriorUse = "auto"
    """Where the declared prior stands in: auto (what the log cannot teach), always or never."""
    fragment_fraction: float = 0.5
    """Fraction of sessions with one request above which sessions count as fragments, in [0, 1]."""
    declared: DeclaredPriorConfig = field(default_factory=DeclaredPriorConfig)
    """The declared prior; its engagement mean and scale are measured on the log."""
    seed: int = 0
    """Seed of the fit, >= 0."""

    def __post_init__(self) -> None:
        for name in (
            "max_rows",
            "max_requests",
            "max_slate",
            "hidden",
            "session_hidden",
            "session_factors",
            "embedding",
            "factors",
            "batch_size",
            "session_batch_size",
            "max_epochs",
            "patience",
        ):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.learning_rate <= 0.0:
            raise ConfigError(f"learning_rate must be > 0, got {self.learning_rate}")
        for name in ("weight_decay", "session_weight_decay", "seed"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must be >= 0, got {getattr(self, name)}")
        if self.prior not in ("auto", "always", "never"):
            raise ConfigError(f"prior must be auto, always or never, got {self.prior!r}")
        if not 0.0 <= self.fragment_fraction <= 1.0:
            raise ConfigError(f"fragment_fraction must be in [0, 1], got {self.fragment_fraction}")
