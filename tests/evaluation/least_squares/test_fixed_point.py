"""Least squares for Q: known values, a naive second implementation, properties, refusals."""

import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.errors import ConfigError, DataError, ShapeError
from mtf_rl.data import Transitions
from mtf_rl.evaluation import LeastSquaresConfig, end_at_cut, least_squares_q
from mtf_rl.evaluation.least_squares import QuadraticFeatures
from tests.evaluation.decision_processes import (
    LinearPolicy,
    LinearQuadratic,
    chain,
    constant_policy,
    random_log,
    sessions_of,
)

QUADRATIC = LeastSquaresConfig(observation_terms="squares")


@pytest.mark.parametrize(
    ("rows", "gamma", "std"),
    [(20_000, 0.95, 0.03), (20_000, 0.8, 0.009), (100_000, 0.8, 0.004)],
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_linear_quadratic_system(rows: int, gamma: float, std: float, seed: int) -> None:
    """Within three relative deviations; no bias: the class holds the true Q."""
    system = LinearQuadratic()
    q = least_squares_q(system.log(rows, seed), system.policy, replace(QUADRATIC, gamma=gamma))
    start = np.linspace(-0.9, 0.9, 101)[:, None]
    truth = system.state_values(start, gamma).mean()
    assert q.value(start, system.policy) == pytest.approx(truth, rel=3.0 * std)


def test_linear_quadratic_system_without_noise_is_exact() -> None:
    system = LinearQuadratic(noise=0.0)
    q = least_squares_q(system.log(200, 0), system.policy, replace(QUADRATIC, ridge=0.0))
    rng = np.random.default_rng(1)
    states, actions = rng.uniform(-1.0, 1.0, (2, 50, 1))
    np.testing.assert_allclose(
        q.q(states, actions), system.q_values(states, actions, 0.95), atol=1e-6
    )
    assert q.spectral_radius == pytest.approx(0.95)


def test_an_end_stops_the_bootstrap_and_a_cut_does_not() -> None:
    """Worked: g = .9, w = .5. Left: .5 + .9 * 1.5 = 1.85. Cut: 1.85 / (1 - .81) = 9.737."""
    policy, config = constant_policy(1, 0.5), LeastSquaresConfig(gamma=0.9, ridge=0.0)
    left, cut = chain(40, left=True), chain(40, left=False)
    for log, worth in ((left, 1.85), (cut, 1.85 / 0.19)):
        value = least_squares_q(log, policy, config).value(log.first_observations, policy)
        assert value == pytest.approx(worth, rel=1e-9)
    ended = least_squares_q(end_at_cut(cut), policy, config)
    assert ended.value(cut.first_observations, policy) == pytest.approx(1.85)


def test_undiscounted_value_is_the_reward_of_a_session() -> None:
    policy, log = constant_policy(1, 0.5), chain(40, left=True)
    q = least_squares_q(log, policy, LeastSquaresConfig(gamma=1.0, ridge=0.0))
    assert q.value(log.first_observations, policy) == pytest.approx(0.5 + 1.5)
    with pytest.raises(DataError, match=re.escape("none of the 40 rows is terminated")):
        least_squares_q(chain(40, left=False), policy, LeastSquaresConfig(gamma=1.0))


def naive_features(observation: FloatArray, action: FloatArray, terms: str) -> list[float]:
    """Loops; the observation is standardised already."""
    width, count = len(observation), len(action)
    features = [1.0, *observation]
    if terms == "squares":
        features += [value * value for value in observation]
    if terms == "products":
        features += [observation[i] * observation[j] for i in range(width) for j in range(i, width)]
    features += list(action)
    features += [action[i] * action[j] for i in range(count) for j in range(i, count)]
    features += [observation[i] * action[j] for i in range(width) for j in range(count)]
    return features


@pytest.mark.parametrize("terms", ["linear", "squares", "products"])
def test_iterating_regressions_row_by_row_ends_at_the_fixed_point(terms: str) -> None:
    """Fitted Q evaluation as it is told: regress, bootstrap, again."""
    log = random_log(20, obs_dim=2, action_dim=2, seed=3, leave=1.0)
    rng = np.random.default_rng(4)
    policy = LinearPolicy(rng.uniform(-0.1, 0.1, (2, 2)), np.array([0.2, -0.1]))
    gamma, ridge = 0.5, 0.1
    mean, scale = log.observations.mean(axis=0), log.observations.std(axis=0)
    now, then = [], []
    for row in range(20):
        seen = (log.observations[row] - mean) / scale
        now.append(naive_features(seen, log.actions[row], terms))
        action = policy.predict(log.next_observations[row : row + 1].astype(np.float32))[0][0]
        seen = (log.next_observations[row] - mean) / scale
        then.append(naive_features(seen, action.astype(np.float64), terms))
    design = np.array(now)
    # Ridge as made-up rows: 20 * ridge of squared coefficients beside 20 squared errors.
    made_up = np.sqrt(20 * ridge) * np.eye(design.shape[1])[1:]
    theta = np.zeros(design.shape[1])
    for _ in range(300):
        targets = [
            log.rewards[row]
            + (0.0 if log.terminated[row] else gamma * float(np.dot(then[row], theta)))
            for row in range(20)
        ]
        outcome = np.concatenate([targets, np.zeros(len(made_up))])
        theta = np.linalg.lstsq(np.vstack([design, made_up]), outcome, rcond=None)[0]
    config = LeastSquaresConfig(gamma, ridge, terms)  # type: ignore[arg-type]
    q = least_squares_q(log, policy, config)
    assert q.spectral_radius < 1.0
    np.testing.assert_allclose(q.coefficients, theta, atol=1e-8)


def test_features_of_a_constant_action_factor() -> None:
    log = random_log(30, obs_dim=3, action_dim=2, seed=0)
    for terms in ("linear", "squares", "products"):
        features = QuadraticFeatures.of(log, terms)
        action = np.array([0.3, -0.7])
        joint = features.joint(log.observations, np.tile(action, (30, 1)))
        assert joint.shape == (30, features.count)
        state = features.state(log.observations)
        np.testing.assert_allclose(joint, state @ features.at_action(action), atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(
    length=st.integers(1, 6),
    shift=st.floats(-10.0, 10.0),
    gamma=st.floats(0.0, 1.0),
    seed=st.integers(0, 1000),
)
def test_a_constant_on_every_reward_adds_its_annuity(
    length: int, shift: float, gamma: float, seed: int
) -> None:
    """Sessions of equal length that are left: shift (1 + gamma + ... + gamma^(length - 1))."""
    log, policy = sessions_of([length] * 60, left=True, seed=seed), constant_policy(length, 0.3)
    config = LeastSquaresConfig(gamma=gamma, ridge=1e-9)
    values = [
        least_squares_q(rows, policy, config).value(log.first_observations, policy)
        for rows in (log, replace(log, rewards=log.rewards + shift))
    ]
    annuity = sum(gamma**step for step in range(length))
    assert values[1] - values[0] == pytest.approx(shift * annuity, abs=1e-4)


@settings(max_examples=20, deadline=None)
@given(factor=st.floats(-100.0, 100.0), shift=st.floats(-5.0, 5.0), seed=st.integers(0, 1000))
def test_scale_and_shift_of_rewards_without_an_end(factor: float, shift: float, seed: int) -> None:
    """Nothing ends: factor r + shift is worth factor V + shift / (1 - gamma)."""
    log = random_log(200, obs_dim=2, action_dim=2, seed=seed, leave=0.0)
    policy, config = constant_policy(2, 0.1, -0.2), LeastSquaresConfig(gamma=0.8)
    first = log.first_observations
    plain = least_squares_q(log, policy, config).value(first, policy)
    changed = replace(log, rewards=factor * log.rewards + shift)
    value = least_squares_q(changed, policy, config).value(first, policy)
    assert value == pytest.approx(factor * plain + 5.0 * shift, rel=1e-6, abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000))
def test_the_order_of_sessions_is_irrelevant(seed: int) -> None:
    log = random_log(100, obs_dim=2, action_dim=2, seed=seed)
    policy = constant_policy(2, 0.1, -0.2)
    order = np.random.default_rng(seed).permutation(20)
    shuffled = log.rows(np.concatenate([np.flatnonzero(log.sessions == s) for s in order]))
    coefficients = [least_squares_q(rows, policy).coefficients for rows in (log, shuffled)]
    np.testing.assert_allclose(coefficients[0], coefficients[1], rtol=1e-6, atol=1e-8)


def test_end_at_cut_marks_last_requests_in_any_order() -> None:
    log = sessions_of([3, 1, 2], left=False, seed=0)
    assert end_at_cut(log).terminated.tolist() == [False, False, True, True, False, True]
    order = np.array([5, 0, 3, 2, 4, 1])
    shuffled = end_at_cut(log.rows(order)).terminated
    np.testing.assert_array_equal(shuffled, end_at_cut(log).terminated[order])


def test_collinear_features_are_refused_and_a_ridge_tells_them_apart() -> None:
    log = random_log(100, obs_dim=2, action_dim=1, seed=0)
    doubled = replace(
        log,
        observations=log.observations[:, [0, 0]],
        next_observations=log.next_observations[:, [0, 0]],
    )
    policy = constant_policy(2, 0.1)
    with pytest.raises(DataError, match="features are collinear over these rows"):
        least_squares_q(doubled, policy, LeastSquaresConfig(ridge=0.0))
    assert np.isfinite(least_squares_q(doubled, policy).coefficients).all()


def test_a_policy_without_fixed_point_is_refused() -> None:
    """Every request doubles s, so one linear in s has V(s) = r + gamma 2 V(s): none at .5."""
    states = np.repeat([1.0, -1.0], 3)[:, None]
    log = Transitions(
        observations=states,
        actions=np.tile([-0.5, 0.0, 0.5], 2)[:, None],
        rewards=np.ones(6),
        next_observations=2.0 * states,
        terminated=np.zeros(6, dtype=np.bool_),
        sessions=np.arange(6),
        requests=np.zeros(6, dtype=np.int64),
    )
    with pytest.raises(DataError, match="this policy has no unique fixed point"):
        least_squares_q(log, constant_policy(1, 0.5), LeastSquaresConfig(gamma=0.5, ridge=0.0))


def test_bad_policies_and_widths_are_refused() -> None:
    log = random_log(40, obs_dim=2, action_dim=2, seed=0)
    for policy, error, message in (
        (constant_policy(2, 0.1), ShapeError, "the policy's actions must have shape"),
        (constant_policy(2, np.nan, 0.0), DataError, "the policy's actions must be finite"),
        (constant_policy(2, 0.0, 1.01), DataError, "the policy's actions must be in [-1, 1]"),
    ):
        with pytest.raises(error, match=re.escape(message)):
            least_squares_q(log, policy)
    q = least_squares_q(log, constant_policy(2, 0.1, 0.2))
    with pytest.raises(DataError, match="the first observation of at least one session, got none"):
        q.value(np.zeros((0, 2)), constant_policy(2, 0.1, 0.2))
    with pytest.raises(ShapeError, match=re.escape("(rows, obs_dim) = (5, 2), got (5, 3)")):
        q.q(np.zeros((5, 3)), np.zeros((5, 2)))
    with pytest.raises(ShapeError, match=re.escape("(rows, action_dim) = (5, 2), got (5, 1)")):
        q.q(np.zeros((5, 2)), np.zeros((5, 1)))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("gamma", 1.5, "gamma must be in [0, 1], got 1.5"),
        ("ridge", -1.0, "ridge must be at least 0, got -1.0"),
        ("observation_terms", "cubic", "must be one of linear, squares, products, got 'cubic'"),
    ],
)
def test_settings_out_of_range(field: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        replace(LeastSquaresConfig(), **{field: value})  # type: ignore[arg-type]


def test_evaluation_imports_no_torch() -> None:
    code = "import sys, mtf_rl.evaluation; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
