"""Settings for fitting a user model."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from mtf_rl.core.errors import ConfigError
from mtf_rl.user_models.prior_config import DeclaredPriorConfig

__all__ = ["REPLAY_FRACTION", "RESPONSES_FRACTION", "PriorUse", "Progress", "UserModelFitConfig"]

Progress = Callable[[str, float], None]
"""Callback with the name of the stage and the completed fraction of the whole fit, in [0, 1]."""

# Approximate fractions of the total time of a fit.
REPLAY_FRACTION = 0.1
RESPONSES_FRACTION = 0.8

PriorUse = Literal["auto", "always", "never"]


@dataclass(frozen=True)
class UserModelFitConfig:
    """Settings for fitting a user model on its half of a log.

    Raises:
        ConfigError: if a field is out of its range.
    """

    max_rows: int = 1_000_000
    """Maximum number of training rows, at least 1; a hash selects whole sessions."""
    max_requests: int = 100
    """Maximum number of requests per session, at least 1; later requests are dropped."""
    max_slate: int = 40
    """Maximum number of videos per request, at least 1; later videos are dropped."""
    hidden: int = 64
    """Width of the hidden layer of the response network, at least 1."""
    session_hidden: int = 32
    """Width of the hidden layer of the leaving and returning networks, at least 1."""
    session_factors: int = 8
    """Number of user-session factor products in the leaving and returning networks, at least 1."""
    embedding: int = 8
    """Embedding dimension of each category, at least 1."""
    factors: int = 8
    """Number of user-video factor products in the response network, at least 1."""
    batch_size: int = 2048
    """Rows per gradient step of the response network, at least 1."""
    session_batch_size: int = 512
    """Requests per gradient step of the leaving and returning networks, at least 1."""
    learning_rate: float = 2e-3
    """Initial learning rate of AdamW, > 0; it falls linearly to a tenth over `max_epochs`."""
    weight_decay: float = 0.5
    """Decoupled weight decay of the response network, >= 0."""
    session_weight_decay: float = 2.0
    """Decoupled weight decay of the leaving and returning networks, >= 0; they have few events."""
    max_epochs: int = 5
    """Maximum number of passes over the training rows, at least 1."""
    patience: int = 2
    """Number of passes without a better validation loss after which a fit stops, at least 1."""
    prior: PriorUse = "auto"
    """Use of the declared prior for leaving, pausing and returning: `auto` (for parts that the log
    has too little data for), `always` or `never`."""
    fragment_fraction: float = 0.5
    """With `auto`, use the declared prior if more than this fraction of sessions has a single
    request, in [0, 1]."""
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
