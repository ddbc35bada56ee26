"""The joints of the project: what a user model and a policy must offer."""

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:  # A policy is served without numba, which random numbers are compiled with.
    from mtf_rl.core.history import VisibleHistory
    from mtf_rl.core.randomness import EpisodeRng
    from mtf_rl.core.slates import Response, Slate

__all__ = ["GROUND_TRUTH", "SIMULATOR", "Policy", "UserModel"]

SIMULATOR = "simulator"
GROUND_TRUTH = "ground_truth"

StateT = TypeVar("StateT")


class UserModel(Protocol[StateT]):
    """Who answers a slate, leaves the session, and returns after some days.

    A user model is batched and pure: every method takes and returns arrays whose leading axis is
    `num_envs`, and all chance comes from the `rng` that it is given. Its state is a frozen
    dataclass of such arrays (or None), opaque to everyone else: what a policy may see is the
    `VisibleHistory`. The same row must give the same result whatever the other rows are.
    """

    evaluator: str
    """Who answers, as the leaderboard names it: `simulator` or `ground_truth`."""

    hour_fractions: FloatArray
    """(24,), the fraction of sessions that start in each hour of the day."""

    def start(self, users: IntArray, rng: "EpisodeRng") -> StateT:
        """The state of `users` (num_envs,) as they open the app."""
        ...

    def resume(self, state: StateT, away_seconds: FloatArray) -> StateT:
        """The state of users who open the app again `away_seconds` (num_envs,) after a session."""
        ...

    def respond(
        self, state: StateT, slate: "Slate", history: "VisibleHistory", rng: "EpisodeRng"
    ) -> "tuple[Response, StateT]":
        """What the users do with every shown video; `history` is what came before this slate."""
        ...

    def leave(self, state: StateT, history: "VisibleHistory", rng: "EpisodeRng") -> BoolArray:
        """Who leaves the session now, (num_envs,); `history` includes the slate just answered."""
        ...

    def pause_seconds(
        self, state: StateT, history: "VisibleHistory", rng: "EpisodeRng"
    ) -> FloatArray:
        """Seconds from this request to the next one of those who stay, (num_envs,), <= 1800.

        `history` is the one before the gap is added: its `last_watch_seconds` is the time that
        the last slate was played.
        """
        ...

    def return_days(self, state: StateT, history: "VisibleHistory", rng: "EpisodeRng") -> IntArray:
        """Days until each user's next active day after the session, (num_envs,), >= 1."""
        ...


class Policy(Protocol):
    """Observation in, action in [-1, 1] out: Stable-Baselines3's `predict`."""

    def predict(
        self,
        observation: NDArray[np.float32],
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,  # noqa: FBT001, FBT002  (SB3's signature)
    ) -> tuple[NDArray[np.float32], Any]:
        """Actions (num_envs, action_dim) for observations (num_envs, obs_dim)."""
        ...
