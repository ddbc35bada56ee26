"""Intervals of estimates: worked examples, other implementations, coverage by simulation."""

import re

import numpy as np
import pytest
from scipy import stats
from scipy.stats import ttest_rel

from mtf_rl.core.errors import ConfigError
from mtf_rl.evaluation.off_policy import (
    RatioSum,
    bernstein_interval,
    bootstrap_intervals,
    t_interval,
)

REPETITIONS, SESSIONS = 2_000, 50


def test_the_t_interval_is_scipys_and_two_sided() -> None:
    """A regression: public code takes the one-sided quantile, so that 95 % covers 90 %."""
    values = np.random.default_rng(0).normal(size=30)
    found = t_interval(RatioSum.mean(values))
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_bernstein_by_hand() -> None:
    values = np.array([0.0, 1.0, 1.0, 0.0] * 25)
    log = np.log(4.0 / 0.05)
    half = np.sqrt(2.0 * (25.0 / 99.0) * log / 100.0) + 7.0 * log / (3.0 * 99.0)
    found = bernstein_interval(values, low=0.0, high=1.0)
    assert (found.low, found.high) == pytest.approx((0.5 - half, 0.5 + half))


def test_bernstein_does_not_depend_on_the_sign() -> None:
    """A regression: public code scales by the largest value, which narrows negative rewards."""
    values = np.random.default_rng(1).uniform(size=100)
    up = bernstein_interval(values, low=0.0, high=1.0)
    down = bernstein_interval(-values, low=-1.0, high=0.0)
    assert (down.low, down.high) == pytest.approx((-up.high, -up.low))
    with pytest.raises(ConfigError, match=re.escape("must be in the range [0, 0.5], got")):
        bernstein_interval(values, low=0.0, high=0.5)


def test_intervals_shrink_with_the_sessions() -> None:
    """A regression: public code's Hoeffding half-width grows with n."""
    rng = np.random.default_rng(2)
    widths = []
    for count in (100, 10_000):
        found = bernstein_interval(rng.uniform(size=count), low=0.0, high=1.0)
        widths.append(found.high - found.low)
    assert widths[1] < widths[0] / 5.0


def test_the_bootstrap_of_a_ratio_by_a_loop() -> None:
    rng = np.random.default_rng(3)
    tops, bottoms = rng.uniform(1.0, 2.0, (2, 40, 3))
    part = RatioSum(tops, bottoms)
    (found,) = bootstrap_intervals([part], np.random.default_rng(7), resamples=4_000)
    loop = np.random.default_rng(8)
    drawn = []
    for _ in range(4_000):
        rows = loop.integers(40, size=40)
        drawn.append((tops[rows].sum(axis=0) / bottoms[rows].sum(axis=0)).sum())
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.02)
    assert found.mean == part.value


def test_estimates_of_the_same_sessions_are_resampled_together() -> None:
    values = np.random.default_rng(4).normal(size=60)
    weights = np.ones((60, 1))
    alone = bootstrap_intervals([RatioSum.mean(values)], np.random.default_rng(1))
    both = bootstrap_intervals(
        [RatioSum.mean(values), RatioSum(values[:, None], weights)], np.random.default_rng(1)
    )
    assert (both[0].low, both[0].high) == pytest.approx((alone[0].low, alone[0].high))
    # A ratio with weights of 1 is the mean, in every resample.
    assert (both[1].low, both[1].high) == pytest.approx((both[0].low, both[0].high))


def test_the_linearised_interval_of_a_ratio_is_the_bootstraps() -> None:
    rng = np.random.default_rng(5)
    weights = rng.lognormal(size=(2_000, 4))
    part = RatioSum(weights * rng.normal(1.0, 1.0, size=(2_000, 4)), weights)
    (resampled,) = bootstrap_intervals([part], rng, resamples=4_000)
    linear = t_interval(part)
    assert linear.high - linear.low == pytest.approx(resampled.high - resampled.low, rel=0.1)
    assert part.influence.mean() == pytest.approx(part.value)


def test_what_is_taken_off_is_paired() -> None:
    rng = np.random.default_rng(8)
    values = rng.normal(size=80)
    beside = values + 0.1 * rng.normal(size=80)
    found = t_interval(RatioSum.mean(values), less=beside)
    expected = ttest_rel(values, beside).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_columns_add_up() -> None:
    rng = np.random.default_rng(4)
    weights = rng.uniform(1.0, 2.0, (30, 3))
    part = RatioSum(weights * rng.normal(size=(30, 3)), weights)
    assert part.influences.mean(axis=0) == pytest.approx(part.values)
    np.testing.assert_allclose(part.influence, part.influences.sum(axis=1))
    assert part.value == pytest.approx(part.values.sum())


def test_weights_as_small_as_numbers_get_have_an_interval() -> None:
    rng = np.random.default_rng(2)
    weights = rng.uniform(1.0, 2.0, (30, 2))
    values = rng.normal(size=(30, 2))
    plain = RatioSum(weights * values, weights)
    tiny = RatioSum(1e-306 * weights * values, 1e-306 * weights)
    np.testing.assert_allclose(tiny.influence, plain.influence, rtol=1e-6)


def test_a_ratio_times_a_mean_by_a_loop() -> None:
    rng = np.random.default_rng(9)
    tops, bottoms, factors = rng.uniform(1.0, 2.0, (3, 40, 2))
    part = RatioSum(tops, bottoms, factors)
    value = sum(tops[:, c].sum() / bottoms[:, c].sum() * factors[:, c].mean() for c in (0, 1))
    assert part.value == pytest.approx(value)
    assert part.influence.mean() == pytest.approx(value)
    (found,) = bootstrap_intervals([part], np.random.default_rng(7), resamples=4_000)
    drawn = []
    for _ in range(4_000):
        rows = rng.integers(40, size=40)
        ratios = tops[rows].sum(axis=0) / bottoms[rows].sum(axis=0)
        drawn.append((ratios * factors[rows].mean(axis=0)).sum())
    assert (found.low, found.high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.02)
    linear = t_interval(part)
    assert linear.high - linear.low == pytest.approx(found.high - found.low, rel=0.15)
    # Beside a plain mean, whose factors and denominators are ones.
    plain = rng.normal(size=40)
    both = part.plus(RatioSum.mean(plain))
    assert both.value == pytest.approx(value + plain.mean())
    (resampled,) = bootstrap_intervals([both], rng)
    assert resampled.low < both.value < resampled.high


@pytest.mark.slow
def test_coverage_by_simulation() -> None:
    """Uniform values: nominal 95 %, 50 sessions, 2,000 repetitions."""
    rng = np.random.default_rng(6)
    held = np.zeros(3)
    for _ in range(REPETITIONS):
        values = rng.uniform(size=SESSIONS)
        part = RatioSum.mean(values)
        (resampled,) = bootstrap_intervals([part], rng, resamples=400)
        bernstein = bernstein_interval(values, low=0.0, high=1.0)
        held += [interval.holds(0.5) for interval in (t_interval(part), resampled, bernstein)]
    t, bootstrap, bernstein_fraction = held / REPETITIONS
    assert 0.935 <= t <= 0.965
    assert 0.935 <= bootstrap <= 0.965
    assert bernstein_fraction >= 0.95


def test_one_session_says_nothing_of_its_spread() -> None:
    found = t_interval(RatioSum.mean(np.array([2.0])))
    assert (found.mean, found.low, found.high) == (2.0, -np.inf, np.inf)
    bounded = bernstein_interval(np.array([0.2]), low=0.0, high=1.0)
    assert (bounded.low, bounded.high) == (0.0, 1.0)
