"""Intervals against SciPy, a naive sandwich, and their own promise of coverage."""

import re

import numpy as np
import pytest
from scipy import stats

from mtf_rl.core.errors import ShapeError
from mtf_rl.evaluation import (
    mean_interval,
    quantile_interval,
    ratio_interval,
)


def test_one_row_a_cluster_is_the_t_interval() -> None:
    values = np.random.default_rng(0).gamma(2.0, size=40)
    interval = mean_interval(values, np.arange(40))
    low, high = stats.t.interval(0.95, 39, loc=values.mean(), scale=stats.sem(values))
    assert (interval.low, interval.high) == pytest.approx((low, high))


def test_clusters_against_a_naive_sandwich() -> None:
    generator = np.random.default_rng(1)
    users = generator.integers(0, 7, size=60)
    values = generator.normal(size=60) + users
    mean = values.mean()
    meat = sum(((values - mean)[users == user].sum()) ** 2 for user in np.unique(users))
    error = np.sqrt(7 / 6 * meat) / 60
    interval = mean_interval(values, users)
    assert interval.high - interval.mean == pytest.approx(stats.t.ppf(0.975, 6) * error)


def test_coverage_with_correlated_sessions() -> None:
    generator = np.random.default_rng(2)
    covered, naive = 0, 0
    users = np.repeat(np.arange(60), 5)
    for _ in range(600):
        values = generator.normal(size=60)[users] + generator.normal(size=300)
        interval = mean_interval(values, users)
        covered += interval.low <= 0.0 <= interval.high
        rows = mean_interval(values, np.arange(300))
        naive += rows.low <= 0.0 <= rows.high
    assert 0.92 <= covered / 600 <= 0.98
    assert naive / 600 < 0.80


def test_too_few_clusters_give_an_infinite_interval() -> None:
    assert mean_interval(np.array([3.0]), np.array([0])).low == -np.inf
    assert not mean_interval(np.array([3.0]), np.array([0])).excludes_zero
    with pytest.raises(ShapeError, match=re.escape("at least 1 row, got (0,) and (0,)")):
        mean_interval(np.array([]), np.array([]))


def test_a_ratio_by_hand() -> None:
    # Likes of 1 and 3 among clicks of 4 and 4: 4 / 8. Deviations from it: 1 - 2 and 3 - 2.
    interval = ratio_interval(np.array([1.0, 3.0]), np.array([4.0, 4.0]), np.array([0, 1]))
    half = stats.t.ppf(0.975, 1) * np.sqrt(2 / 1 * (1 + 1)) / 8
    assert interval.mean == 0.5
    assert interval.high - interval.mean == pytest.approx(half)
    assert interval.holds(0.5)
    assert not interval.holds(0.5 + 1.01 * half)


def test_a_ratio_over_rows_is_a_mean() -> None:
    generator = np.random.default_rng(3)
    values, users = generator.normal(size=80), generator.integers(0, 9, size=80)
    ratio, mean = ratio_interval(values, np.ones(80), users), mean_interval(values, users)
    assert (ratio.mean, ratio.low, ratio.high) == pytest.approx((mean.mean, mean.low, mean.high))


def test_clusters_that_do_not_count_change_nothing() -> None:
    generator = np.random.default_rng(4)
    values, users = generator.normal(size=80), generator.integers(0, 9, size=80)
    counted = (generator.random(80) < 0.5).astype(float)
    fewer = ratio_interval(values * counted, counted, users)
    chosen = counted > 0
    expected = mean_interval(values[chosen], users[chosen])
    assert (fewer.low, fewer.high) == pytest.approx((expected.low, expected.high))
    more = ratio_interval(
        np.append(values * counted, np.zeros(5)), np.append(counted, np.zeros(5)),
        np.append(users, np.arange(20, 25)),
    )  # fmt: skip
    assert more == fewer
    assert np.isnan(ratio_interval(values, np.zeros(80), users).mean)


def test_a_quantile_by_hand_and_its_coverage() -> None:
    assert quantile_interval(np.arange(5.0), np.arange(5), 0.5).mean == 2.0
    assert np.isnan(quantile_interval(np.zeros(0), np.zeros(0, dtype=int), 0.5).mean)
    generator = np.random.default_rng(5)
    users = np.repeat(np.arange(50), 6)
    covered = 0
    for _ in range(400):
        values = generator.normal(size=50)[users] + generator.normal(size=300)
        covered += quantile_interval(values, users, 0.75).holds(stats.norm.ppf(0.75) * np.sqrt(2))
    assert 0.90 <= covered / 400 <= 0.98
