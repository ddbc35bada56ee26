"""Protocols between the layers: user model and policy."""

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:  # `randomness` imports numba, which serving a policy must not need.
    from mtf_rl.core.history import VisibleHistory
    from mtf_rl.core.randomness import EpisodeRng
    from mtf_rl.core.slates import Response, Slate

__all__ = ["GROUND_TRUTH", "SIMULATOR", "Policy", "UserModel"]

SIMULATOR = "simulator"
GROUND_TRUTH = "ground_truth"

StateT = TypeVar("StateT")


class UserModel(Protocol[StateT]):
    """Simulated users: feedback on a slate, end of the session, return to the app.

    Methods are batched and pure: arrays have the leading axis `num_envs`, and all randomness comes
    from the argument `rng`. The state is a frozen dataclass of such arrays (or None) that only the
    user model reads; policies observe the `VisibleHistory`. The result of a row must not depend on
    the other rows.
    """

    evaluator: str
    """Name in the leaderboard: `simulator` or `ground_truth`."""

    hour_fractions: FloatArray
    """(24,), fraction of sessions that start in each hour of the day."""

    def start(self, users: IntArray, rng: "EpisodeRng") -> StateT:
        """The initial state of `users` (num_envs,) when they open the app."""
        ...

    def resume(self, state: StateT, away_seconds: FloatArray) -> StateT:
        """The state when users return `away_seconds` (num_envs,) after their last session."""
        ...

    def respond(
        self, state: StateT, slate: "Slate", history: "VisibleHistory", rng: "EpisodeRng"
    ) -> "tuple[Response, StateT]":
        """The users' feedback on every shown video; `history` excludes this slate."""
        ...

    def leave(self, state: StateT, history: "VisibleHistory", rng: "EpisodeRng") -> BoolArray:
        """Whether each user leaves the session, (num_envs,); `history` includes the last slate."""
        ...

    def pause_seconds(
        self, state: StateT, history: "VisibleHistory", rng: "EpisodeRng"
    ) -> FloatArray:
        """Seconds from this request to the next one if the user stays, (num_envs,), <= 1800.

        `history` does not include this pause yet; its `last_watch_seconds` is the play time of the
        last slate.
        """
        ...

    def return_days(self, state: StateT, history: "VisibleHistory", rng: "EpisodeRng") -> IntArray:
        """Days from the session to each user's next active day, (num_envs,), >= 1."""
        ...


class Policy(Protocol):
    """A policy with Stable-Baselines3's `predict`: observations to actions in [-1, 1]."""

    def predict(
        self,
        observation: NDArray[np.float32],
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,  # noqa: FBT001, FBT002  (SB3's signature)
    ) -> tuple[NDArray[np.float32], Any]:
        """Actions (num_envs, action_dim) for observations (num_envs, obs_dim)."""
        ...
