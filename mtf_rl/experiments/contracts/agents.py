"""What every agent promises, on a session whose best weights are known."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from mtf_rl.agents import (
    AGENTS,
    FusionPolicy,
    FusionSetting,
    LearnedPolicy,
    LearningTask,
    UniformRandom,
    collect,
    load_policy,
    save_policy,
)
from mtf_rl.core.arrays import FloatArray
from mtf_rl.data import BatchDataset
from mtf_rl.envs import RequestBudget, toy_dynamics
from mtf_rl.experiments.contracts.contract import Check, Contract, require
from mtf_rl.experiments.settings import settings_from_json, settings_to_json

__all__ = ["AGENT_CONTRACT", "BUDGET", "SMALL", "AgentSubject", "agent_named", "toy_batch"]

SMALL: Mapping[str, Any] = {
    "warmup_requests": 200,
    "batch_size": 64,
    "updates_per_request": 0.1,
    "rollout_requests": 96,
    "sessions_per_trial": 8,
    "max_blocks": 2,
    "population": 4,
    "initial": 4,
    "scanned": 2,
    "rounds": 2,
    "updates": 60,
    "checkpoints": 2,
    "estimator_updates": 20,
    "samples": 2,
    "proposals": 4,
    "hidden": (16, 16),
}
"""Enough for a learner to run its loop; an agent takes those of these settings that it has."""
BUDGET = 1000


@dataclass(frozen=True)
class AgentSubject:
    """An agent with small settings, and the toy that it learns on."""

    name: str
    settings: Any

    def learn(self, *, seed: int = 0, budget: int | None = None) -> LearnedPolicy:
        """Learn on the toy, with a budget that is enough by default."""
        agent, dynamics = AGENTS[self.name], toy_dynamics()
        requests = self.budget if budget is None else budget
        task = LearningTask(dynamics, dynamics, RequestBudget(requests), seed)
        if agent.from_batch:
            task = replace(task, batch=toy_batch(max(requests, 2)))
        return agent.learn(task, self.settings)

    @property
    def budget(self) -> int:
        """1000 requests, or the least that the settings need."""
        return max(BUDGET, AGENTS[self.name].min_requests(self.settings))


def agent_named(name: str) -> AgentSubject:
    """The agent with its small settings.

    Raises:
        UnknownNameError: if there is none of that name.
        ConfigError: if an own one is not an agent.
    """
    kind = AGENTS.resolve(name).config
    defaults = kind()
    known = {entry.name: getattr(defaults, entry.name) for entry in fields(kind)}
    small = {
        setting: value
        for setting, value in SMALL.items()
        if setting in known and type(known[setting]) is type(value)
    }
    return AgentSubject(name, kind(**small))


@cache
def toy_batch(requests: int) -> BatchDataset:
    """Sessions of uniformly random weights."""
    dynamics = toy_dynamics()
    return collect(dynamics, UniformRandom(dynamics.action_dim), requests=requests, seed=0)


def actions_of(learned: LearnedPolicy) -> FloatArray:
    """What a policy does in 32 sessions' first requests, (32, action_dim)."""
    dynamics = toy_dynamics()
    return learned.policy.predict(dynamics.observe(dynamics.start(5, np.arange(32))))[0]


def _settings_read_back(subject: AgentSubject) -> None:
    document = settings_to_json(subject.settings)
    again = settings_from_json(type(subject.settings), document)
    require(again == subject.settings, f"written as JSON and read back they are {again}")


def _bounds_and_budget(subject: AgentSubject) -> None:
    learned = subject.learn()
    actions = actions_of(learned)
    expected = (32, toy_dynamics().action_dim)
    require(actions.shape == expected, f"actions must have shape {expected}, got {actions.shape}")
    largest = np.abs(actions).max()
    require(largest <= 1.0, f"actions must be in [-1, 1], got one of size {largest:.3g}")
    used, budget = learned.requests_used, subject.budget
    require(0 <= used <= budget, f"requests_used must be in [0, {budget}], got {used}")


def _same_seed(subject: AgentSubject) -> None:
    first, second = (actions_of(subject.learn()) for _ in range(2))
    require(
        np.array_equal(first, second),
        "the same seed gave other actions; draw from np.random.default_rng(task.seed) alone",
    )


def _least_budget(subject: AgentSubject) -> None:
    least = AGENTS[subject.name].min_requests(subject.settings)
    used = subject.learn(budget=least).requests_used
    require(used <= least, f"with min_requests = {least} it used {used}")


def _saved_and_loaded(subject: AgentSubject) -> None:
    learned = subject.learn()
    setting = FusionSetting.of(toy_dynamics())
    with tempfile.TemporaryDirectory() as folder:
        save_policy(Path(folder), FusionPolicy(learned.policy, setting))
        loaded = load_policy(Path(folder))
    require(loaded.setting == setting, "its setting reads back as another")
    again = actions_of(replace(learned, policy=loaded.policy))
    require(np.array_equal(again, actions_of(learned)), "loaded from its folder it acts otherwise")


AGENT_CONTRACT = Contract(
    kind="agent",
    registry=AGENTS,
    recognises=lambda own: hasattr(own, "learn"),
    subject=agent_named,
    checks=(
        Check("its settings read back from JSON", _settings_read_back),
        Check("actions lie in [-1, 1] and the budget is kept", _bounds_and_budget),
        Check("the same seed gives the same policy", _same_seed),
        Check("the least budget is enough", _least_budget),
        Check("saved and loaded it acts the same", _saved_and_loaded),
    ),
)
