"""Nested pairs of tasks: the child task happens only if the parent task does.

A model that multiplies probabilities along a pair, or keeps one below the other, is correct only if
the pair is nested. Tasks declare nesting (`Task.within`), and the training rows are checked for
violations.
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

# In KuaiRand, 1.2 % of the rows without click have long_view.
TOLERATED_VIOLATIONS = 0.02


@dataclass(frozen=True)
class Chain:
    """The nested pair of tasks that a model uses; by default the log's first declared pair.

    In KuaiRand, a like or a follow does not need a click, since videos play without one. `click`
    means a valid play of 7 s there, so it does precede the 18 s of a long view.
    """

    parent: str = ""
    """Parent task; empty means that of the first matching nested pair."""

    child: str = ""
    """Child task, which needs the parent; empty means that of the first matching nested pair."""

    def among(self, tasks: TaskSet) -> "NestedPair":
        """The matching nested pair among a log's tasks.

        Raises:
            ConfigError: if the tasks do not declare such a pair.
        """
        fitting = [
            pair
            for pair in tasks.chains
            if self.parent in ("", pair[0]) and self.child in ("", pair[1])
        ]
        if not fitting:
            declared = ", ".join(f"{parent} -> {child}" for parent, child in tasks.chains)
            wanted = f"{self.parent or 'any task'} -> {self.child or 'any task'}"
            raise ConfigError(
                f"chain {wanted} is not declared by the tasks."
                f" Declared: {declared or 'none'}. Declare `within` on a task, or use a scorer"
                " without a chain, such as mmoe."
            )
        return NestedPair(*fitting[0], tasks)


@dataclass(frozen=True)
class NestedPair:
    """Two tasks of a log: `child` happens only if `parent` does."""

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
        targets: (rows, tasks) labels in [0, 1].
        mask: (rows, tasks), True where the row is in the task's sample space.
        chain: the nested pair.
    """
    parent, child = chain.columns
    outside = mask[:, parent] & mask[:, child] & (targets[:, parent] < 0.5)
    if not outside.any():
        return np.nan
    return float((targets[outside, child] >= 0.5).mean())


def warn_of_violations(targets: FloatArray, mask: BoolArray, chain: NestedPair) -> None:
    """Log a warning if more than 2 % of rows violate the nesting; see `nesting_violations`."""
    fraction = nesting_violations(targets, mask, chain)
    if fraction > TOLERATED_VIOLATIONS:
        logger.warning(
            "%.1f %% of the training rows without %s have %s, which biases a model of this pair."
            " Above %.0f %%, use a scorer without a chain, such as mmoe.",
            100 * fraction,
            chain.parent,
            chain.child,
            100 * TOLERATED_VIOLATIONS,
        )
