"""Transitions (s, a, r, s') of a batch dataset, for batch learners and fitted Q evaluation."""

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
    """Rows of (s, a, r, s', terminated).

    Only `terminated` stops the bootstrap: y = r + gamma (1 - terminated) Q(s', a'). At the end of a
    truncated session, s' is the final observation, and its value counts.

    Raises:
        ShapeError: if the shapes of arrays disagree.
        DataError: if there is no row, a value is not finite, or an action is outside [-1, 1]; the
            message has the first invalid row.
    """

    observations: FloatArray  # (rows, obs_dim) float32
    actions: FloatArray  # (rows, action_dim) float32 in [-1, 1]
    rewards: FloatArray  # (rows,) float32
    next_observations: FloatArray  # (rows, obs_dim) float32; not read where terminated
    terminated: BoolArray  # (rows,)
    sessions: IntArray  # (rows,)
    requests: IntArray  # (rows,), from 0 in each session
    is_checked: InitVar[bool] = False
    """True if the arrays were checked by another container."""

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
        """All requests of a batch dataset, without checking them again."""
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
        """Number of features in an observation."""
        return int(self.observations.shape[1])

    @property
    def action_dim(self) -> int:
        """Number of components of an action."""
        return int(self.actions.shape[1])

    @property
    def first_observations(self) -> FloatArray:
        """The first observation of each session, (sessions, obs_dim)."""
        first: FloatArray = self.observations[self.requests == 0]
        return first

    def rows(self, kept: BoolArray | IntArray) -> "Transitions":
        """Select rows by a mask or an index array."""
        selection = np.asarray(kept)
        arrays = {entry.name: getattr(self, entry.name)[selection] for entry in fields(self)}
        return replace(self, **arrays, is_checked=True)

    def split(
        self, fraction: float, generator: np.random.Generator
    ) -> tuple["Transitions", "Transitions"]:
        """Hold out a random `fraction` of the sessions; returns (remaining, held out).

        Raises:
            DataError: if either part would have no session.
        """
        sessions = np.unique(self.sessions)
        count = max(1, round(fraction * len(sessions)))
        if count >= len(sessions):
            raise DataError(
                f"holding out {fraction:.0%} of {len(sessions)} session(s) leaves no other session."
                " Use more sessions or a smaller fraction."
            )
        held_out = np.isin(self.sessions, generator.choice(sessions, count, replace=False))
        return self.rows(~held_out), self.rows(held_out)
