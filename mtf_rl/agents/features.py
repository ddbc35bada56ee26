"""The default observations of policies that use only a few features."""

from mtf_rl.core.errors import ConfigError
from mtf_rl.envs import ObservationLayout

__all__ = ["FEATURES", "columns_of", "default_columns"]

# Number of users followed, like rate, and requests served so far: they distinguish users and
# moments at a cost of three coefficients per weight. We chose them with knowledge of the synthetic
# world (benchmarks/world_headroom.py), not from data: 75,000 requests are too few to select
# features.
FEATURES = ("profile/log_follow_user_num", "profile/user_like_rate", "session/log_requests")


def default_columns(layout: ObservationLayout) -> tuple[int, ...]:
    """Columns of the observation that hold `FEATURES`; features not observed are skipped."""
    return columns_of(layout, tuple(name for name in FEATURES if name in layout.names))


def columns_of(layout: ObservationLayout, names: tuple[str, ...]) -> tuple[int, ...]:
    """Columns of the observation that hold the named numbers.

    Raises:
        ConfigError: if a name is not observed.
    """
    for name in names:
        if name not in layout.names:
            raise ConfigError(
                f"features must be observed, got '{name}'; observed are {', '.join(layout.names)}"
            )
    return tuple(layout.names.index(name) for name in names)
