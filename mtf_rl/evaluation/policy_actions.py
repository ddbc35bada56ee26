"""Validated actions of a deterministic policy."""

import numpy as np

from mtf_rl.core.arrays import BoolArray, FloatArray, check_shape, refuse_rows
from mtf_rl.core.protocols import Policy
from mtf_rl.data.transitions import Transitions

__all__ = ["next_actions", "policy_actions"]

_ROWS_AT_ONCE = 16_384


def policy_actions(policy: Policy, observations: FloatArray, *, action_dim: int) -> FloatArray:
    """The policy's deterministic actions, (rows, action_dim) float32 in [-1, 1].

    Args:
        policy: called with `deterministic=True`, so a stochastic policy returns its mode.
        observations: (rows, obs_dim).
        action_dim: number of entries of an action.

    Raises:
        ShapeError: if the policy returns another shape.
        DataError: if an action is not finite or outside [-1, 1]; the message names the first such
            row.
    """
    actions = np.empty((len(observations), action_dim), dtype=np.float32)
    if len(actions) == 0:
        return actions
    for start in range(0, len(observations), _ROWS_AT_ONCE):
        chunk = np.asarray(observations[start : start + _ROWS_AT_ONCE], dtype=np.float32)
        predicted = np.asarray(policy.predict(chunk, deterministic=True)[0])
        shape = (len(chunk), action_dim)
        check_shape("the policy's actions", predicted, "rows, action_dim", shape)
        actions[start : start + len(chunk)] = predicted
    refuse_rows(~np.isfinite(actions), "the policy's actions must be finite")
    refuse_rows(np.abs(actions) > 1.0, "the policy's actions must be in [-1, 1]")
    return actions


def next_actions(policy: Policy, transitions: Transitions) -> FloatArray:
    """The policy's actions at the next observations, (rows, action_dim); 0 if terminated.

    Next observations of terminated rows are undefined, so the policy is not called on them.
    """
    alive: BoolArray = ~transitions.terminated
    actions = np.zeros_like(transitions.actions, dtype=np.float32)
    actions[alive] = policy_actions(
        policy,
        transitions.next_observations[alive],
        action_dim=transitions.action_dim,
    )
    return actions
