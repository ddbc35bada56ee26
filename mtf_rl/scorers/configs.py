"""Range checks that the scorers' configurations share."""

from mtf_rl.core.errors import ConfigError

__all__ = [
    "check_above_zero",
    "check_at_least_zero",
    "check_positive",
    "check_share",
    "check_widths",
]


def check_positive(name: str, value: int) -> None:
    """Refuse a count below 1."""
    if value < 1:
        raise ConfigError(f"{name} must be at least 1, got {value}")


def check_at_least_zero(name: str, value: float) -> None:
    """Refuse a negative number, or one that is not finite."""
    if not 0.0 <= value < float("inf"):
        raise ConfigError(f"{name} must be finite and at least 0, got {value}")


def check_above_zero(name: str, value: float) -> None:
    """Refuse a number of 0 or less, or one that is not finite."""
    if not 0.0 < value < float("inf"):
        raise ConfigError(f"{name} must be finite and above 0, got {value}")


def check_share(name: str, value: float) -> None:
    """Refuse a number outside [0, 1)."""
    if not 0.0 <= value < 1.0:
        raise ConfigError(f"{name} must be in [0, 1), got {value}")


def check_widths(name: str, widths: tuple[int, ...], *, at_least: int) -> None:
    """Refuse a layer of width below 1, or fewer layers than `at_least`."""
    if len(widths) < at_least:
        raise ConfigError(f"{name} must name at least {at_least} layer, got {widths}")
    if any(width < 1 for width in widths):
        raise ConfigError(f"{name} must be at least 1 each, got {widths}")
