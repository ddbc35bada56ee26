"""Evaluation of policies: rollouts, confidence intervals, fitted Q evaluation, reward weights.

Fitted Q evaluation with a neural network is in `mtf_rl.evaluation.fitted_q`; it imports torch.
"""

from typing import TYPE_CHECKING

from mtf_rl.core.lazy import lazy_names

if TYPE_CHECKING:
    from mtf_rl.evaluation.intervals import (
        Interval,
        change_interval,
        linearised_interval,
        mean_interval,
        quantile_interval,
        rate_change_interval,
        rate_difference_interval,
        rate_interval,
        ratio_interval,
    )
    from mtf_rl.evaluation.leaderboard_rows import (
        LeaderboardRow,
        PolicySessions,
        difference_cells,
        leaderboard,
        leaderboard_columns,
        limits,
        metric_cells,
    )
    from mtf_rl.evaluation.least_squares import (
        LeastSquaresConfig,
        LeastSquaresQ,
        StaticPolicies,
        StaticPolicyValues,
        least_squares_q,
        static_policies,
    )
    from mtf_rl.evaluation.metrics import (
        Metrics,
        metric_changes,
        metric_differences,
        metrics_of,
        paired_difference,
    )
    from mtf_rl.evaluation.panel import SessionPanel, SessionSummary, session_panel
    from mtf_rl.evaluation.reward_weights import (
        InputWeight,
        RewardWeights,
        Verdict,
        estimate_reward_weights,
    )
    from mtf_rl.evaluation.rollouts import Sessions, roll_out, roll_out_each
    from mtf_rl.evaluation.session_ends import end_at_cut

__all__ = [
    "InputWeight",
    "Interval",
    "LeaderboardRow",
    "LeastSquaresConfig",
    "LeastSquaresQ",
    "Metrics",
    "PolicySessions",
    "RewardWeights",
    "SessionPanel",
    "SessionSummary",
    "Sessions",
    "StaticPolicies",
    "StaticPolicyValues",
    "Verdict",
    "change_interval",
    "difference_cells",
    "end_at_cut",
    "estimate_reward_weights",
    "leaderboard",
    "leaderboard_columns",
    "least_squares_q",
    "limits",
    "linearised_interval",
    "mean_interval",
    "metric_cells",
    "metric_changes",
    "metric_differences",
    "metrics_of",
    "paired_difference",
    "quantile_interval",
    "rate_change_interval",
    "rate_difference_interval",
    "rate_interval",
    "ratio_interval",
    "roll_out",
    "roll_out_each",
    "session_panel",
    "static_policies",
]

__getattr__ = lazy_names(__name__, __file__)
