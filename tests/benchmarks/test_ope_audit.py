"""The audit of offline estimators: how logs are cut, and how findings become a row."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.ope_audit import (
    NETWORK_LOGS,
    QUARTERS,
    Job,
    Replicates,
    Settings,
    _sessions,
    all_jobs,
    gathered,
    make_targets,
)
from mtf_rl.agents import UniformRandom, collect
from mtf_rl.core.files import save_json
from mtf_rl.envs import toy_dynamics


def test_parts_of_a_log_are_its_sessions() -> None:
    batch = collect(toy_dynamics(hazard=0.03), UniformRandom(8), requests=900, seed=0)
    count = len(np.unique(batch.sessions))
    assert batch.truncated.sum() > 3  # some sessions reached the horizon
    parts = [_sessions(batch, first, first + 5) for first in (0, 5)]
    for part, first in zip(parts, (0, 5), strict=True):
        names = np.unique(batch.sessions)[first : first + 5]
        rows = np.isin(batch.sessions, names)
        np.testing.assert_array_equal(part.rewards, batch.rewards[rows])
        np.testing.assert_array_equal(part.next_observations, batch.next_observations[rows])
    with pytest.raises(ValueError, match="sessions were collected, of"):
        _sessions(batch, 0, count + 1)


def test_a_row_by_hand() -> None:
    """Two logs, four targets; the second log puts the worst first."""
    values = np.array([4.0, 3.0, 2.0, 1.0])
    estimates = np.array([[5.0, 4.0, 3.0, 2.0], [4.0, 3.0, 2.0, 5.0]])
    covered = np.array([[True] * 4, [True, True, False, False]])
    found = Replicates(estimates, covered, own=np.array([2.0, 3.0]), values=values)
    bias, rmse, coverage, rank, top, fractions = found.row()
    assert bias == "+1.0"  # (4 * 1 + 4) / 8
    assert rmse == "1.6"  # sqrt((4 * 1 + 16) / 8)
    assert coverage == "75 %"
    # Ranks 1 and 1 - 6 (1 + 1 + 1 + 9) / (4 * 15) = -.2; t of one degree is 12.71.
    assert rank == f"0.40 ± {12.706 * 0.6:.2f}"
    assert top == "1.00 ± 0.00"
    assert fractions.startswith("50.0 ±")  # nothing, then 3 of 3
    assert replace(found, estimates=np.ones((2, 4))).row()[3] == "none"
    one = Replicates(estimates[:1], covered[:1], own=np.array([2.0]), values=values)
    assert one.row()[3] == "1.00"


def test_findings_are_gathered_by_estimator_and_target(tmp_path: Path) -> None:
    truth = {"b": 2.0, "a": 1.0}
    for log in (0, 1):
        findings = [
            {
                "target": target,
                "estimator": estimator,
                "value": truth[target] + log,
                "low": truth[target] + log - 0.5,
                "high": truth[target] + log + 0.5,
            }
            for target in truth
            for estimator in ("dm", "pdis")
        ]
        save_json(tmp_path / f"{log}.json", {"behaviour": 1.5, "findings": findings})
    found = gathered([tmp_path / f"{log}.json" for log in range(3)], truth)  # the third is to come
    assert list(found) == ["dm", "pdis"]
    np.testing.assert_array_equal(found["dm"].values, [2.0, 1.0])
    np.testing.assert_array_equal(found["dm"].estimates, [[2.0, 1.0], [3.0, 2.0]])
    np.testing.assert_array_equal(found["dm"].covered, [[True, True], [False, False]])


def test_jobs_come_log_by_log_and_no_two_share_a_file(tmp_path: Path) -> None:
    settings = Settings(tmp_path, logs=7)
    jobs = all_jobs(settings)
    assert [job.log for job in jobs] == sorted(job.log for job in jobs)
    assert sum(job.networks for job in jobs) == NETWORK_LOGS
    paths = [path for job in jobs for path in job.paths(settings)]
    assert len(set(paths)) == len(paths) == 7 * 4 * (1 + QUARTERS) + NETWORK_LOGS
    other = replace(settings, contestants=True, behaviours=("mix",))
    assert all_jobs(other) == [Job("mix", log) for log in range(7)]
    assert other.kept != settings.kept
    with pytest.raises(ValueError, match="has no comparison"):
        make_targets(other)
