"""Sizes of the test and validation parts of a log."""

from dataclasses import dataclass

from mtf_rl.core.errors import ConfigError

__all__ = ["REAL_PLAN", "SYNTHETIC_PLAN", "TimePlan"]


@dataclass(frozen=True)
class TimePlan:
    """Sizes of the test and validation parts at the end of a log; the rest is for training.

    Raises:
        ConfigError: if a field is out of range, or both or none of `validation_days` and
            `validation_fraction` are positive.
    """

    test_days: int = 1
    """Test days at the end of the log, >= 1."""
    validation_days: int = 0
    """Validation days before the test days, >= 0; 0: use `validation_fraction`."""
    validation_fraction: float = 0.1
    """Validation part as a fraction of the requests before the test days (the latest ones), in
    [0, 1)."""

    def __post_init__(self) -> None:
        if self.test_days < 1:
            raise ConfigError(f"test_days must be at least 1, got {self.test_days}")
        if self.validation_days < 0:
            raise ConfigError(f"validation_days must be at least 0, got {self.validation_days}")
        if not 0.0 <= self.validation_fraction < 1.0:
            raise ConfigError(
                f"validation_fraction must be in [0, 1), got {self.validation_fraction}"
            )
        if (self.validation_days > 0) == (self.validation_fraction > 0):
            raise ConfigError(
                "exactly one of validation_days and validation_fraction must be positive,"
                f" got {self.validation_days} and {self.validation_fraction}"
            )


REAL_PLAN = TimePlan(test_days=3, validation_days=1, validation_fraction=0.0)
SYNTHETIC_PLAN = TimePlan(test_days=1, validation_days=0, validation_fraction=0.1)
