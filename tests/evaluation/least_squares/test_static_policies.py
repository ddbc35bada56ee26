"""Static policies by their small systems, against the system of each policy on its own."""

import re
from dataclasses import replace

import numpy as np
import pytest

from mtf_rl.core.errors import DataError, ShapeError
from mtf_rl.evaluation import LeastSquaresConfig, least_squares_q, static_policies
from tests.evaluation.decision_processes import chain, constant_policy, random_log


@pytest.mark.parametrize("terms", ["linear", "squares", "products"])
@pytest.mark.parametrize("gamma", [0.0, 0.9, 1.0])
def test_equal_to_the_system_of_each_policy(terms: str, gamma: float) -> None:
    """10,000 rows: more than one chunk."""
    log = random_log(10_000, obs_dim=4, action_dim=3, seed=0, leave=0.9)
    config = LeastSquaresConfig(gamma=gamma, observation_terms=terms)  # type: ignore[arg-type]
    actions = np.random.default_rng(1).uniform(-1.0, 1.0, (5, 3)).astype(np.float32)
    first = log.first_observations
    many = static_policies(log, config).evaluate(actions, first)
    for number, action in enumerate(actions):
        policy = constant_policy(4, *action)
        one = least_squares_q(log, policy, config)
        np.testing.assert_allclose(many.coefficients[number], one.coefficients, atol=1e-10)
        assert many.values[number] == pytest.approx(one.value(first, policy), abs=1e-10)
        assert many.spectral_radii[number] == pytest.approx(one.spectral_radius, abs=1e-6)


def test_the_best_static_action_of_a_chain() -> None:
    """r = state + action: worth w + g (1 + w), largest at w = 1."""
    log = chain(40, left=True)
    actions = np.linspace(-1.0, 1.0, 21)[:, None]
    evaluator = static_policies(log, LeastSquaresConfig(gamma=0.9, ridge=0.0))
    values = evaluator.evaluate(actions, log.first_observations).values
    np.testing.assert_allclose(values, actions[:, 0] + 0.9 * (1.0 + actions[:, 0]))


def test_refusals_name_the_policy() -> None:
    log = chain(40, left=False)
    evaluator = static_policies(log, LeastSquaresConfig(gamma=0.9))
    first = log.first_observations
    with pytest.raises(DataError, match=re.escape("static actions must be in [-1, 1]; row 1")):
        evaluator.evaluate(np.array([[0.0], [np.nan]]), first)
    with pytest.raises(ShapeError, match=re.escape("(policies, action_dim) = (1, 1)")):
        evaluator.evaluate(np.zeros((1, 2)), first)
    with pytest.raises(ShapeError, match=re.escape("(rows, obs_dim) = (3, 1), got (3, 2)")):
        evaluator.evaluate(np.zeros((1, 1)), np.zeros((3, 2)))
    with pytest.raises(DataError, match="none of the 40 rows is terminated"):
        static_policies(log, LeastSquaresConfig(gamma=1.0))
    endless = replace(evaluator, gamma=1.0)
    with pytest.raises(DataError, match="Q of static policy 0 has no unique fixed point"):
        endless.evaluate(np.zeros((1, 1)), first)
