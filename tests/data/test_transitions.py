"""Transitions: what follows what, where the bootstrap stops, and whole sessions held out."""

import re
from dataclasses import replace

import numpy as np
import pytest

from mtf_rl.core.errors import DataError, ShapeError
from mtf_rl.data import BatchDataset, Transitions
from mtf_rl.evaluation import end_at_cut


def batch() -> BatchDataset:
    """Session 4 ends by leaving after two requests, session 9 is cut after one."""
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


def test_a_cut_session_bootstraps_and_a_left_one_does_not() -> None:
    transitions = Transitions.of(batch())
    np.testing.assert_array_equal(transitions.next_observations, [[3, 4], [0, 0], [7, 8]])
    np.testing.assert_array_equal(transitions.terminated, [False, True, False])
    np.testing.assert_array_equal(transitions.first_observations, [[1, 2], [5, 6]])
    assert (len(transitions), transitions.obs_dim, transitions.action_dim) == (3, 2, 1)


def test_split_keeps_sessions_whole_and_loses_none() -> None:
    kept, held_out = Transitions.of(batch()).split(0.3, np.random.default_rng(0))
    assert set(kept.sessions) | set(held_out.sessions) == {4, 9}
    assert not set(kept.sessions) & set(held_out.sessions)
    assert len(kept) + len(held_out) == 3


def test_one_session_cannot_be_split() -> None:
    only = Transitions.of(batch()).rows(np.array([0, 1]))
    with pytest.raises(DataError, match=re.escape("needs at least 2 sessions, got 1")):
        only.split(0.5, np.random.default_rng(0))


def test_a_batch_dataset_is_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of a checked batch are taken as they are; made by hand they are checked."""
    looks: list[int] = []
    monkeypatch.setattr(Transitions, "_check_arrays", lambda self: looks.append(len(self)))
    rows = Transitions.of(batch())
    rows.rows(np.array([2, 0]))
    rows.split(0.5, np.random.default_rng(0))
    end_at_cut(rows)
    assert looks == []
    replace(rows, rewards=rows.rewards + 1.0)
    assert looks == [3]
    with pytest.raises(DataError, match="at least one row, got none"):
        rows.rows(np.zeros(3, dtype=np.bool_))


def test_bad_values_name_their_row() -> None:
    good = Transitions.of(batch())
    with pytest.raises(DataError, match=re.escape("rewards must be finite; row 1 breaks this")):
        replace(good, rewards=np.array([0.0, np.nan, 0.0], dtype=np.float32))
    with pytest.raises(DataError, match=re.escape("actions must be in [-1, 1]; row 2")):
        replace(good, actions=np.array([[0.0], [0.0], [1.5]], dtype=np.float32))
    with pytest.raises(ShapeError, match=re.escape("actions must have shape")):
        replace(good, actions=np.zeros((2, 1), dtype=np.float32))
    with pytest.raises(DataError, match="at least one row"):
        good.rows(np.zeros(0, dtype=np.int64))
