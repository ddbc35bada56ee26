"""How good a policy is: rollouts and intervals."""

from mtf_rl.evaluation.intervals import Interval, mean_interval
from mtf_rl.evaluation.leaderboard import (
    Contestant,
    LeaderboardRow,
    leaderboard,
    leaderboard_columns,
    paired_difference,
)
from mtf_rl.evaluation.rollouts import Sessions, roll_out

__all__ = [
    "Contestant",
    "Interval",
    "LeaderboardRow",
    "Sessions",
    "leaderboard",
    "leaderboard_columns",
    "mean_interval",
    "paired_difference",
    "roll_out",
]
