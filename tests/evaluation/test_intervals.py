"""Intervals against SciPy, a naive sandwich, and their own promise of coverage."""

import re

import numpy as np
import pytest
from scipy import stats

from mtf_rl.core.errors import ShapeError
from mtf_rl.evaluation import mean_interval


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


def test_too_little_to_say() -> None:
    assert mean_interval(np.array([3.0]), np.array([0])).low == -np.inf
    assert not mean_interval(np.array([3.0]), np.array([0])).excludes_zero
    with pytest.raises(ShapeError, match=re.escape("at least 1 row, got (0,) and (0,)")):
        mean_interval(np.array([]), np.array([]))
