"""Pairs of tasks of which the second only happens after the first.

A model that multiplies probabilities along a pair, or holds one below the other, is right only
where the pair is nested. So a pair must be declared here, and is measured on the training rows.
"""

import logging
from dataclasses import dataclass

import numpy as np

from mtf_rl.core.arrays import BoolArray, FloatArray
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.tasks import TASK_NAMES

__all__ = ["CHAINS", "Chain", "nesting_violations", "warn_of_violations"]

logger = logging.getLogger(__name__)

# KuaiRand's long_view holds in 1.2 % of its rows without click.
TOLERATED_VIOLATIONS = 0.02


@dataclass(frozen=True)
class Chain:
    """Two tasks, the second of which presupposes the first.

    Raises:
        ConfigError: if the pair is not declared to be nested.
    """

    parent: str = "click"
    """The task that comes first."""

    child: str = "long_view"
    """The task that can only follow it."""

    def __post_init__(self) -> None:
        if (self.parent, self.child) not in DECLARED:
            known = ", ".join(f"{parent} -> {child}" for parent, child in DECLARED)
            raise ConfigError(
                f"chain {self.parent} -> {self.child} is not declared: {self.child} is observed"
                f" without {self.parent}. Declared: {known}."
            )

    @property
    def columns(self) -> tuple[int, int]:
        """Places of parent and child among the tasks."""
        return TASK_NAMES.index(self.parent), TASK_NAMES.index(self.child)


# A like or a follow needs no click: in KuaiRand's feeds a video plays without one. A valid play of
# 7 s, which is what `click` means there, does come before the 18 s of a long view.
DECLARED = (("click", "long_view"),)
CHAINS = tuple(Chain(parent, child) for parent, child in DECLARED)


def nesting_violations(targets: FloatArray, mask: BoolArray, chain: Chain) -> float:
    """Fraction of rows without the parent that have the child, in [0, 1]; NaN without such rows.

    Args:
        targets: (rows, tasks) 0/1 or shares.
        mask: (rows, tasks), True where the row is in the task's sample space.
        chain: the pair.
    """
    parent, child = chain.columns
    outside = mask[:, parent] & mask[:, child] & (targets[:, parent] < 0.5)
    if not outside.any():
        return np.nan
    return float((targets[outside, child] >= 0.5).mean())


def warn_of_violations(targets: FloatArray, mask: BoolArray, chain: Chain) -> None:
    """Log a warning where the rows break the chain too often; arguments as above."""
    fraction = nesting_violations(targets, mask, chain)
    if fraction > TOLERATED_VIOLATIONS:
        logger.warning(
            "%.1f %% of the training rows without %s have %s, so their chain is biased;"
            " above %.0f %% choose a model without it",
            100 * fraction,
            chain.parent,
            chain.child,
            100 * TOLERATED_VIOLATIONS,
        )
