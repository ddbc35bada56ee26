"""How good a policy is: rollouts and intervals; and what a log tells of a reward."""

from mtf_rl.evaluation.intervals import (
    Interval,
    mean_interval,
    quantile_interval,
    ratio_interval,
)
from mtf_rl.evaluation.leaderboard import (
    Contestant,
    LeaderboardRow,
    leaderboard,
    leaderboard_columns,
    paired_difference,
)
from mtf_rl.evaluation.reward_weights import (
    InputWeight,
    RewardWeights,
    Verdict,
    estimate_reward_weights,
)
from mtf_rl.evaluation.rollouts import Sessions, roll_out
from mtf_rl.evaluation.session_panel import SessionAccount, SessionPanel, session_panel

__all__ = [
    "Contestant",
    "InputWeight",
    "Interval",
    "LeaderboardRow",
    "RewardWeights",
    "SessionAccount",
    "SessionPanel",
    "Sessions",
    "Verdict",
    "estimate_reward_weights",
    "leaderboard",
    "leaderboard_columns",
    "mean_interval",
    "paired_difference",
    "quantile_interval",
    "ratio_interval",
    "roll_out",
    "session_panel",
]
