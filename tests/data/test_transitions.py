"""Transitions: next observations, end of bootstrapping, splits by session, error messages."""

import re
from dataclasses import replace

import numpy as np
import pytest

from mtf_rl.core.errors import DataError, ShapeError
from mtf_rl.data import BatchDataset, Transitions
from mtf_rl.evaluation import end_at_cut


def batch() -> BatchDataset:
    """Session 4 ends by leaving after two requests, session 9 is truncated after one."""
    return BatchDataset(
        observations=np.array([[1, 2], [3, 4], [5, 6]], dtype=np.float32),
        actions=np.array([[0.5], [-1.0], [0.25]], dtype=np.float32),
        log_densities=np.zeros(3),
        behaviours=np.zeros(3, dtype=np.int64),
        rewards=np.array([1.0, 0.0, 2.5], dtype=np.float32),
        terminated=np.array([False, True, False]),
        truncated=np.array([False, False, True]),
        sessions=np.array([4, 4, 9]),
        requests=np.array([0, 1, 0], dtype=np.int32),
        final_observations=np.array([[7, 8]], dtype=np.float32),
        behaviour_names=("uniform_random",),
        observation_names=("a", "b"),
        parameter_names=("click",),
        evaluator="simulator",
    )


def test_truncated_sessions_bootstrap_and_terminated_sessions_do_not() -> None:
    transitions = Transitions.of(batch())
    np.testing.assert_array_equal(transitions.next_observations, [[3, 4], [0, 0], [7, 8]])
    np.testing.assert_array_equal(transitions.terminated, [False, True, False])
    np.testing.assert_array_equal(transitions.first_observations, [[1, 2], [5, 6]])
    assert (len(transitions), transitions.obs_dim, transitions.action_dim) == (3, 2, 1)


def test_split_keeps_every_session_in_one_part() -> None:
    remaining, held_out = Transitions.of(batch()).split(0.3, np.random.default_rng(0))
    assert set(remaining.sessions) | set(held_out.sessions) == {4, 9}
    assert not set(remaining.sessions) & set(held_out.sessions)
    assert len(remaining) + len(held_out) == 3


def test_a_single_session_cannot_be_split() -> None:
    one_session = Transitions.of(batch()).rows(np.array([0, 1]))
    with pytest.raises(DataError, match=re.escape("of 1 session(s) leaves no other session")):
        one_session.split(0.5, np.random.default_rng(0))


def test_a_batch_dataset_is_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of a checked batch are not checked again; rows made by hand are."""
    checks: list[int] = []
    monkeypatch.setattr(Transitions, "_check_arrays", lambda self: checks.append(len(self)))
    rows = Transitions.of(batch())
    rows.rows(np.array([2, 0]))
    rows.split(0.5, np.random.default_rng(0))
    end_at_cut(rows)
    assert checks == []
    replace(rows, rewards=rows.rewards + 1.0)
    assert checks == [3]
    with pytest.raises(DataError, match="at least one row, got none"):
        rows.rows(np.zeros(3, dtype=np.bool_))


def test_the_error_of_an_invalid_value_has_its_row() -> None:
    valid = Transitions.of(batch())
    with pytest.raises(DataError, match=re.escape("rewards must be finite; row 1 breaks this")):
        replace(valid, rewards=np.array([0.0, np.nan, 0.0], dtype=np.float32))
    with pytest.raises(DataError, match=re.escape("actions must be in [-1, 1]; row 2")):
        replace(valid, actions=np.array([[0.0], [0.0], [1.5]], dtype=np.float32))
    with pytest.raises(ShapeError, match=re.escape("actions must have shape")):
        replace(valid, actions=np.zeros((2, 1), dtype=np.float32))
    with pytest.raises(DataError, match="at least one row"):
        valid.rows(np.zeros(0, dtype=np.int64))
