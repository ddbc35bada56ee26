"""Transitions: what a batch learner or a fitted Q function sees of a batch dataset."""

from dataclasses import InitVar, dataclass, fields, replace

import numpy as np

from mtf_rl.core.arrays import (
    BoolArray,
    FloatArray,
    IntArray,
    check_shape,
    refuse_rows,
)
from mtf_rl.core.errors import DataError
from mtf_rl.data.batch import BatchDataset

__all__ = ["Transitions"]


@dataclass(frozen=True)
class Transitions:
    """Rows of (s, a, r, s'), each with whether s' is the end of all reward.

    Only `terminated` stops the bootstrap: after a session that was cut, s' is where it was cut and
    its value counts, y = r + gamma (1 - terminated) Q(s', a').

    Raises:
        ShapeError: if arrays disagree.
        DataError: if there is no row, a value is not finite, or an action lies outside [-1, 1];
            naming the first such row.
    """

    observations: FloatArray  # (rows, obs_dim) float32
    actions: FloatArray  # (rows, action_dim) float32 in [-1, 1]
    rewards: FloatArray  # (rows,) float32
    next_observations: FloatArray  # (rows, obs_dim) float32; not read where terminated
    terminated: BoolArray  # (rows,)
    sessions: IntArray  # (rows,)
    requests: IntArray  # (rows,), from 0 in each session
    is_checked: InitVar[bool] = False
    """Whether the arrays are those of a container that has checked them."""

    def __post_init__(self, is_checked: bool) -> None:
        if len(self.rewards) == 0:
            raise DataError("transitions need at least one row, got none")
        if not is_checked:
            self._check_arrays()

    def _check_arrays(self) -> None:
        rows = len(self.rewards)
        width = self.observations.shape[-1]
        check_shape("observations", self.observations, "rows, obs_dim", (rows, width))
        check_shape("next_observations", self.next_observations, "rows, obs_dim", (rows, width))
        check_shape("actions", self.actions, "rows, action_dim", (rows, self.actions.shape[-1]))
        for name in ("rewards", "terminated", "sessions", "requests"):
            check_shape(name, getattr(self, name), "rows", (rows,))
        for name in ("observations", "actions", "rewards", "next_observations"):
            refuse_rows(~np.isfinite(getattr(self, name)), f"{name} must be finite")
        refuse_rows(np.abs(self.actions) > 1.0, "actions must be in [-1, 1]")

    @classmethod
    def of(cls, batch: BatchDataset) -> "Transitions":
        """All requests of a batch dataset, which has checked them."""
        return cls(
            observations=batch.observations,
            actions=batch.actions,
            rewards=batch.rewards,
            next_observations=batch.next_observations,
            terminated=batch.terminated,
            sessions=batch.sessions,
            requests=batch.requests,
            is_checked=True,
        )

    def __len__(self) -> int:
        return len(self.rewards)

    @property
    def obs_dim(self) -> int:
        """Numbers in an observation."""
        return int(self.observations.shape[1])

    @property
    def action_dim(self) -> int:
        """Numbers in an action."""
        return int(self.actions.shape[1])

    @property
    def first_observations(self) -> FloatArray:
        """The observation that each session starts with, (sessions, obs_dim)."""
        first: FloatArray = self.observations[self.requests == 0]
        return first

    def rows(self, kept: BoolArray | IntArray) -> "Transitions":
        """Some of the rows."""
        chosen = np.asarray(kept)
        arrays = {entry.name: getattr(self, entry.name)[chosen] for entry in fields(self)}
        return replace(self, **arrays, is_checked=True)

    def split(
        self, fraction: float, generator: np.random.Generator
    ) -> tuple["Transitions", "Transitions"]:
        """The other sessions, and `fraction` of the sessions held out; sessions stay whole.

        Raises:
            DataError: if there are too few sessions for one on each side.
        """
        sessions = np.unique(self.sessions)
        count = max(1, round(fraction * len(sessions)))
        if count >= len(sessions):
            raise DataError(
                f"holding out {fraction:.0%} needs at least 2 sessions, got {len(sessions)}"
            )
        held_out = np.isin(self.sessions, generator.choice(sessions, count, replace=False))
        return self.rows(~held_out), self.rows(held_out)
