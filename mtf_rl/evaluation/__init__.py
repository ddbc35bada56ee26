"""How good a policy is: rollouts and intervals."""

from mtf_rl.evaluation.intervals import Interval, mean_interval
from mtf_rl.evaluation.leaderboard import (
    LEADERBOARD_COLUMNS,
    Contestant,
    LeaderboardRow,
    leaderboard,
    paired_difference,
)
from mtf_rl.evaluation.rollouts import Sessions, roll_out

__all__ = [
    "LEADERBOARD_COLUMNS",
    "Contestant",
    "Interval",
    "LeaderboardRow",
    "Sessions",
    "leaderboard",
    "mean_interval",
    "paired_difference",
    "roll_out",
]
