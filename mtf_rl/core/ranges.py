"""Range checks of configuration values; NaN and infinity always fail."""

import math
from collections.abc import Iterable

from mtf_rl.core.errors import ConfigError
from mtf_rl.core.registry import Registry

__all__ = [
    "check_above",
    "check_at_least",
    "check_choice",
    "check_fraction",
    "check_proper_fraction",
    "check_seed",
]

LARGEST_SEED = 2**32 - 1


def check_at_least(name: str, value: float, minimum: float) -> None:
    """Raise a ConfigError unless `value` is finite and >= `minimum`."""
    if not minimum <= value < math.inf:
        raise ConfigError(f"{name} must be at least {minimum:g}, got {value}")


def check_above(name: str, value: float, bound: float) -> None:
    """Raise a ConfigError unless `value` is finite and > `bound`."""
    if not bound < value < math.inf:
        raise ConfigError(f"{name} must be above {bound:g}, got {value}")


def check_fraction(name: str, value: float) -> None:
    """Raise a ConfigError unless `value` is in [0, 1]."""
    if not 0.0 <= value <= 1.0:
        raise ConfigError(f"{name} must be in [0, 1], got {value}")


def check_proper_fraction(name: str, value: float) -> None:
    """Raise a ConfigError unless `value` is in [0, 1)."""
    if not 0.0 <= value < 1.0:
        raise ConfigError(f"{name} must be in [0, 1), got {value}")


def check_seed(name: str, value: int) -> None:
    """Raise a ConfigError unless `value` is in [0, 2**32), the range that all generators accept."""
    if not 0 <= value <= LARGEST_SEED:
        raise ConfigError(f"{name} must be in [0, {LARGEST_SEED}], got {value}")


def check_choice(kind: str, value: str, choices: Iterable[str]) -> None:
    """Raise an error unless `value` is one of `choices`.

    Raises:
        UnknownNameError: with the nearest choice and all choices.
    """
    Registry(kind, dict.fromkeys(choices))[value]
