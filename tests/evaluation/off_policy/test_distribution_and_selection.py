"""The distribution of rewards under a policy, and how well estimates choose."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtf_rl.core.errors import ConfigError, ShapeError
from mtf_rl.evaluation.off_policy import (
    rank_correlation,
    regret,
    reward_distribution,
    sharpe_ratio,
)
from tests.evaluation.off_policy.enumerated import TARGET, inputs, value

REWARDS = np.array([3.0, 1.0, 2.0, 4.0])


def test_equal_weights_give_the_empirical_distribution() -> None:
    found = reward_distribution(REWARDS, np.ones(4))
    assert found.mean == REWARDS.mean()
    assert found.variance == pytest.approx(REWARDS.var())
    assert [found.quantile(fraction) for fraction in (0.25, 0.5, 0.75, 1.0)] == [1.0, 2.0, 3.0, 4.0]
    # The worst half is (1 + 2) / 2: a half of the integral alone would be 0.75.
    assert found.cvar(0.5) == pytest.approx(1.5)
    assert found.cvar(1.0) == pytest.approx(REWARDS.mean())
    assert found.cvar(0.375) == pytest.approx((0.25 * 1.0 + 0.125 * 2.0) / 0.375)


def test_weights_by_hand() -> None:
    found = reward_distribution(REWARDS, np.array([1.0, 3.0, 0.0, 0.0]))
    assert found.mean == pytest.approx(1.5)
    assert found.quantile(0.75) == 1.0
    plain = reward_distribution(REWARDS, np.array([1.0, 2.0, 0.0, 0.0]), normalised=False)
    np.testing.assert_allclose(plain.cdf, [0.5, 0.5, 0.75, 1.0])
    with pytest.raises(ConfigError, match="weight of at least one session must be above 0"):
        reward_distribution(REWARDS, np.zeros(4))
    with pytest.raises(ConfigError, match=re.escape("fraction must be in (0, 1], got 0")):
        found.cvar(0.0)


def test_the_targets_distribution_is_exact_on_all_sessions() -> None:
    """Its mean is J; and F at every reward is the probability of reaching no more."""
    everyone = inputs()
    rewards = everyone.rewards.sum(axis=1)
    found = reward_distribution(rewards, everyone.weights[:, -1])
    assert found.mean == pytest.approx(value(1.0, TARGET), abs=1e-12)
    threshold = float(np.median(rewards))
    fraction = (everyone.weights[:, -1] * (rewards <= threshold)).mean()
    position = int(np.searchsorted(found.rewards, threshold, side="right")) - 1
    assert found.cdf[position] == pytest.approx(fraction, abs=1e-12)


@given(st.lists(st.tuples(st.floats(-5.0, 5.0), st.floats(0.01, 9.0)), min_size=1, max_size=20))
def test_it_is_a_distribution(pairs: list[tuple[float, float]]) -> None:
    rewards, weights = np.array(pairs).T
    found = reward_distribution(rewards, weights)
    assert (np.diff(found.cdf) >= -1e-12).all()
    assert found.cdf[-1] == 1.0
    assert found.mean == pytest.approx(np.average(rewards, weights=weights), abs=1e-9)
    assert found.cvar(0.3) <= found.mean + 1e-9


def test_choosing_by_hand() -> None:
    estimates = np.array([1.0, 3.0, 2.0, 0.0])
    values = np.array([10.0, 7.0, 9.0, 8.0])
    assert regret(estimates, values, k=1) == 3.0
    assert regret(estimates, values, k=2) == 1.0
    assert regret(estimates, values, k=4) == 0.0
    assert rank_correlation(estimates, values) == pytest.approx(-0.4)  # 1 - 6 * 14 / (4 * 15)
    # Top 2: values 7 and 9, deviation 1 (dividing by k); the best is 1 above the behaviour's 8.
    assert sharpe_ratio(estimates, values, 2, behaviour=8.0) == pytest.approx(1.0)
    assert np.isnan(sharpe_ratio(estimates, values, 1, behaviour=8.0))
    assert np.isnan(rank_correlation(np.ones(4), values))
    with pytest.raises(ConfigError, match=re.escape("k must be in [1, 4], got 5")):
        regret(estimates, values, k=5)
    with pytest.raises(ShapeError, match="estimates must have shape"):
        regret(estimates[:2], values)
