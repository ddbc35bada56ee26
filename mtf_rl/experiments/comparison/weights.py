"""Computes mean fusion weights along a session, by kind of user."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.protocols import Policy
from mtf_rl.envs import FusionDynamics, play_episodes

__all__ = ["WeightsAlong", "terciles", "weights_along"]


@dataclass(frozen=True)
class WeightsAlong:
    """Mean weights of a policy at the first, second, ... request of sessions."""

    means: FloatArray  # (kinds, requests, action_dim), NaN where no session reached the request
    counts: IntArray  # (kinds, requests), sessions that reached the request


def terciles(values: FloatArray) -> IntArray:
    """Third of each value, (rows,): 0 lower, 1 middle, 2 upper; equal values are not split."""
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
    """Roll out a deterministic policy, and average its weights by request and kind of user.

    Only longer sessions reach the later requests.

    Args:
        dynamics: dynamics of the sessions.
        policy: the policy.
        kinds: kind of each user, (users,), counted from 0.
        seed: seed of the sessions.
        episodes: distinct episode numbers, (sessions,).
    """
    sessions = dynamics.sessions
    width = int(kinds.max()) + 1

    def choose(state: Any, rows: IntArray) -> FloatArray:
        action = policy.predict(dynamics.observe(state), deterministic=True)[0]
        return sessions.action_map.to_parameters(action)

    sums: list[FloatArray] = []
    counts: list[IntArray] = []
    for request in play_episodes(dynamics, choose, seed=seed, episodes=episodes):
        rows = kinds[dynamics.session(request.state).users]  # (num_envs,)
        total = np.zeros((width, sessions.action_dim))
        np.add.at(total, rows, request.outcome.parameters)
        sums.append(total)
        counts.append(np.bincount(rows, minlength=width))
    number = np.stack(counts, axis=1)  # (kinds, requests)
    summed = np.stack(sums, axis=1)  # (kinds, requests, action_dim)
    means = np.full_like(summed, np.nan)
    np.divide(summed, number[:, :, None], out=means, where=number[:, :, None] > 0)
    return WeightsAlong(means, number)
