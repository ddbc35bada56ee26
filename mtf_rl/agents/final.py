"""Select the best of a few policies on fresh sessions of tuning users."""

from collections.abc import Callable, Sequence

import numpy as np

from mtf_rl.agents.learning import LearningTask
from mtf_rl.core.errors import DataError
from mtf_rl.core.protocols import Policy
from mtf_rl.envs import BudgetExceededError
from mtf_rl.evaluation import Sessions, roll_out_each

__all__ = ["CAUTION", "mean_reward", "select_finalist"]

CAUTION = 1.25  # A block of sessions may last longer than those before it.
_SEED_OFFSET = 500_009  # added to a task's seed, for random numbers not used in learning


def mean_reward(sessions: Sessions) -> float:
    """Mean reward of a session."""
    return float(sessions.reward.mean())


def select_finalist(
    task: LearningTask,
    policies: Sequence[Policy],
    *,
    block: int,
    worth: Callable[[Sessions], float] = mean_reward,
) -> int:
    """Index of the policy with the largest sum of `worth` over all blocks that the budget pays for.

    All policies serve the same sessions, with random numbers not used in learning: the maximum of
    many noisy values overfits their noise. Of tied policies the first is selected, and also if the
    budget pays for no block; put the most promising policy first.

    Args:
        task: provides the tuning users and the budget, which is used up.
        policies: candidates, at least one.
        block: sessions that each policy serves per block, at least 1.
        worth: value of a block of sessions, larger is better.

    Raises:
        DataError: if a reward is not finite.
    """
    sums = np.zeros(len(policies))
    played, cost = 0, 0.0
    while task.budget.left > CAUTION * cost:
        used_before = task.budget.used
        try:
            block_sessions = roll_out_each(
                task.tuning,
                policies,
                seed=task.seed + _SEED_OFFSET,
                episodes=np.arange(played, played + block),
                budget=task.budget,
            )
        except BudgetExceededError:
            break  # An incomplete block would compare different sessions.
        worths = np.array([worth(sessions) for sessions in block_sessions])
        if not np.isfinite(worths).all():
            raise DataError(
                f"the mean session reward must be finite, got {worths}; check the reward function"
                " and the user model"
            )
        sums += worths
        played += block
        cost = max(cost, task.budget.used - used_before)
    return int(np.argmax(sums))
