"""What one request is worth, as a function of what the users did."""

from dataclasses import dataclass

import numpy as np

from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.registry import Registry
from mtf_rl.core.slates import Response

__all__ = ["REWARDS", "Reward"]


@dataclass(frozen=True)
class Reward:
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
    },
)
