"""What one request is worth, as a function of what the users did."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mtf_rl.core.arrays import FloatArray, check_shape
from mtf_rl.core.errors import ShapeError
from mtf_rl.core.plugins import check_import_path, import_from_path, is_import_path
from mtf_rl.core.registry import Registry
from mtf_rl.core.slates import Response

__all__ = ["REWARDS", "Reward", "RewardFunction", "check_reward_name", "reward_named"]


class RewardFunction(Protocol):
    """Any function of a response, such as a user's own."""

    def __call__(self, response: Response) -> FloatArray:
        """The worth of each request, (num_envs,), finite."""
        ...


@dataclass(frozen=True)
class Reward(RewardFunction):
    """A weighted sum over the slate of watch minutes and feedbacks."""

    watch_minute: float
    """Worth of one minute of play."""
    feedbacks: tuple[float, ...]
    """Worth of one click, long view, like, follow, comment, forward, hate."""

    def __call__(self, response: Response) -> FloatArray:
        """Reward of each request, (num_envs,) float32."""
        seconds = response.watch_seconds.sum(axis=1, dtype=np.float64)  # (num_envs,)
        counts = response.feedback.sum(axis=1, dtype=np.float64)  # (num_envs, 7)
        worth = self.watch_minute * seconds / 60.0
        for column, weight in enumerate(self.feedbacks):
            worth = worth + weight * counts[:, column]
        reward: FloatArray = worth.astype(np.float32)
        return reward


# No published system states its weights. `engagement` was fixed before any world was tuned: at
# KuaiRand's rates its interactions are about a tenth of it, as sparse signals should count.
REWARDS: Registry[Reward] = Registry(
    "reward",
    {
        "engagement": Reward(1.0, (0.0, 0.0, 1.0, 5.0, 3.0, 5.0, -5.0)),
        "watch_time": Reward(1.0, (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)),
        "interaction": Reward(0.0, (0.0, 0.0, 1.0, 5.0, 3.0, 5.0, -5.0)),
        "none": Reward(0.0, (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)),
    },
)


def check_reward_name(name: str) -> None:
    """Refuse a name that cannot be a reward's; imports nothing.

    Raises:
        UnknownNameError: if it is neither in `REWARDS` nor of the form `module:function`.
        ConfigError: if it has a colon, but is not of that form.
    """
    if is_import_path(name):
        check_import_path(name, "reward")
    else:
        REWARDS[name]


def reward_named(name: str) -> RewardFunction:
    """The reward of that name; a `module:function` is imported, which runs the module.

    Raises:
        UnknownNameError: if it is not in `REWARDS` and not of the form `module:function`.
        ConfigError: if the module or the function is not there.
    """
    return (
        _Checked(name, import_from_path(name, "reward")) if is_import_path(name) else REWARDS[name]
    )


@dataclass(frozen=True)
class _Checked(RewardFunction):
    """A user's own reward, held to the contract at every call."""

    name: str
    function: RewardFunction

    def __call__(self, response: Response) -> FloatArray:
        reward = np.asarray(self.function(response), dtype=np.float32)
        expected = (len(response.watch_seconds),)
        check_shape(f"what reward {self.name!r} returns", reward, "num_envs", expected)
        if not np.isfinite(reward).all():
            raise ShapeError(f"what reward {self.name!r} returns must be finite, got {reward}")
        return reward
