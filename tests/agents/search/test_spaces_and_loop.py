"""Search spaces, the objective, the search loop and resuming a stopped search."""

import re
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from mtf_rl.agents import (
    AGENTS,
    FusionPolicy,
    FusionSetting,
    LearningTask,
    MlpPolicy,
    TablePolicy,
    load_policy,
    save_policy,
)
from mtf_rl.agents.search.config import CmaEsConfig, EsConfig, Nsga2Config
from mtf_rl.agents.search.learners import learn_cma_es, learn_es, learn_nsga2
from mtf_rl.agents.search.loop import learn_by_search, pareto_front
from mtf_rl.agents.search.objective import Objective, outcomes_of
from mtf_rl.agents.search.points import RandomPoints
from mtf_rl.agents.search.spaces import ACTIVITY, SEARCH_SPACES, initial_points, make_space
from mtf_rl.agents.search.study import Study, read_records
from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.errors import ArtifactError, ConfigError, ShapeError, UnknownNameError
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.envs import RequestBudget, SessionDynamics, UserProfiles, toy_dynamics
from mtf_rl.evaluation import roll_out, roll_out_each

CONFIG = CmaEsConfig(sessions_per_trial=8, max_blocks=3, finalists=2, population=4)
BUDGET = 2_000


def dynamics_with_profiles() -> SessionDynamics:
    toy = toy_dynamics()
    rising = np.linspace(0.0, 5.0, 20, dtype=np.float32)
    values = np.stack([rising, rising[::-1] / 5.0], axis=1)  # (users, 2)
    return SessionDynamics(
        scores=toy.scores,
        user_model=toy.user_model,
        catalogue=toy.catalogue,
        profiles=UserProfiles(values, (ACTIVITY.removeprefix("profile/"), "user_like_rate")),
        users=toy.users,
        config=toy.config,
    )


def task_of(dynamics: SessionDynamics, study: Path | None = None) -> LearningTask:
    return LearningTask(dynamics, dynamics, RequestBudget(BUDGET), 0, study=study)


@pytest.mark.parametrize("name", SEARCH_SPACES)
def test_a_space_starts_with_uniform_weights_and_each_task_alone(name: str) -> None:
    dynamics = dynamics_with_profiles()
    task = task_of(dynamics)
    space = make_space(name, task)
    assert space.start.shape == (9, space.dimensions)
    assert np.abs(space.start).max() <= 1.0
    state = dynamics.start(0, np.arange(16))
    initial = initial_points(dynamics)
    for point, action in zip(space.start, initial, strict=True):
        played, _ = space.policy(point).predict(dynamics.observe(state))
        np.testing.assert_allclose(played, np.tile(action, (16, 1)), atol=1e-6)
    assert (task.budget.used > 0) == (name in ("features", "linear", "network"))


@pytest.mark.parametrize("name", SEARCH_SPACES)
def test_any_point_is_a_policy_that_can_be_saved(name: str, tmp_path: Path) -> None:
    dynamics = dynamics_with_profiles()
    space = make_space(name, task_of(dynamics))
    point = np.random.default_rng(0).uniform(-1.0, 1.0, space.dimensions)
    policy = space.policy(point)
    observation = dynamics.observe(dynamics.start(0, np.arange(40)))
    action, _ = policy.predict(observation)
    assert action.shape == (40, 8)
    assert np.abs(action).max() <= 1.0
    assert (np.ptp(action, axis=0).max() > 0) == (name not in ("static", "schedule"))
    save_policy(tmp_path, FusionPolicy(policy, FusionSetting.of(dynamics)))
    again, _ = load_policy(tmp_path).predict(observation)
    assert again.tobytes() == action.tobytes()


def test_groups_need_the_users_activity() -> None:
    with pytest.raises(ConfigError, match=re.escape(f"needs the observation '{ACTIVITY}'")):
        make_space("groups", task_of(toy_dynamics()))
    with pytest.raises(UnknownNameError, match="Unknown search space 'statik'"):
        make_space("statik", task_of(toy_dynamics()))


def test_a_table_by_hand() -> None:
    policy = TablePolicy(
        obs_dim=2,
        column=1,
        edges=np.array([1.0, 2.0]),
        actions=np.array([[0.1], [0.2], [0.3]]),
    )
    observation = np.array([[9.0, 0.5], [9.0, 1.0], [9.0, 1.9], [9.0, 2.0]], dtype=np.float32)
    np.testing.assert_allclose(policy.predict(observation)[0][:, 0], [0.1, 0.2, 0.2, 0.3])
    with pytest.raises(ShapeError, match=re.escape("(num_envs, obs_dim) = (any, 2)")):
        policy.predict(observation[:, :1])
    for changes, message in (
        ({"column": 2}, "column must be in [0, obs_dim) = [0, 2), got 2"),
        ({"edges": np.array([1.0])}, "edges (rows - 1,)"),
        ({"edges": np.array([2.0, 1.0])}, "edges must increase strictly"),
    ):
        values: dict[str, Any] = vars(policy) | changes
        with pytest.raises(ValueError, match=re.escape(message)):
            TablePolicy(**values)


@given(st.lists(st.floats(-3, 3, width=32), min_size=1, max_size=8), st.integers(1, 4))
def test_a_table_equals_a_loop_over_edges(numbers: list[float], rows: int) -> None:
    edges = np.arange(float(rows - 1)) - 1.0
    actions = np.linspace(-1.0, 1.0, rows).reshape(rows, 1)
    policy = TablePolicy(1, 0, edges, actions)
    observation = np.array(numbers, dtype=np.float32)[:, None]
    expected = []
    for number in numbers:
        row = 0
        while row < len(edges) and edges[row] <= number:
            row += 1
        expected.append(actions[row, 0])
    np.testing.assert_allclose(policy.predict(observation)[0][:, 0], expected, rtol=1e-6)


def test_policies_evaluated_together_give_the_results_of_separate_runs() -> None:
    dynamics = toy_dynamics()
    space = make_space("static", task_of(dynamics))
    policies = [space.policy(point) for point in space.start]
    budget = RequestBudget()
    together = roll_out_each(
        dynamics, policies, seed=3, episodes=np.arange(10, 30), budget=budget, num_envs=70
    )
    for policy, found in zip(policies, together, strict=True):
        alone = roll_out(dynamics, policy, seed=3, episodes=np.arange(10, 30))
        for name, values in vars(alone).items():
            np.testing.assert_array_equal(getattr(found, name), values)
    assert budget.used == sum(found.requests for found in together)


def test_the_value_of_a_point_is_its_paired_difference_plus_the_reference_mean() -> None:
    """The mean of the reference is over all of its blocks."""
    dynamics = toy_dynamics()
    task = task_of(dynamics)
    space = make_space("static", task)
    objective = Objective(task, space, CONFIG, Study(None, {}), 8)
    first = objective.try_points(space.start[:1])[0]
    trials = [first, *objective.try_points(space.start[1:])]
    assert first.sessions == 8 * 3
    rewards = {
        position: roll_out(dynamics, space.policy(point), seed=0, episodes=np.arange(24)).reward
        for position, point in enumerate(space.start)
    }
    best = 0
    for position, trial in enumerate(trials):
        mine, reference = rewards[position][: trial.sessions], rewards[0]
        expected = (mine - reference[: trial.sessions]).mean() + reference.mean()
        assert trial.value == pytest.approx(expected)
        if position and trial.sessions < 24:  # It got no further block: it was too far behind.
            gap = mine - rewards[best][: trial.sessions]
            assert gap.mean() + gap.std(ddof=1) / np.sqrt(len(gap)) <= 0.0
        if position and (mine - rewards[best][: trial.sessions]).mean() > 0.0:
            best = position
    assert objective.best is trials[best]
    assert len({trial.sessions for trial in trials}) > 1
    assert task.budget.used == sum(trial.requests for trial in trials)


def test_objectives_are_means_per_session() -> None:
    sessions = roll_out(
        toy_dynamics(), make_space("static", task_of(toy_dynamics())).policy(np.zeros(8)),
        seed=0, episodes=np.arange(5),
    )  # fmt: skip
    outcomes = outcomes_of(sessions, KUAIRAND_TASKS)
    np.testing.assert_allclose(outcomes[:, 0], sessions.reward)
    np.testing.assert_allclose(outcomes[:, 1], sessions.watch_seconds / 60.0)
    likes = sessions.feedback[:, 2]  # The toy's only feedback, worth 1.
    np.testing.assert_allclose(outcomes[:, 2], likes)


def test_trials_are_stored_and_open_with_optuna(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    learned = learn_cma_es(task_of(toy_dynamics(), path), CONFIG)
    assert learned.requests_used <= BUDGET
    study = optuna.load_study(storage=f"sqlite:///{path}", study_name="search")
    records = read_records(path)
    assert len(study.trials) == len(records) > 9
    np.testing.assert_allclose(
        [trial.values[0] for trial in study.trials], [r.outcomes[:, 0].mean() for r in records]
    )
    assert sum(record.requests for record in records) < 0.75 * BUDGET


SCRIPT = """
import sys, time
from pathlib import Path
import mtf_rl.agents.search.study as study
from tests.agents.search.test_spaces_and_loop import CONFIG, learn_cma_es, task_of, toy_dynamics
add = study.Study.add
def slowly(self, record):
    add(self, record)
    time.sleep(0.05)
study.Study.add = slowly
learn_cma_es(task_of(toy_dynamics(), Path(sys.argv[1])), CONFIG)
"""


def stored_in(path: Path) -> int:
    """Number of trials in the file, read without changing it."""
    if not path.exists():
        return 0
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as file:
            return int(file.execute("SELECT count(*) FROM trials").fetchone()[0])
    except sqlite3.OperationalError:
        return 0  # The file is being created.


def test_a_killed_search_resumes_without_repeating_trials(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole.db", tmp_path / "killed.db"
    expected = learn_cma_es(task_of(toy_dynamics(), whole), CONFIG)
    root = Path(__file__).parents[3]
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(killed)], cwd=root)
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline:
        if stored_in(killed) >= 14:
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    kept = read_records(killed)
    assert 14 <= len(kept) < len(read_records(whole))
    task = task_of(toy_dynamics(), killed)
    learned = learn_cma_es(task, CONFIG)
    assert learned.requests_used == expected.requests_used
    after, alone = read_records(killed), read_records(whole)
    assert [r.to_json() for r in after] == [r.to_json() for r in alone]
    np.testing.assert_array_equal(vars(learned.policy)["action"], vars(expected.policy)["action"])


def test_trials_of_another_search_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    learn_cma_es(task_of(toy_dynamics(), path), CONFIG)
    with pytest.raises(ArtifactError, match="holds the trials of another search"):
        learn_cma_es(task_of(toy_dynamics(), path), replace(CONFIG, sigma=0.1))
    task = task_of(toy_dynamics())
    study = Study(path, read_fingerprint(path))
    objective = Objective(task, make_space("static", task), CONFIG, study, 8)
    with pytest.raises(ArtifactError, match="the stored trial 0 is of point"):
        objective.try_points(np.zeros((1, 8)))
    path.write_bytes(b"no database")
    with pytest.raises(ArtifactError, match="cannot be read as the trials of a search"):
        read_records(path)


def read_fingerprint(path: Path) -> dict[str, Any]:
    study = optuna.load_study(storage=f"sqlite:///{path}", study_name="search")
    found: dict[str, Any] = study.user_attrs["fingerprint"]
    return found


def test_nsga2_selects_a_point_of_its_front(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    config = Nsga2Config(sessions_per_trial=8, max_blocks=1, population=6, finalists=3)
    learned = learn_nsga2(task_of(toy_dynamics(), path), config)
    records = read_records(path)
    front = pareto_front(np.array([record.outcomes[:, 1:].mean(axis=0) for record in records]))
    points = [
        record.point.astype(np.float32) for record, on in zip(records, front, strict=True) if on
    ]
    assert any(np.array_equal(vars(learned.policy)["action"], point) for point in points)


def test_state_dependent_policies_can_be_searched() -> None:
    config = EsConfig(sessions_per_trial=8, max_blocks=1, pairs=3, finalists=2)
    learned = learn_es(task_of(toy_dynamics()), config)
    assert isinstance(learned.policy, MlpPolicy)
    assert len(learned.policy.network.weights) == 1
    assert 0.8 * BUDGET < learned.requests_used <= BUDGET


def test_reward_weights_equal_the_worth_of_feedback() -> None:
    learned = AGENTS["reward_weighted"].learn(
        task_of(toy_dynamics()), AGENTS["reward_weighted"].config()
    )
    played = roll_out(toy_dynamics(), learned.policy, seed=0, episodes=np.arange(2))
    np.testing.assert_allclose(played.weights[0], [0, 0, 0.2, 1.0, 0.6, 1.0, -1.0, 0.4], atol=1e-6)


@pytest.mark.parametrize("requests", [600, 1_111, 2_500])
def test_the_budget_stops_an_optimizer_that_never_stops(requests: int) -> None:
    class Endless(RandomPoints):
        questions = 0

        @override
        def ask(self) -> FloatArray:
            self.questions += 1
            return super().ask()

    endless = Endless(8, seed=0)
    budget = RequestBudget(requests)
    task = replace(task_of(toy_dynamics()), budget=budget)
    learned = learn_by_search(task, CONFIG, lambda dimensions: endless)
    assert learned.requests_used == budget.used <= requests
    assert budget.used > 0.8 * requests
    assert endless.questions < requests


def test_much_longer_sessions_end_the_search_without_an_error() -> None:
    """Later points cost far more requests than estimated from earlier ones."""
    dynamics = toy_dynamics(hazard=0.9)
    longer = toy_dynamics(hazard=0.02)

    class Lengthening(RandomPoints):
        @override
        def ask(self) -> FloatArray:
            vars(task.learning)["user_model"] = longer.user_model
            return super().ask()

    task = replace(task_of(dynamics), budget=RequestBudget(1_000))
    learned = learn_by_search(task, CONFIG, lambda dimensions: Lengthening(dimensions, seed=0))
    assert learned.requests_used <= 1_000
