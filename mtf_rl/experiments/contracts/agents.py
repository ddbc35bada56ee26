"""The contract of agents, checked in toy sessions."""

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
"""Settings with which a learner runs quickly; an agent uses the fields that it has."""
BUDGET = 1000


@dataclass(frozen=True)
class AgentSubject:
    """An agent with small settings, trained in toy sessions."""

    name: str
    settings: Any

    def learn(self, *, seed: int = 0, budget: int | None = None) -> LearnedPolicy:
        """Train in toy sessions; the default budget is sufficient."""
        agent, dynamics = AGENTS[self.name], toy_dynamics()
        requests = self.budget if budget is None else budget
        task = LearningTask(dynamics, dynamics, RequestBudget(requests), seed)
        if agent.from_batch:
            task = replace(task, batch=toy_batch(max(requests, 2)))
        return agent.learn(task, self.settings)

    @property
    def budget(self) -> int:
        """1000 requests, or the agent's minimum if it is larger."""
        return max(BUDGET, AGENTS[self.name].min_requests(self.settings))


def agent_named(name: str) -> AgentSubject:
    """The agent with small settings.

    Raises:
        UnknownNameError: if the agent is unknown.
        ConfigError: if the user's own object is not an agent.
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
    """A batch dataset of toy sessions with uniformly random actions."""
    dynamics = toy_dynamics()
    return collect(dynamics, UniformRandom(dynamics.action_dim), requests=requests, seed=0)


def actions_of(learned: LearnedPolicy) -> FloatArray:
    """Actions of a policy at the first requests of 32 sessions, (32, action_dim)."""
    dynamics = toy_dynamics()
    return learned.policy.predict(dynamics.observe(dynamics.start(5, np.arange(32))))[0]


def _settings_read_back(subject: AgentSubject) -> None:
    document = settings_to_json(subject.settings)
    again = settings_from_json(type(subject.settings), document)
    require(
        again == subject.settings,
        f"expected equal settings after a JSON round trip, got {again}",
    )


def _bounds_and_budget(subject: AgentSubject) -> None:
    learned = subject.learn()
    actions = actions_of(learned)
    expected = (32, toy_dynamics().action_dim)
    require(actions.shape == expected, f"actions must have shape {expected}, got {actions.shape}")
    largest = np.abs(actions).max()
    require(largest <= 1.0, f"actions must be in [-1, 1], got absolute value {largest:.3g}")
    used, budget = learned.requests_used, subject.budget
    require(0 <= used <= budget, f"requests_used must be in [0, {budget}], got {used}")


def _same_seed(subject: AgentSubject) -> None:
    first, second = (actions_of(subject.learn()) for _ in range(2))
    require(
        np.array_equal(first, second),
        "two fits with the same seed gave different actions; draw random numbers only from"
        " np.random.default_rng(task.seed)",
    )


def _min_budget(subject: AgentSubject) -> None:
    minimum = AGENTS[subject.name].min_requests(subject.settings)
    used = subject.learn(budget=minimum).requests_used
    require(used <= minimum, f"with a budget of min_requests = {minimum} it used {used} requests")


def _saved_and_loaded(subject: AgentSubject) -> None:
    learned = subject.learn()
    setting = FusionSetting.of(toy_dynamics())
    with tempfile.TemporaryDirectory() as folder:
        save_policy(Path(folder), FusionPolicy(learned.policy, setting))
        loaded = load_policy(Path(folder))
    require(loaded.setting == setting, "the loaded policy has another setting")
    again = actions_of(replace(learned, policy=loaded.policy))
    require(np.array_equal(again, actions_of(learned)), "the loaded policy gives other actions")


AGENT_CONTRACT = Contract(
    kind="agent",
    registry=AGENTS,
    recognises=lambda own: hasattr(own, "learn"),
    subject=agent_named,
    checks=(
        Check("settings survive a JSON round trip", _settings_read_back),
        Check("actions are in [-1, 1] and the budget is not exceeded", _bounds_and_budget),
        Check("the same seed gives the same policy", _same_seed),
        Check("a budget of min_requests is sufficient", _min_budget),
        Check("a saved and loaded policy gives the same actions", _saved_and_loaded),
    ),
)
