"""Which days of a log test and validate."""

from dataclasses import dataclass

from mtf_rl.core.errors import ConfigError

__all__ = ["REAL_PLAN", "SYNTHETIC_PLAN", "TimePlan"]


@dataclass(frozen=True)
class TimePlan:
    """Which end of a log tests and validates; the rest is for fitting.

    Raises:
        ConfigError: if a field is out of range, or validation is asked for in both ways or none.
    """

    test_days: int = 1
    """Days at the end of the log that test, at least 1."""
    validation_days: int = 0
    """Days before the test days that validate, at least 0; 0 leaves it to `validation_fraction`."""
    validation_fraction: float = 0.1
    """Fraction of the requests before the test days that validate, the latest ones, in [0, 1)."""

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
                "one of validation_days and validation_fraction must be positive and the other 0,"
                f" got {self.validation_days} and {self.validation_fraction}"
            )


REAL_PLAN = TimePlan(test_days=3, validation_days=1, validation_fraction=0.0)
SYNTHETIC_PLAN = TimePlan(test_days=1, validation_days=0, validation_fraction=0.1)
