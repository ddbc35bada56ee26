"""The few observed numbers that a policy of few features looks at."""

from mtf_rl.core.errors import ConfigError
from mtf_rl.envs import ObservationLayout

__all__ = ["FEATURES", "columns_of", "default_columns"]

# How many others a user follows, how often the user likes, how far the session is: what tells
# users and moments apart at the price of three coefficients a weight. They were chosen by who knows
# how the synthetic world is made (benchmarks/world_headroom.py), and by no data: 75,000 requests do
# not tell which numbers matter.
FEATURES = ("profile/log_follow_user_num", "profile/user_like_rate", "session/log_requests")


def default_columns(layout: ObservationLayout) -> tuple[int, ...]:
    """Places of those of `FEATURES` that are observed."""
    return columns_of(layout, tuple(name for name in FEATURES if name in layout.names))


def columns_of(layout: ObservationLayout, names: tuple[str, ...]) -> tuple[int, ...]:
    """Places of some numbers in the observation.

    Raises:
        ConfigError: if one is not observed.
    """
    for name in names:
        if name not in layout.names:
            raise ConfigError(
                f"features must be observed, got '{name}'; observed are {', '.join(layout.names)}"
            )
    return tuple(layout.names.index(name) for name in names)
