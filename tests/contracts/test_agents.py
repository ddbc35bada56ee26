"""The contract of all agents in the registry, on sessions with known best weights."""

import multiprocessing
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import cache
from multiprocessing.pool import Pool
from typing import Any

import numpy as np
import pytest
from typing_extensions import override

from mtf_rl.agents import (
    AGENTS,
    ConstantPolicy,
    LearnedPolicy,
    LearningInterruptedError,
    LearningTask,
    MlpPolicy,
    SavedPolicy,
    UniformRandom,
    Watch,
    collect,
)
from mtf_rl.core.errors import ConfigError, DataError, ShapeError
from mtf_rl.core.history import VisibleHistory
from mtf_rl.core.randomness import EpisodeRng
from mtf_rl.core.slates import Response, Slate
from mtf_rl.data import BatchDataset
from mtf_rl.envs import RequestBudget, SessionDynamics, ToyUserModel, toy_dynamics
from mtf_rl.evaluation import roll_out

pytestmark = pytest.mark.slow

# Enough for the learners to run their loops; tests/agents test whether they learn. An agent gets
# the settings that it has.
SMALL = {
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
    "n_action_samples": 2,
    "proposals": 4,
    "hidden": (16, 16),
}
BUDGET = 1000


def settings_of(name: str, **changes: Any) -> Any:
    config = AGENTS[name].config
    known = {entry.name for entry in fields(config)}
    return config(**{key: value for key, value in (SMALL | changes).items() if key in known})


def having(field: str) -> list[str]:
    """Names of the agents with this setting."""
    return [
        name for name, agent in AGENTS.items() if field in {f.name for f in fields(agent.config)}
    ]


assert all(having(field) for field in SMALL)
WITH_NETWORK = having("warmup_requests")
FROM_BATCH = [name for name, agent in AGENTS.items() if agent.from_batch]
LEARNING = [*WITH_NETWORK, *FROM_BATCH]
FREE = ("uniform", "reward_weighted")
SPENDING = [name for name in AGENTS if name not in (*FREE, *FROM_BATCH)]


@cache
def toy_batch(requests: int) -> BatchDataset:
    """Sessions with uniformly random weights."""
    return collect(toy_dynamics(), UniformRandom(8), requests=requests, seed=0)


def learn(name: str, seed: int = 0, budget: int = BUDGET, **changes: Any) -> LearnedPolicy:
    dynamics = toy_dynamics()
    task = LearningTask(dynamics, dynamics, RequestBudget(budget), seed)
    if AGENTS[name].from_batch:
        task = replace(task, batch=toy_batch(budget))
    return AGENTS[name].learn(task, settings_of(name, **changes))


@cache
def learned_once(name: str) -> LearnedPolicy:
    """The policy learned with seed 0, computed once for all tests that only read it."""
    return learn(name)


def actions_of(learned: LearnedPolicy) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    dynamics = toy_dynamics()
    return learned.policy.predict(dynamics.observe(dynamics.start(5, np.arange(32))))[0]


def learned_actions(name: str) -> bytes:
    return actions_of(learn(name)).tobytes()


@pytest.mark.parametrize("name", AGENTS)
def test_actions_are_in_bounds_and_the_budget_is_not_exceeded(name: str) -> None:
    learned = learned_once(name)
    actions = actions_of(learned)
    assert actions.shape == (32, 8)
    assert np.abs(actions).max() <= 1.0
    assert learned.requests_used <= BUDGET
    assert learned.requests_used >= 0.85 * BUDGET or name in FREE


@pytest.fixture(scope="module", name="elsewhere")
def another_process() -> Iterator[Pool]:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        yield pool


@pytest.mark.parametrize("name", AGENTS)
def test_the_same_seed_gives_the_same_policy_also_in_another_process(
    name: str, elsewhere: Pool
) -> None:
    here = actions_of(learned_once(name)).tobytes()
    assert learned_actions(name) == here
    assert elsewhere.apply(learned_actions, (name,)) == here
    # Uniform weights have no seed; the search finds the toy's optimum, an initial point, with any.
    if name in LEARNING:
        assert actions_of(learn(name, seed=1)).tobytes() != here


@pytest.mark.parametrize("name", WITH_NETWORK)
def test_a_budget_smaller_than_the_warmup_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=re.escape("requests must exceed warmup_requests")):
        learn(name, budget=200)


@pytest.mark.parametrize("name", WITH_NETWORK)
def test_the_untrained_policy_is_kept_and_differs_from_the_learned_one(name: str) -> None:
    learned = learned_once(name)
    assert isinstance(learned.policy, MlpPolicy)
    assert isinstance(learned.untrained, MlpPolicy)
    np.testing.assert_array_equal(learned.untrained.mean, learned.policy.mean)
    before, after = learned.untrained.network, learned.policy.network
    assert (before.weights[0] != after.weights[0]).any()


@pytest.mark.parametrize("name", having("gamma"))
def test_the_myopic_baseline_learns_a_different_policy(name: str) -> None:
    assert actions_of(learn(name, gamma=0.0)).tobytes() != actions_of(learned_once(name)).tobytes()


@pytest.mark.parametrize("name", having("gamma"))
def test_a_discount_above_one_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=re.escape("gamma must be in [0, 1], got 1.5")):
        settings_of(name, gamma=1.5)


class InterruptingBudget(RequestBudget):
    """Raises KeyboardInterrupt after `after` requests."""

    def __init__(self, limit: int, *, after: int) -> None:
        super().__init__(limit, on_spend=self._interrupt)
        self._after = after

    def _interrupt(self, requests: int) -> None:
        if self.used >= self._after:
            raise KeyboardInterrupt


@pytest.mark.parametrize("name", FROM_BATCH)
def test_a_batch_agent_without_a_batch_raises(name: str) -> None:
    dynamics = toy_dynamics()
    task = LearningTask(dynamics, dynamics, RequestBudget(BUDGET), 0)
    with pytest.raises(DataError, match="batch dataset, and none was given: add --batch"):
        AGENTS[name].learn(task, settings_of(name))


@pytest.mark.parametrize("name", [*FROM_BATCH, *having("warm_start_updates")])
def test_a_batch_with_wrong_widths_is_refused(name: str) -> None:
    dynamics = toy_dynamics()
    batch = toy_batch(400)
    fewer = replace(batch, actions=batch.actions[:, :7], parameter_names=batch.parameter_names[:7])
    task = LearningTask(dynamics, dynamics, RequestBudget(BUDGET), 0, batch=fewer)
    message = "the batch's actions must have shape (rows, width) = (400, 8), got (400, 7)"
    with pytest.raises(ShapeError, match=re.escape(message)):
        AGENTS[name].learn(task, settings_of(name, warm_start_updates=5))


@pytest.mark.parametrize("name", having("warm_start_updates"))
def test_a_warm_start_skips_the_warmup_and_changes_the_policy(name: str) -> None:
    dynamics = toy_dynamics()
    task = LearningTask(dynamics, dynamics, RequestBudget(BUDGET), 0)
    # The warm-up is skipped, so it may be longer than the budget.
    settings = settings_of(name, warm_start_updates=30, warmup_requests=10_000)
    with pytest.raises(DataError, match="batch dataset, and none was given: add --batch"):
        AGENTS[name].learn(task, settings)
    task = replace(task, budget=RequestBudget(BUDGET), batch=toy_batch(400))
    learned = AGENTS[name].learn(task, settings)
    assert 0.85 * BUDGET < learned.requests_used <= BUDGET
    assert actions_of(learned).tobytes() != actions_of(learned_once(name)).tobytes()


@pytest.mark.parametrize("name", FROM_BATCH)
def test_an_interruption_between_updates_returns_the_policy_so_far(name: str) -> None:
    done = 0

    def interrupt(updates: int) -> None:
        nonlocal done
        done += updates
        if done == 30:
            raise KeyboardInterrupt

    dynamics = toy_dynamics()
    task = LearningTask(dynamics, dynamics, RequestBudget(BUDGET), 0)
    task = replace(task, batch=toy_batch(BUDGET), on_update=interrupt)
    with pytest.raises(LearningInterruptedError) as interruption:
        AGENTS[name].learn(task, settings_of(name))
    learned = interruption.value.learned
    if name not in (
        "iql",
        "batchrl_mtf",
    ):  # Their updates depend on the number of remaining updates.
        assert actions_of(learned).tobytes() == actions_of(learn(name, updates=29)).tobytes()
    assert np.abs(actions_of(learned)).max() <= 1.0


@pytest.mark.parametrize("name", LEARNING)
def test_a_watch_receives_the_changing_policy(name: str) -> None:
    seen: list[tuple[int, bytes]] = []
    dynamics = toy_dynamics()
    observation = dynamics.observe(dynamics.start(5, np.arange(8)))

    def see(step: int, policy: SavedPolicy) -> None:
        seen.append((step, policy.predict(observation)[0].tobytes()))

    batch = toy_batch(BUDGET) if name in FROM_BATCH else None
    steps = 60 if name in FROM_BATCH else BUDGET
    task = LearningTask(dynamics, dynamics, RequestBudget(BUDGET), 0, batch=batch)
    task = replace(task, watch=Watch(every=2 * steps // 5, see=see))
    AGENTS[name].learn(task, settings_of(name))
    assert len(seen) == 2
    assert seen[0][0] < seen[1][0] <= steps
    assert seen[0][1] != seen[1][1]


@pytest.mark.parametrize("name", SPENDING)
def test_an_interruption_returns_the_policy_so_far(name: str) -> None:
    dynamics = toy_dynamics()
    budget = InterruptingBudget(BUDGET, after=700)
    task = LearningTask(dynamics, dynamics, budget, 0)
    with pytest.raises(LearningInterruptedError) as interruption:
        AGENTS[name].learn(task, settings_of(name))
    learned = interruption.value.learned
    assert learned.requests_used == budget.used
    assert np.abs(actions_of(learned)).max() <= 1.0


@pytest.mark.parametrize("name", WITH_NETWORK)
def test_an_interrupted_warmup_returns_no_policy(name: str) -> None:
    dynamics = toy_dynamics()
    task = LearningTask(dynamics, dynamics, InterruptingBudget(BUDGET, after=100), 0)
    with pytest.raises(KeyboardInterrupt) as interruption:
        AGENTS[name].learn(task, settings_of(name))
    assert not isinstance(interruption.value, LearningInterruptedError)


@dataclass(frozen=True)
class BrokenUserModel(ToyUserModel):
    """A broken user model: every feedback is NaN."""

    @override
    def respond(
        self, state: None, slate: Slate, history: VisibleHistory, rng: EpisodeRng
    ) -> tuple[Response, None]:
        response, _ = super().respond(state, slate, history, rng)
        return replace(response, feedback=response.feedback * np.float32(np.nan)), None


def broken_dynamics() -> SessionDynamics:
    model = toy_dynamics().user_model
    assert isinstance(model, ToyUserModel)
    return toy_dynamics().answered_by(
        BrokenUserModel(model.probabilities, model.task, model.hazard)
    )


@pytest.mark.parametrize("name", SPENDING)
def test_a_broken_user_model_is_reported_and_stops_learning(name: str) -> None:
    dynamics = broken_dynamics()
    task = LearningTask(dynamics, dynamics, RequestBudget(BUDGET), 0)
    with pytest.raises(DataError, match="must be finite"):
        AGENTS[name].learn(task, settings_of(name))


def test_a_budget_smaller_than_one_trial_is_refused() -> None:
    with pytest.raises(ConfigError, match=re.escape("one point in 2 blocks of 8 sessions and")):
        learn("random_search", budget=20)


def test_uniform_weights_are_all_one() -> None:
    learned = learn("uniform")
    assert isinstance(learned.policy, ConstantPolicy)
    sessions = roll_out(toy_dynamics(), learned.policy, seed=0, episodes=np.arange(3))
    np.testing.assert_array_equal(sessions.weights[0], [1, 1, 1, 1, 1, 1, -1, 1])
    assert sessions.weights_spread.max() == 0.0
