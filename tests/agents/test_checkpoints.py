"""A learner resumed from a checkpoint ends with the weights of an uninterrupted one."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtf_rl.agents import (
    AGENTS,
    CheckpointPlan,
    LearnedPolicy,
    LearningTask,
    MlpPolicy,
    SavedPolicy,
    UniformRandom,
    collect,
)
from mtf_rl.agents import checkpoint as module
from mtf_rl.agents.checkpoint import load_checkpoint
from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.errors import ArtifactError
from mtf_rl.envs import RequestBudget, toy_dynamics

pytestmark = pytest.mark.slow

BUDGET = 2400
SMALL = {
    "warmup_requests": 200,
    "batch_size": 64,
    "updates_per_request": 0.05,
    "rollout_requests": 96,
}
LEARNERS = [
    name
    for name, agent in AGENTS.items()
    if {"gamma", "num_envs"} <= {entry.name for entry in fields(agent.config)}
]


class PowerCutError(Exception):
    """Stands for a killed process: no cleanup runs."""


class Log:
    """The metrics that a run would keep, without timings."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, str, float]] = []

    def __call__(self, step: int, name: str, value: float) -> None:
        if not name.startswith("time/"):
            self.rows.append((step, name, value))


def learn(
    name: str, log: Log, path: Path, *, until: int | None = None, seconds: float = 0.0
) -> LearnedPolicy:
    """Learn with a checkpoint between all rollouts, and stop at `until` requests."""

    def spend(requests: int) -> None:
        if until is not None and budget.used >= until:
            raise PowerCutError

    dynamics = toy_dynamics()
    budget = RequestBudget(BUDGET, on_spend=spend)
    plan = CheckpointPlan(path, seconds, mark=lambda: len(log.rows))
    known = {entry.name for entry in fields(AGENTS[name].config)}
    settings: Any = {key: value for key, value in SMALL.items() if key in known}
    task = LearningTask(dynamics, dynamics, budget, 3, log, checkpoints=plan)
    return AGENTS[name].learn(task, AGENTS[name].config(**settings))


def arrays_of(policy: SavedPolicy | None) -> list[FloatArray]:
    assert isinstance(policy, MlpPolicy)
    return [policy.mean, policy.scale, *policy.network.weights, *policy.network.biases]


def assert_equal(first: SavedPolicy | None, second: SavedPolicy | None) -> None:
    for one, other in zip(arrays_of(first), arrays_of(second), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", LEARNERS)
@pytest.mark.parametrize("until", [120, 1700])  # During the warm-up, and during learning.
def test_a_resumed_learner_ends_with_the_same_weights_and_metrics(
    name: str, until: int, tmp_path: Path
) -> None:
    whole_log, log = Log(), Log()
    whole = learn(name, whole_log, tmp_path / "never", seconds=1e9)
    assert not (tmp_path / "never").exists()
    path = tmp_path / "state"
    with pytest.raises(PowerCutError):
        learn(name, log, path, until=until)
    if path.exists():
        del log.rows[load_checkpoint(path).mark :]
    else:
        # On-policy learners write no checkpoint before their first rollout.
        assert until < 200
        assert name in ("ppo", "a2c")
        log.rows.clear()
    resumed = learn(name, log, path)
    assert_equal(resumed.policy, whole.policy)
    assert_equal(resumed.untrained, whole.untrained)
    assert resumed.requests_used == whole.requests_used
    assert log.rows == whole_log.rows


def test_unusable_checkpoints_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state"
    with pytest.raises(PowerCutError):
        learn("td3", Log(), path, until=500)
    with pytest.raises(ArtifactError, match=re.escape("is of TD3 after 480 steps, not of DDPG")):
        learn("ddpg", Log(), path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ArtifactError, match=re.escape(f"{path} cannot be read")):
        learn("td3", Log(), path)
    path.write_bytes(content)
    monkeypatch.setattr(module, "CHECKPOINT_VERSION", 2)
    with pytest.raises(
        ArtifactError, match=re.escape("has version 1; this program reads version 2")
    ):
        learn("td3", Log(), path)


BATCH_SETTINGS: dict[str, Any] = {
    "updates": 50,
    "hidden": (16, 16),
    "batch_size": 32,
    "proposals": 4,
    "checkpoints": 3,
    "estimator_updates": 10,
}


def learn_from_batch(
    name: str, log: Log, path: Path, *, until: int | None = None, seconds: float = 0.0
) -> LearnedPolicy:
    """The same for a batch-RL agent; `until` counts updates."""
    done = 0

    def count(updates: int) -> None:
        nonlocal done
        done += updates
        if until is not None and done >= until:
            raise PowerCutError

    dynamics = toy_dynamics()
    batch = collect(dynamics, UniformRandom(8), requests=400, seed=0)
    plan = CheckpointPlan(path, seconds, mark=lambda: len(log.rows))
    task = LearningTask(
        dynamics, dynamics, RequestBudget(0), 3, log, batch, on_update=count, checkpoints=plan
    )
    config = AGENTS[name].config
    known = {entry.name for entry in fields(config)}
    settings = {key: value for key, value in BATCH_SETTINGS.items() if key in known}
    return AGENTS[name].learn(task, config(**settings))


@pytest.mark.parametrize("name", [name for name, agent in AGENTS.items() if agent.from_batch])
def test_a_resumed_batch_learner_ends_with_the_same_policy_and_metrics(
    name: str, tmp_path: Path
) -> None:
    whole_log, log = Log(), Log()
    whole = learn_from_batch(name, whole_log, tmp_path / "never", seconds=1e9)
    path = tmp_path / "state"
    with pytest.raises(PowerCutError):
        learn_from_batch(name, log, path, until=37)
    del log.rows[load_checkpoint(path).mark :]
    resumed = learn_from_batch(name, log, path)
    dynamics = toy_dynamics()
    observations = dynamics.observe(dynamics.start(5, np.arange(40)))
    for one, other in ((whole.policy, resumed.policy), (whole.untrained, resumed.untrained)):
        assert one is not None
        assert other is not None
        np.testing.assert_array_equal(one.predict(observations)[0], other.predict(observations)[0])
    assert log.rows == whole_log.rows
