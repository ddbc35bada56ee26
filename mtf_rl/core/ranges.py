"""Range checks that configurations share; NaN and infinity never pass."""

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


def check_at_least(name: str, value: float, least: float) -> None:
    """Refuse a number below `least`, or one that is not finite."""
    if not least <= value < math.inf:
        raise ConfigError(f"{name} must be at least {least:g}, got {value}")


def check_above(name: str, value: float, bound: float) -> None:
    """Refuse a number not above `bound`, or one that is not finite."""
    if not bound < value < math.inf:
        raise ConfigError(f"{name} must be above {bound:g}, got {value}")


def check_fraction(name: str, value: float) -> None:
    """Refuse a number outside [0, 1]."""
    if not 0.0 <= value <= 1.0:
        raise ConfigError(f"{name} must be in [0, 1], got {value}")


def check_proper_fraction(name: str, value: float) -> None:
    """Refuse a number outside [0, 1), such as a share that must leave something."""
    if not 0.0 <= value < 1.0:
        raise ConfigError(f"{name} must be in [0, 1), got {value}")


def check_seed(name: str, value: int) -> None:
    """Refuse a seed that one of the random generators cannot take: outside [0, 2**32)."""
    if not 0 <= value <= LARGEST_SEED:
        raise ConfigError(f"{name} must be in [0, {LARGEST_SEED}], got {value}")


def check_choice(kind: str, value: str, choices: Iterable[str]) -> None:
    """Refuse a name outside a closed set, with the nearest one.

    Raises:
        UnknownNameError: naming what there is.
    """
    Registry(kind, dict.fromkeys(choices))[value]
