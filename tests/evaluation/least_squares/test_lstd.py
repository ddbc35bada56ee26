"""The one solution of LSTD-Q, and its agreement wherever it is used."""

import numpy as np
import pytest

from mtf_rl.agents import ConstantPolicy, UniformRandom, collect
from mtf_rl.agents.lspi.critic import CriticEvaluation
from mtf_rl.core.errors import DataError
from mtf_rl.data import Transitions
from mtf_rl.envs import toy_dynamics
from mtf_rl.evaluation import LeastSquaresConfig, end_at_cut, least_squares_q
from mtf_rl.evaluation.least_squares import QuadraticFeatures, TransitionSums, solve_lstd_q
from mtf_rl.evaluation.off_policy import LoggedSessions, ModelConfig, SessionModel


def test_by_hand() -> None:
    """Two rows, one feature: A = (1 + 4) / 2 + 0.5 - 0.5 (1 * 2 + 0) / 2 = 2.5, b = (3 + 8) / 2."""
    sums = TransitionSums(np.array([[5.0]]), np.array([[2.0]]), np.array([11.0]), 2)
    found = solve_lstd_q(sums, gamma=0.5, penalty=np.array([0.5]), what="this policy")
    assert found.coefficients == pytest.approx([5.5 / 2.5])
    assert found.inverse == pytest.approx(np.array([[1.0 / 2.5]]))


def test_a_loop_over_rows_gives_the_same() -> None:
    rng = np.random.default_rng(0)
    now, then = rng.normal(size=(2, 50, 4))
    rewards, ended = rng.normal(size=50), rng.random(50) < 0.2
    then[ended] = 0.0
    sums = TransitionSums(now.T @ now, now.T @ then, now.T @ rewards, 50)
    penalty = np.array([0.0, 0.1, 0.1, 0.1])
    found = solve_lstd_q(sums, gamma=0.9, penalty=penalty, what="this policy")
    matrix, target = np.diag(penalty), np.zeros(4)
    for row in range(50):
        matrix = matrix + np.outer(now[row], now[row] - 0.9 * then[row]) / 50
        target += now[row] * rewards[row] / 50
    np.testing.assert_allclose(found.coefficients, np.linalg.solve(matrix, target), rtol=1e-10)


def test_what_has_no_fixed_point_is_refused() -> None:
    sums = TransitionSums(np.ones((1, 1)), np.ones((1, 1)), np.ones(1), 1)
    with pytest.raises(DataError, match="Q of policy 3 has no unique fixed point"):
        solve_lstd_q(sums, gamma=1.0, penalty=np.zeros(1), what="policy 3")


def test_fitted_q_the_agents_critic_and_off_policy_evaluation_agree() -> None:
    """The same features, rows and ridge: the same Q, however the rows are summed."""
    batch = collect(toy_dynamics(), UniformRandom(8), requests=3_000, seed=3)
    rows = end_at_cut(Transitions.of(batch))
    action = np.linspace(-0.9, 0.9, 8, dtype=np.float32)
    policy, ridge = ConstantPolicy(action), 1e-3
    config = LeastSquaresConfig(gamma=1.0, ridge=ridge, observation_terms="squares")
    fitted = least_squares_q(rows, policy, config)
    critic = CriticEvaluation(rows, QuadraticFeatures.of(rows, "squares"), gamma=1.0, ridge=ridge)
    part = fitted.coefficients[fitted.features.state_count :]
    np.testing.assert_allclose(critic.of(policy).coefficients, part, rtol=1e-7, atol=1e-9)
    logged = LoggedSessions(batch)
    model = SessionModel(logged, ModelConfig(ridge=ridge, crossed=True))
    inputs = model.direct([np.broadcast_to(action, batch.actions.shape)])
    assert inputs.q is not None
    expected = logged.padded(fitted.q(batch.observations, batch.actions), fill=0.0)
    np.testing.assert_allclose(inputs.q, expected, rtol=1e-6, atol=1e-6)
