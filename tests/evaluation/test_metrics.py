"""Intervals of every metric and difference, against a naive bootstrap over users."""

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from mtf_rl.agents import ConstantPolicy
from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.envs import toy_dynamics
from mtf_rl.evaluation import (
    Interval,
    Metrics,
    Sessions,
    change_interval,
    linearised_interval,
    mean_interval,
    metric_changes,
    metric_differences,
    metrics_of,
    rate_change_interval,
    rate_difference_interval,
    rate_interval,
    roll_out,
)

Statistic = Callable[[IntArray], float]  # of row numbers, which may repeat


def naive_bootstrap(
    statistic: Statistic, users: IntArray, draws: int = 3_000
) -> tuple[float, float]:
    """The 95 % percentile interval over resampled users, one loop after the other."""
    generator = np.random.default_rng(0)
    rows = [np.flatnonzero(users == user) for user in np.unique(users)]
    values = []
    for _ in range(draws):
        chosen = generator.integers(len(rows), size=len(rows))
        values.append(statistic(np.concatenate([rows[user] for user in chosen])))
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


@pytest.fixture(scope="module", name="pair")
def played() -> tuple[Sessions, Sessions]:
    """Two policies' sessions of 150 users who differ much, on common random numbers."""
    generator = np.random.default_rng(7)
    users = generator.integers(150, size=900)
    taste = generator.gamma(1.0, size=150)[users]
    base = roll_out(
        toy_dynamics(),
        ConstantPolicy(np.zeros(8, dtype=np.float32)),
        seed=0,
        episodes=np.arange(900),
    )
    depth = 1 + generator.poisson(3.0 * taste)

    def sessions(extra: float, likes: float) -> Sessions:
        own_depth = depth + generator.poisson(extra, size=900)
        impressions = 6 * own_depth
        chances = np.clip(likes * taste[:, None] * np.linspace(0.5, 0.02, 7), 0.0, 1.0)
        return replace(
            base,
            users=users,
            depth=own_depth,
            reward=own_depth * (1.0 + 0.3 * taste) + generator.normal(size=900),
            watch_seconds=20.0 * own_depth + generator.exponential(30.0, size=900),
            feedback=generator.binomial(impressions[:, None], chances).astype(float),
            impressions=impressions,
        )

    return sessions(0.6, 0.12), sessions(0.2, 0.15)


def rate(sessions: Sessions, task: int) -> Statistic:
    return lambda rows: float(
        sessions.feedback[rows, task].sum() / sessions.impressions[rows].sum()
    )


def mean(values: FloatArray | IntArray) -> Statistic:
    return lambda rows: float(values[rows].mean())


def difference(first: Statistic, second: Statistic) -> Statistic:
    return lambda rows: first(rows) - second(rows)


def change(first: Statistic, second: Statistic) -> Statistic:
    return lambda rows: first(rows) / second(rows) - 1.0


def assert_agrees(interval: Interval, statistic: Statistic, users: IntArray) -> None:
    assert interval.mean == pytest.approx(statistic(np.arange(len(users))))
    low, high = naive_bootstrap(statistic, users)
    width = high - low
    assert interval.low == pytest.approx(low, abs=0.12 * width)
    assert interval.high == pytest.approx(high, abs=0.12 * width)


def test_values_agree_with_a_bootstrap_over_users(pair: tuple[Sessions, Sessions]) -> None:
    first, _ = pair
    found = metrics_of(first)
    assert_agrees(found.reward, mean(first.reward), first.users)
    assert_agrees(found.depth, mean(first.depth), first.users)
    assert_agrees(found.watch_seconds, mean(first.watch_seconds), first.users)
    for task in (0, 2, 6):
        assert_agrees(found.rates[task], rate(first, task), first.users)


def test_differences_agree_with_a_bootstrap_over_users(pair: tuple[Sessions, Sessions]) -> None:
    first, second = pair
    users, found = first.users, metric_differences(first, second)
    assert_agrees(found.reward, mean(first.reward - second.reward), users)
    assert_agrees(found.depth, mean(first.depth - second.depth), users)
    for task in (0, 6):
        assert_agrees(found.rates[task], difference(rate(first, task), rate(second, task)), users)


def test_relative_changes_agree_with_a_bootstrap_over_users(
    pair: tuple[Sessions, Sessions],
) -> None:
    first, second = pair
    users, found = first.users, metric_changes(first, second)
    watched = change(mean(first.watch_seconds), mean(second.watch_seconds))
    assert_agrees(found.watch_seconds, watched, users)
    for task in (0, 6):
        assert_agrees(found.rates[task], change(rate(first, task), rate(second, task)), users)


def test_a_rate_difference_by_hand() -> None:
    # Two users: 1 of 4 and 3 of 4 liked, against 1 of 2 and 1 of 2. Rates 0.5 and 0.5.
    interval = rate_difference_interval(
        np.array([1.0, 3.0]), np.array([4, 4]), np.array([1.0, 1.0]), np.array([2, 2]), np.arange(2)
    )
    # The users' influences are -1 / 8 and 1 / 8: one like fewer and one more than expected.
    half = stats.t.ppf(0.975, 1) * np.sqrt(2 / 1 * (2 / 64))
    assert interval.mean == 0.0
    assert interval.high == pytest.approx(half)


def test_relative_limits_by_hand() -> None:
    # Means 3 and 2 over two users; influences -1 / 2, 1 / 2 and -1 / 4, 1 / 4, so that with
    # c = 2 t^2 the limits q solve (3 - 2 q)^2 = c / 2 (1 - q / 2)^2.
    interval = change_interval(np.array([2.0, 4.0]), np.array([1.5, 2.5]), np.arange(2))
    assert interval.mean == 0.5
    assert np.isinf(interval.high)  # t = 12.7: the reference is not clearly above 0
    many = np.repeat(np.arange(20), 2)
    values = np.tile([2.0, 4.0], 20) + many.astype(float)
    reference = np.tile([1.5, 2.5], 20) + 5.0
    found = change_interval(values, reference, many)
    c = stats.t.ppf(0.975, 19) ** 2 * 20 / 19
    for q in (1.0 + found.low, 1.0 + found.high):
        deviations = [
            ((values - values.mean()) - q * (reference - reference.mean()))[many == user].sum() / 40
            for user in range(20)
        ]
        left = (values.mean() - q * reference.mean()) ** 2
        assert left == pytest.approx(c * np.sum(np.square(deviations)))


def test_a_change_is_significant_where_the_difference_is(pair: tuple[Sessions, Sessions]) -> None:
    generator = np.random.default_rng(1)
    for _ in range(40):
        users = generator.integers(12, size=60)
        reference = generator.gamma(2.0, size=60)
        values = reference + generator.normal(0.1, 0.4, size=60)
        difference = mean_interval(values - reference, users)
        assert change_interval(values, reference, users).excludes_zero == difference.excludes_zero
    first, second = pair
    changes, differences = metric_changes(first, second), metric_differences(first, second)
    assert [one.excludes_zero for one in changes.all] == [
        one.excludes_zero for one in differences.all
    ]


def test_a_mean_is_linear_in_its_influences() -> None:
    generator = np.random.default_rng(3)
    values, users = generator.normal(size=60), generator.integers(9, size=60)
    found = linearised_interval(float(values.mean()), (values - values.mean()) / 60, users)
    expected = mean_interval(values, users)
    assert (found.mean, found.low, found.high) == pytest.approx(
        (expected.mean, expected.low, expected.high)
    )


def test_change_of_negative_rewards_keeps_the_sign_of_the_gain() -> None:
    better, worse = np.array([-1.0, -1.0, -1.0]), np.array([-2.0, -2.0, -2.0])
    assert change_interval(better, worse, np.arange(3)).mean == pytest.approx(0.5)
    assert change_interval(worse, better, np.arange(3)).mean == pytest.approx(-1.0)


def test_rare_and_missing_events_say_so() -> None:
    users, shown = np.arange(10), np.full(10, 30)
    none = rate_interval(np.zeros(10), shown, users)
    assert (none.mean, none.low) == (0.0, 0.0)
    assert none.high == pytest.approx(stats.beta.ppf(0.975, 1, 300))  # Clopper and Pearson
    every = rate_interval(np.full(10, 30.0), shown, users)
    assert (every.mean, every.high) == (1.0, 1.0)
    assert every.low == pytest.approx(stats.beta.ppf(0.025, 300, 1))
    one = rate_interval(np.eye(10)[0], shown, users)
    assert one.low == 0.0
    assert one.high > one.mean
    change = rate_change_interval(np.ones(10), shown, np.zeros(10), shown, users)
    assert np.isnan(change.mean)
    assert not change.excludes_zero
    assert np.isnan(change_interval(np.ones(4), np.zeros(4), np.arange(4)).mean)
    events = np.array([4.0, 6.0] * 5)
    to_none = rate_change_interval(np.zeros(10), shown, events, shown, users)
    assert to_none == Interval(-1.0, -np.inf, np.inf)
    assert change_interval(np.zeros(10), events, users) == Interval(-1.0, -np.inf, np.inf)


def test_counts_may_exceed_one_a_video() -> None:
    users, shown = np.arange(10), np.full(10, 2)
    counts = np.array([4.0, 6.0] * 5)  # 2 or 3 for each video
    found = rate_interval(counts, shown, users, most=np.inf)
    expected = mean_interval(counts / 2.0, users)
    assert (found.mean, found.low, found.high) == pytest.approx(
        (expected.mean, expected.low, expected.high)
    )
    assert rate_interval(np.full(10, 4.0), shown, users, most=np.inf).mean == 2.0


def test_a_metric_is_worse_by_the_sign_of_its_task() -> None:
    up, down, unclear = Interval(0.2, 0.1, 0.3), Interval(-0.2, -0.3, -0.1), Interval(0.1, -1, 1)
    hate = [task.name for task in KUAIRAND_TASKS.feedbacks].index("hate")
    metrics = Metrics.of([up, down, unclear, *[up] * len(KUAIRAND_TASKS.feedbacks)])
    assert metrics.all == (up, down, unclear, *[up] * len(KUAIRAND_TASKS.feedbacks))
    expected = [False, True, False, *[False] * len(KUAIRAND_TASKS.feedbacks)]
    expected[3 + hate] = True
    assert metrics.worse() == tuple(expected)
    assert metrics.signs[3 + hate] == -1


def test_other_episodes_are_refused(pair: tuple[Sessions, Sessions]) -> None:
    first, second = pair
    other = replace(second, episodes=second.episodes + 1)
    for compare in (metric_differences, metric_changes):
        with pytest.raises(ConfigError, match=re.escape("must have the same episodes")):
            compare(first, other)
