"""Simulation of complete episodes, request by request."""

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
    """One request of every episode in progress."""

    rows: IntArray  # (num_envs,) indices of these episodes in the argument `episodes`
    state: StateT  # before the request
    outcome: Outcome
    following: StateT  # after the request, including the episodes that ended


def play_episodes(
    dynamics: FusionDynamics[StateT],
    choose: Callable[[StateT, IntArray], FloatArray],
    *,
    seed: int,
    episodes: IntArray,
) -> Iterator[ServedRequests[StateT]]:
    """Simulate episodes in parallel until all have ended; yield each request.

    Args:
        dynamics: dynamics of the episodes.
        choose: function of the state and the `rows` of the episodes in progress that returns
            fusion parameters, (num_envs, action_dim).
        seed: seed of the random numbers.
        episodes: episode numbers, (episodes,).
    """
    state = dynamics.start(seed, np.asarray(episodes, dtype=np.int64))
    rows = np.arange(len(episodes))
    while len(rows):
        following, outcome = dynamics.advance(state, choose(state, rows), seed)
        yield ServedRequests(rows, state, outcome, following)
        active = np.flatnonzero(~(outcome.terminated | outcome.truncated))
        state, rows = dynamics.select(following, active), rows[active]
