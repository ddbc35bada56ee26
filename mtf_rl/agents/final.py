"""The final between a few policies: which earns most in fresh sessions of tuning users."""

from collections.abc import Callable, Sequence

import numpy as np

from mtf_rl.agents.learning import LearningTask
from mtf_rl.core.errors import DataError
from mtf_rl.core.protocols import Policy
from mtf_rl.envs import BudgetExceededError
from mtf_rl.evaluation import Sessions, roll_out_each

__all__ = ["CAUTION", "mean_reward", "select_finalist"]

CAUTION = 1.25  # A block of sessions may last longer than those before it.
_FRESH_LUCK = 500_009  # added to a task's seed


def mean_reward(sessions: Sessions) -> float:
    """What a session is worth."""
    return float(sessions.reward.mean())


def select_finalist(
    task: LearningTask,
    policies: Sequence[Policy],
    *,
    block: int,
    worth: Callable[[Sessions], float] = mean_reward,
) -> int:
    """Place of the policy with the largest sum of worths, over as many blocks as the budget pays.

    All play the same sessions, with draws that no learning has met, since the best of many noisy
    values is partly the luckiest. Of equals the first; the first too if no block is paid for, so
    that the most promising should come first.

    Args:
        task: whose tuning users, and whose budget is used up.
        policies: at least one.
        block: sessions that each plays at a time, at least 1.
        worth: of a block.

    Raises:
        DataError: if a reward is not finite.
    """
    sums = np.zeros(len(policies))
    played, cost = 0, 0.0
    while task.budget.left > CAUTION * cost:
        used_before = task.budget.used
        try:
            found = roll_out_each(
                task.tuning,
                policies,
                seed=task.seed + _FRESH_LUCK,
                episodes=np.arange(played, played + block),
                budget=task.budget,
            )
        except BudgetExceededError:
            break  # A block that not all of them have played says nothing.
        worths = np.array([worth(sessions) for sessions in found])
        if not np.isfinite(worths).all():
            raise DataError(
                f"the mean session reward must be finite, got {worths}; look at the reward function"
                " and the user model"
            )
        sums += worths
        played += block
        cost = max(cost, task.budget.used - used_before)
    return int(np.argmax(sums))
