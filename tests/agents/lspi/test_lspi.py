"""Least-squares policy iteration: critic and improvement step against slower computations."""

import re
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from mtf_rl.agents import AGENTS, ConstantPolicy, LearningTask, LSPIConfig, UniformRandom, collect
from mtf_rl.agents.lspi.critic import ActionValues, CriticEvaluation
from mtf_rl.agents.lspi.improvement import Gain, improved
from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.errors import ConfigError
from mtf_rl.data import Transitions
from mtf_rl.envs import RequestBudget, RetentionDynamics, toy_dynamics
from mtf_rl.evaluation.least_squares import (
    LeastSquaresConfig,
    QuadraticFeatures,
    least_squares_q,
)

RIDGE = 1e-3


@pytest.fixture(scope="module", name="rows")
def toy_rows() -> Transitions:
    return Transitions.of(collect(toy_dynamics(), UniformRandom(8), requests=2_000, seed=3))


def evaluation_of(rows: Transitions, crossed: tuple[int, ...] | None) -> CriticEvaluation:
    features = replace(QuadraticFeatures.of(rows, "squares"), crossed=crossed)
    return CriticEvaluation(rows, features, gamma=0.8, ridge=RIDGE)


def test_the_critic_is_the_fixed_point_of_fitted_q(rows: Transitions) -> None:
    """With all observations crossed, it equals the chunked `evaluation.least_squares`."""
    policy = ConstantPolicy(np.linspace(-0.9, 0.9, 8, dtype=np.float32))
    config = LeastSquaresConfig(gamma=0.8, ridge=RIDGE, observation_terms="squares")
    expected = least_squares_q(rows, policy, config)
    evaluation = evaluation_of(rows, None)
    values = evaluation.of(policy)
    action_part = expected.coefficients[evaluation.features.state_count :]
    np.testing.assert_allclose(values.coefficients, action_part, rtol=1e-6, atol=1e-9)


def test_the_sandwich_by_hand(rows: Transitions) -> None:
    """Computed row by row, without a matrix product over rows."""
    few = Transitions(
        observations=rows.observations[:40],
        actions=rows.actions[:40],
        rewards=rows.rewards[:40],
        next_observations=rows.next_observations[:40],
        terminated=rows.terminated[:40],
        sessions=rows.sessions[:40],
        requests=rows.requests[:40],
    )
    evaluation = evaluation_of(few, (0, 2))
    features = evaluation.features
    policy = ConstantPolicy(np.full(8, 0.25, dtype=np.float32))
    matrix = RIDGE * np.eye(features.count)
    matrix[0, 0] = 0.0
    target = np.zeros(features.count)
    pairs = []
    for row in range(40):
        now = features.joint(few.observations[row : row + 1], few.actions[row : row + 1])[0]
        then = features.joint(few.next_observations[row : row + 1], policy.action[None])[0]
        then = np.zeros_like(then) if few.terminated[row] else then
        matrix += np.outer(now, now - 0.8 * then) / 40
        target += now * float(few.rewards[row]) / 40
        pairs.append((now, then, float(few.rewards[row])))
    theta = np.linalg.solve(matrix, target)
    meat, squares = np.zeros_like(matrix), []
    for now, then, reward in pairs:
        error = reward + 0.8 * then @ theta - now @ theta
        meat += error**2 * np.outer(now, now) / 40
        squares.append(error**2)
    covariance = np.linalg.inv(matrix) @ meat @ np.linalg.inv(matrix).T / 40
    values = evaluation.of(policy)
    action = slice(features.state_count, None)
    np.testing.assert_allclose(values.coefficients, theta[action], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(values.covariance, covariance[action, action], rtol=1e-5, atol=1e-9)
    assert values.td_error == pytest.approx(np.sqrt(np.mean(squares)))


def test_standard_errors_match_repeated_datasets() -> None:
    """On a bandit, estimated errors equal the spread of coefficients over 300 datasets."""
    rng = np.random.default_rng(0)
    found, stated = [], []
    for _ in range(300):
        actions = rng.uniform(-1.0, 1.0, (400, 1)).astype(np.float32)
        noise = rng.normal(size=400) * (
            1.0 + np.abs(actions[:, 0])
        )  # heteroscedastic, which the sandwich allows
        rows = Transitions(
            observations=rng.normal(size=(400, 1)).astype(np.float32),
            actions=actions,
            rewards=(0.5 * actions[:, 0] + noise).astype(np.float32),
            next_observations=np.zeros((400, 1), dtype=np.float32),
            terminated=np.ones(400, dtype=np.bool_),
            sessions=np.arange(400),
            requests=np.zeros(400, dtype=np.int64),
        )
        features = QuadraticFeatures.of(rows, "linear")
        values = CriticEvaluation(rows, features, 0.9, 1e-9).of(ConstantPolicy(np.zeros(1)))
        found.append(values.coefficients[0])
        stated.append(np.sqrt(values.covariance[0, 0]))
    assert np.mean(found) == pytest.approx(0.5, abs=0.03)
    assert np.mean(stated) == pytest.approx(np.std(found), rel=0.1)


def made_up_gain(caution: float, squashing: float) -> Gain:
    rng = np.random.default_rng(1)
    states, crossed, width = 7, 2, 3
    count = width + width * (width + 1) // 2 + crossed * width
    root = rng.normal(size=(count, count))
    values = ActionValues(rng.normal(size=count), root @ root.T / count, 0.0)
    inputs = np.column_stack([np.ones(states), rng.normal(size=(states, crossed))])
    reference = rng.normal(size=(1 + crossed, width))
    return Gain(values, inputs, reference, caution, squashing)


def naive_gain(gain: Gain, weights: FloatArray) -> float:
    """The gain, computed state by state."""

    def features(entry: FloatArray, chosen: FloatArray) -> FloatArray:
        action = np.tanh(entry @ chosen)
        pairs = [action[i] * action[j] for i in range(len(action)) for j in range(i, len(action))]
        crossed = [entry[k] * a for k in range(1, len(entry)) for a in action]
        return np.array([*action, *pairs, *crossed])

    moved = np.mean(
        [features(entry, weights) - features(entry, gain.reference) for entry in gain.inputs],
        axis=0,
    )
    error = np.sqrt(moved @ gain.values.covariance @ moved + 1e-6)
    squares = np.mean([((entry @ weights) ** 2).sum() for entry in gain.inputs])
    worth = moved @ gain.values.coefficients - gain.caution * error
    return float(worth - 0.5 * gain.squashing * squares)


@pytest.mark.parametrize("caution", [0.0, 2.0])
def test_the_gain_and_its_gradient(caution: float) -> None:
    gain = made_up_gain(caution, squashing=0.1)
    at_reference = gain.moments(gain.reference)
    weights = gain.reference + 0.3
    value, gradient = gain(weights, at_reference)
    assert value == pytest.approx(naive_gain(gain, weights))

    def flat(entries: FloatArray) -> float:
        return naive_gain(gain, entries.reshape(weights.shape))

    expected = approx_fprime(weights.ravel(), flat, 1e-7)
    np.testing.assert_allclose(gradient.ravel(), expected, rtol=1e-3, atol=1e-5)


def test_the_step_finds_the_optimum_of_a_quadratic_and_caution_keeps_the_policy() -> None:
    """Q = a_1 - a_1^2 has its maximum at 1/2; with large uncertainty the policy does not move."""
    coefficients = np.array([1.0, 0.0, -1.0, 0.0, 0.0])  # a_1, a_2, a_1 a_1, a_1 a_2, a_2 a_2
    inputs, reference = np.ones((4, 1)), np.zeros((1, 2))
    sure = Gain(ActionValues(coefficients, np.zeros((5, 5)), 0.0), inputs, reference, 2.0, 0.0)
    assert np.tanh(improved(sure, [reference]))[0, 0] == pytest.approx(0.5, abs=1e-3)
    doubtful = replace(sure, values=ActionValues(coefficients, np.eye(5), 0.0))
    np.testing.assert_allclose(improved(doubtful, [reference + 0.5]), 0.0, atol=1e-3)


def task_of(budget: int) -> LearningTask:
    dynamics = toy_dynamics()
    return LearningTask(dynamics, dynamics, RequestBudget(budget), seed=0)


def test_weights_depend_only_on_the_features_and_metrics_are_logged() -> None:
    logged: dict[str, list[float]] = {}
    task = replace(
        task_of(4_000),
        metrics=lambda step, name, value: logged.setdefault(name, []).append(value),
    )
    config = LSPIConfig(rounds=3, features=("session/log_requests",))
    learned = AGENTS["lspi"].learn(task, config)
    assert learned.requests_used <= 4_000
    assert {len(values) for values in logged.values()} == {3}
    assert set(logged) == {
        "session/reward_per_request", "train/td_error", "train/gain", "train/gain_error"
    }  # fmt: skip
    dynamics = toy_dynamics()
    observation = dynamics.observe(dynamics.start(0, np.arange(6)))
    column = dynamics.layout.names.index("session/log_requests")
    noise = np.random.default_rng(0).normal(size=observation.shape).astype(np.float32)
    noise[:, column] = 0.0
    before, _ = learned.policy.predict(observation)
    after, _ = learned.policy.predict(observation + noise)
    np.testing.assert_array_equal(before, after)
    observation[:, column] += 1.0
    assert np.abs(learned.policy.predict(observation)[0] - before).max() > 1e-4


def test_without_features_the_weights_are_static() -> None:
    learned = AGENTS["lspi"].learn(task_of(4_000), LSPIConfig(rounds=2, features=()))
    dynamics = toy_dynamics()
    actions, _ = learned.policy.predict(dynamics.observe(dynamics.start(5, np.arange(9))))
    assert np.ptp(actions, axis=0).max() == 0.0


def test_tasks_that_lspi_cannot_learn_are_refused() -> None:
    with pytest.raises(ConfigError, match=re.escape("features must be observed, got 'profile/x'")):
        AGENTS["lspi"].learn(task_of(4_000), LSPIConfig(features=("profile/x",)))
    with pytest.raises(ConfigError, match=re.escape("requests must be at least 1257")):
        AGENTS["lspi"].learn(task_of(1_000), LSPIConfig())
    visits = RetentionDynamics(toy_dynamics())
    with pytest.raises(ConfigError, match="episodes of one session"):
        AGENTS["lspi"].learn(
            LearningTask(visits, visits, RequestBudget(4_000), seed=0), LSPIConfig()
        )
    with pytest.raises(ConfigError, match=re.escape("first_fraction must be above 0, got 0")):
        LSPIConfig(first_fraction=0.0)
    with pytest.raises(ConfigError, match="features must be unique"):
        LSPIConfig(features=("a", "a"))
