"""Mean fusion weights along a session, by kind of user."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.protocols import Policy
from mtf_rl.envs import FusionDynamics

__all__ = ["WeightsAlong", "terciles", "weights_along"]


@dataclass(frozen=True)
class WeightsAlong:
    """What a policy played at the first, second, ... request of its sessions."""

    means: FloatArray  # (kinds, requests, action_dim), NaN where no session got that far
    counts: IntArray  # (kinds, requests) sessions that had this request


def terciles(values: FloatArray) -> IntArray:
    """0, 1 or 2 for the lower, middle and upper third of (rows,); equals stay together."""
    cuts = np.quantile(values, (1.0 / 3.0, 2.0 / 3.0))
    return np.searchsorted(cuts, values, side="right").astype(np.int64)


def weights_along(
    dynamics: FusionDynamics[Any],
    policy: Policy,
    kinds: IntArray,
    *,
    seed: int,
    episodes: IntArray,
) -> WeightsAlong:
    """Play `policy`, deterministically, to the end of each episode; average what it chose.

    Later requests are of the longer sessions alone.

    Args:
        dynamics: whose sessions.
        policy: who chooses the weights.
        kinds: of each user, (users,), counted from 0.
        seed: of the random numbers.
        episodes: distinct episode numbers, (sessions,).
    """
    sessions = dynamics.sessions
    width = int(kinds.max()) + 1
    state = dynamics.start(seed, np.asarray(episodes, dtype=np.int64))
    mine = kinds[dynamics.session(state).users]  # (num_envs,) of the sessions under way
    sums: list[FloatArray] = []
    counts: list[IntArray] = []
    while len(mine):
        action = policy.predict(dynamics.observe(state), deterministic=True)[0]
        state, outcome = dynamics.advance(state, sessions.action_map.to_parameters(action), seed)
        total = np.zeros((width, sessions.action_dim))
        np.add.at(total, mine, outcome.parameters)
        sums.append(total)
        counts.append(np.bincount(mine, minlength=width))
        going = np.flatnonzero(~(outcome.terminated | outcome.truncated))
        state, mine = dynamics.select(state, going), mine[going]
    number = np.stack(counts, axis=1)  # (kinds, requests)
    summed = np.stack(sums, axis=1)  # (kinds, requests, action_dim)
    means = np.full_like(summed, np.nan)
    np.divide(summed, number[:, :, None], out=means, where=number[:, :, None] > 0)
    return WeightsAlong(means, number)
