"""Episodes played to their ends, request by request."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.envs.dynamics import FusionDynamics, Outcome

__all__ = ["ServedRequests", "play_episodes"]

StateT = TypeVar("StateT")


@dataclass(frozen=True)
class ServedRequests(Generic[StateT]):
    """One request of every episode that is under way."""

    rows: IntArray  # (num_envs,) positions of these episodes among those that are played
    state: StateT  # before the request
    outcome: Outcome
    following: StateT  # after the request, with the episodes that it ended


def play_episodes(
    dynamics: FusionDynamics[StateT],
    choose: Callable[[StateT, IntArray], FloatArray],
    *,
    seed: int,
    episodes: IntArray,
) -> Iterator[ServedRequests[StateT]]:
    """Play every episode to its end, side by side; yield each request as it is served.

    Args:
        dynamics: whose episodes.
        choose: makes fusion parameters, (num_envs, action_dim), from the state and the `rows` of
            the episodes under way.
        seed: of the random numbers.
        episodes: episode numbers, (episodes,).
    """
    state = dynamics.start(seed, np.asarray(episodes, dtype=np.int64))
    rows = np.arange(len(episodes))
    while len(rows):
        following, outcome = dynamics.advance(state, choose(state, rows), seed)
        yield ServedRequests(rows, state, outcome, following)
        going = np.flatnonzero(~(outcome.terminated | outcome.truncated))
        state, rows = dynamics.select(following, going), rows[going]
