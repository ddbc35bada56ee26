"""Q, V and visits that are fitted to logged sessions."""

from dataclasses import replace

import numpy as np
import pytest
from typing_extensions import override

from mtf_rl.agents import ConstantPolicy, UniformRandom, collect
from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.errors import ConfigError, DataError
from mtf_rl.data import BatchDataset
from mtf_rl.envs import toy_dynamics
from mtf_rl.evaluation import roll_out
from mtf_rl.evaluation.off_policy import (
    ESTIMATORS,
    DensityTarget,
    LoggedSessions,
    ModelConfig,
    ProductKernel,
    SmoothedTarget,
    estimate_sum,
    evidence_of,
    log_ratios,
)


class UniformTarget(DensityTarget):
    """The behaviour of the toy's log."""

    @override
    def log_density(self, observations: FloatArray, actions: FloatArray) -> FloatArray:
        return np.full(len(actions), -actions.shape[1] * np.log(2.0))

    @override
    def draws(
        self, observations: FloatArray, rng: np.random.Generator, count: int
    ) -> list[FloatArray]:
        return [rng.uniform(-1.0, 1.0, (len(observations), 8)) for _ in range(count)]


@pytest.fixture(scope="module", name="batch")
def toy_batch() -> BatchDataset:
    return collect(toy_dynamics(), UniformRandom(8), requests=12_000, seed=2)


@pytest.mark.parametrize("gamma", [1.0, 0.5])
def test_the_behaviours_value_is_found_by_all(batch: BatchDataset, gamma: float) -> None:
    logged = LoggedSessions(batch)
    evidence = evidence_of(
        logged, UniformTarget(), ModelConfig(gamma=gamma), np.random.default_rng(0)
    )
    discounts = gamma ** np.arange(logged.rewards.shape[1])
    mean = float((logged.rewards @ discounts).mean())
    assert np.abs(evidence.log_ratios).max() < 1e-9
    for name in ESTIMATORS:
        assert estimate_sum(name, evidence).value == pytest.approx(mean, rel=0.03), name


def test_a_better_policy_is_known_for_better(batch: BatchDataset) -> None:
    """Weight on the one task that counts against weight on another, in a log of random actions.

    A quadratic knows the direction, not how steep the way into a corner of the box becomes.
    """
    logged = LoggedSessions(batch)
    found, true = [], []
    for place in (2, 0):  # like, click
        action = np.array([-1, -1, -1, -1, -1, -1, 1, -1], dtype=np.float32)
        action[place] = 1.0
        policy = ConstantPolicy(action)
        target = SmoothedTarget(policy, ProductKernel(np.full(8, 0.5)))
        evidence = evidence_of(logged, target, ModelConfig(), np.random.default_rng(0))
        found.append(estimate_sum("dm", evidence).value)
        sessions = roll_out(toy_dynamics(), policy, seed=9, episodes=np.arange(2_000))
        true.append(float(sessions.reward.mean()))
    assert true[0] > 1.2 * true[1]
    assert found[0] > found[1]


def test_sessions_of_any_length_are_padded(batch: BatchDataset) -> None:
    logged = LoggedSessions(batch)
    assert logged.count == len(np.unique(batch.sessions))
    assert logged.lengths.sum() == len(batch.rewards)
    assert logged.lengths.min() < logged.lengths.max() == logged.rewards.shape[1]
    expected = np.bincount(batch.sessions, weights=batch.rewards)
    np.testing.assert_allclose(logged.session_rewards, expected, rtol=1e-5)


def test_what_cannot_be_weighed_is_refused(batch: BatchDataset) -> None:
    logged = LoggedSessions(batch)
    unknown = batch.log_densities.copy()
    unknown[7] = np.nan
    with pytest.raises(DataError, match=r"log_densities must be known.*; row 7 breaks this"):
        LoggedSessions(replace(batch, log_densities=unknown))

    class EachEntry(UniformTarget):
        """A regression: public code takes a joint density for one of each entry."""

        @override
        def log_density(self, observations: FloatArray, actions: FloatArray) -> FloatArray:
            return np.zeros(actions.shape)

    with pytest.raises(DataError, match="the joint density of an action, not one for each entry"):
        log_ratios(logged, EachEntry())

    class Broken(UniformTarget):
        @override
        def log_density(self, observations: FloatArray, actions: FloatArray) -> FloatArray:
            return np.where(np.arange(len(actions)) == 3, np.nan, 0.0)

    with pytest.raises(DataError, match="must be a number or -inf, got nan in row 3"):
        log_ratios(logged, Broken())
    with pytest.raises(ConfigError, match="ridge must be above 0, got 0"):
        ModelConfig(ridge=0.0)
