"""The actions of a deterministic policy, checked once."""

import numpy as np

from mtf_rl.core.arrays import BoolArray, FloatArray, check_shape, refuse_rows
from mtf_rl.core.protocols import Policy
from mtf_rl.data.transitions import Transitions

__all__ = ["next_actions", "policy_actions"]

_ROWS_AT_ONCE = 16_384


def policy_actions(policy: Policy, observations: FloatArray, *, action_dim: int) -> FloatArray:
    """What a policy does deterministically, (rows, action_dim) float32 in [-1, 1].

    Args:
        policy: is asked with `deterministic=True`, so a stochastic one is taken at its mode.
        observations: (rows, obs_dim).
        action_dim: the width of an action.

    Raises:
        ShapeError: if the policy answers in another shape.
        DataError: if an action is not finite or outside [-1, 1]; naming the first such row.
    """
    actions = np.empty((len(observations), action_dim), dtype=np.float32)
    if len(actions) == 0:
        return actions
    for start in range(0, len(observations), _ROWS_AT_ONCE):
        seen = np.asarray(observations[start : start + _ROWS_AT_ONCE], dtype=np.float32)
        answer = np.asarray(policy.predict(seen, deterministic=True)[0])
        check_shape("the policy's actions", answer, "rows, action_dim", (len(seen), action_dim))
        actions[start : start + len(seen)] = answer
    refuse_rows(~np.isfinite(actions), "the policy's actions must be finite")
    refuse_rows(np.abs(actions) > 1.0, "the policy's actions must be in [-1, 1]")
    return actions


def next_actions(policy: Policy, transitions: Transitions) -> FloatArray:
    """What a policy does at the next observations, (rows, action_dim); 0 after the end.

    Next observations of terminated rows mean nothing, so the policy does not see them.
    """
    alive: BoolArray = ~transitions.terminated
    actions = np.zeros_like(transitions.actions, dtype=np.float32)
    actions[alive] = policy_actions(
        policy,
        transitions.next_observations[alive],
        action_dim=transitions.action_dim,
    )
    return actions
