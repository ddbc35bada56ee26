"""Behaviour policies: densities against integrals and draws; mixtures draw once per session."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from mtf_rl.agents import ConstantPolicy
from mtf_rl.agents.behaviour import (
    BehaviourPolicy,
    BoundedUniform,
    LoggedActions,
    Mixture,
    TruncatedGaussian,
    UniformRandom,
    truncated_log_density,
)
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.randomness import EpisodeRng

BASE = ConstantPolicy(np.array([0.0, 0.95, -0.5], dtype=np.float32))
POLICIES: list[BehaviourPolicy] = [
    UniformRandom(3),
    TruncatedGaussian(BASE, 0.2),
    BoundedUniform(BASE, 0.15),
    Mixture((UniformRandom(3), TruncatedGaussian(BASE, 0.2), BoundedUniform(BASE)), (1, 2, 1)),
]


def rng_of(count: int, request: int = 0, seed: int = 5) -> EpisodeRng:
    return EpisodeRng(seed, np.arange(count), np.full(count, request))


@pytest.mark.parametrize("policy", POLICIES, ids=[policy.names[-1] for policy in POLICIES])
def test_actions_are_in_bounds_and_do_not_depend_on_the_batch(policy: BehaviourPolicy) -> None:
    observation = np.zeros((50, 2), dtype=np.float32)
    together = policy.choose(observation, rng_of(50))
    assert np.abs(together.actions).max() <= 1.0
    assert together.actions.dtype == np.float32
    assert np.isfinite(together.log_densities).all()
    alone = policy.choose(observation[:1], EpisodeRng(5, np.array([17]), np.array([0])))
    np.testing.assert_array_equal(alone.actions[0], together.actions[17])
    assert alone.log_densities[0] == together.log_densities[17]
    later = policy.choose(observation, rng_of(50, request=1))
    assert (later.actions != together.actions).any()


def test_logged_actions_repeat_sessions_and_start_over() -> None:
    rows, starts = 12, np.array([0, 3, 7])
    actions = np.linspace(-1.0, 1.0, 2 * rows).reshape(rows, 2).astype(np.float32)
    densities = np.arange(rows, dtype=np.float64)
    policy = LoggedActions(actions, densities, starts)
    observation = np.zeros((400, 1), dtype=np.float32)
    first = policy.choose(observation, rng_of(400))
    followed = first.log_densities.astype(int)
    counts = np.bincount(followed, minlength=rows)
    assert set(np.flatnonzero(counts)) == {0, 3, 7}
    assert counts[starts].min() > 90  # expected 133 each, within five standard errors
    for request in (1, 5, 11):
        later = policy.choose(observation, rng_of(400, request=request))
        lengths = np.select([followed == 0, followed == 3], [3, 4], default=5)
        expected = followed + request % lengths
        np.testing.assert_array_equal(later.log_densities, expected)
        np.testing.assert_array_equal(later.actions, actions[expected])
    with pytest.raises(ConfigError, match="at least one session, got none"):
        LoggedActions(actions[:0], densities[:0], starts[:0])


def test_uniform_density_by_hand() -> None:
    choice = UniformRandom(3).choose(np.zeros((4, 1)), rng_of(4))
    np.testing.assert_allclose(choice.log_densities, np.log(1 / 8))


def test_bounded_uniform_density_by_hand() -> None:
    choice = BoundedUniform(BASE, 0.15).choose(np.zeros((2000, 1)), rng_of(2000))
    # Widths: 0.3; 1 - 0.8 = 0.2 at the border; 0.3.
    np.testing.assert_allclose(choice.log_densities, -np.log(0.3 * 0.2 * 0.3), rtol=1e-6)
    assert choice.actions[:, 1].min() == pytest.approx(0.8, abs=1e-3)
    assert choice.actions[:, 1].max() == pytest.approx(1.0, abs=1e-3)


@given(st.floats(-1.0, 1.0), st.floats(0.05, 3.0))
def test_the_truncated_density_equals_scipys_and_integrates_to_one(mean: float, sd: float) -> None:
    actions = np.linspace(-1.0, 1.0, 201)[:, None]
    centre = np.full_like(actions, mean)
    found = truncated_log_density(actions, centre, sd)
    expected = stats.truncnorm.logpdf(
        actions[:, 0], (-1.0 - mean) / sd, (1.0 - mean) / sd, loc=mean, scale=sd
    )
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)
    total = integrate.quad(
        lambda a: float(np.exp(truncated_log_density(np.array([[a]]), centre[:1], sd)[0])),
        -1.0,
        1.0,
        points=[mean],
    )[0]
    assert total == pytest.approx(1.0, abs=1e-5)


def test_draws_follow_the_density() -> None:
    choice = TruncatedGaussian(BASE, 0.3).choose(np.zeros((20_000, 1)), rng_of(20_000))
    for column, mean in enumerate([0.0, 0.95, -0.5]):
        law = stats.truncnorm((-1 - mean) / 0.3, (1 - mean) / 0.3, loc=mean, scale=0.3)
        assert stats.kstest(choice.actions[:, column], law.cdf).pvalue > 1e-3
    # E[1 / p] is the volume of the box for every density on it.
    weights = np.exp(
        -TruncatedGaussian(BASE, 1.0).choose(np.zeros((20_000, 1)), rng_of(20_000)).log_densities
    )
    assert weights.mean() == pytest.approx(8.0, rel=0.03)


def test_a_session_follows_one_member_and_has_its_density() -> None:
    members = (UniformRandom(3), TruncatedGaussian(BASE, 0.2), BoundedUniform(BASE))
    mix = Mixture(members, (1.0, 2.0, 1.0))
    assert mix.names == ("uniform_random", "truncated_gaussian", "bounded_uniform")
    observation = np.zeros((4000, 1))
    first, later = (mix.choose(observation, rng_of(4000, request)) for request in (0, 7))
    np.testing.assert_array_equal(first.behaviours, later.behaviours)
    fractions = np.bincount(first.behaviours) / 4000
    np.testing.assert_allclose(fractions, [0.25, 0.5, 0.25], atol=0.03)
    for number, member in enumerate(members):
        theirs, rows = member.choose(observation, rng_of(4000, 7)), later.behaviours == number
        np.testing.assert_array_equal(later.actions[rows], theirs.actions[rows])
        np.testing.assert_array_equal(later.log_densities[rows], theirs.log_densities[rows])


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match=re.escape("action_dim must be at least 1, got 0")):
        UniformRandom(0)
    with pytest.raises(ConfigError, match=re.escape("std must be positive, got 0.0")):
        TruncatedGaussian(BASE, 0.0)
    with pytest.raises(ConfigError, match=re.escape("radius must be in (0, 2], got 3.0")):
        BoundedUniform(BASE, 3.0)
    with pytest.raises(ConfigError, match=re.escape("positive fraction for each of its 1 members")):
        Mixture((UniformRandom(2),), (1.0, 2.0))
