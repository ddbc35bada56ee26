"""Pairs of tasks of which the second only happens after the first.

A model that multiplies probabilities along a pair, or holds one below the other, is right only
where the pair is nested. So tasks declare it (`Task.within`), and it is measured on the training
rows.
"""

import logging
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mtf_rl.core.arrays import BoolArray, FloatArray
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.tasks import TaskSet

__all__ = ["Chain", "NestedPair", "nesting_violations", "warn_of_violations"]

logger = logging.getLogger(__name__)

# KuaiRand's long_view holds in 1.2 % of its rows without click.
TOLERATED_VIOLATIONS = 0.02


@dataclass(frozen=True)
class Chain:
    """Which nested pair of tasks a model goes along; the first of the log's tasks by default.

    A like or a follow needs no click: in KuaiRand's feeds a video plays without one. A valid play
    of 7 s, which is what `click` means there, does come before the 18 s of a long view.
    """

    parent: str = ""
    """The task that comes first; that of the first nested pair, where it is empty."""

    child: str = ""
    """The task that can only follow it; that of the first nested pair, where it is empty."""

    def among(self, tasks: TaskSet) -> "NestedPair":
        """The pair among a log's tasks.

        Raises:
            ConfigError: if the tasks do not declare it to be nested.
        """
        fitting = [
            pair
            for pair in tasks.chains
            if self.parent in ("", pair[0]) and self.child in ("", pair[1])
        ]
        if not fitting:
            known = ", ".join(f"{parent} -> {child}" for parent, child in tasks.chains)
            wanted = f"{self.parent or 'any task'} -> {self.child or 'any task'}"
            raise ConfigError(
                f"chain {wanted} is not declared: no task is `within` another so."
                f" Declared: {known or 'none'}. Declare `within` on a task, or take a scorer"
                " without a chain, such as mmoe."
            )
        return NestedPair(*fitting[0], tasks)


@dataclass(frozen=True)
class NestedPair:
    """Two tasks of a log, the second of which presupposes the first."""

    parent: str
    child: str
    tasks: TaskSet

    @cached_property
    def columns(self) -> tuple[int, int]:
        """Positions of parent and child on the axis `tasks`."""
        return self.tasks.index(self.parent), self.tasks.index(self.child)


def nesting_violations(targets: FloatArray, mask: BoolArray, chain: NestedPair) -> float:
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


def warn_of_violations(targets: FloatArray, mask: BoolArray, chain: NestedPair) -> None:
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
