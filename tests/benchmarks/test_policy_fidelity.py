"""What the measures of policy fidelity say of evaluators whose agreement is known."""

import numpy as np

from benchmarks.policy_fidelity import Values, drawn_users, measures


def values(means: list[float], depths: list[float], sessions: int = 6) -> Values:
    ones = np.ones(sessions)
    return Values(np.outer(means, ones), np.outer(depths, ones), np.arange(sessions))


def test_an_evaluator_that_agrees_in_order_and_halves_the_differences() -> None:
    truth = values([1.0, 2.0, 3.0, 4.0], [8.0, 6.0, 4.0, 2.0])
    evaluated = values([0.5, 1.0, 1.5, 2.0], [2.0, 4.0, 6.0, 8.0])
    once = np.ones(6)
    found = measures(evaluated, truth, (once, once))
    np.testing.assert_allclose(found, [1.0, 0.5, 1.0, -1.0, -1.0, -1.0])


def test_drawn_users_count_as_often_as_there_are() -> None:
    counts = drawn_users(50, np.random.default_rng(0))
    assert counts.sum() == 50
    assert counts.shape == (50,)
