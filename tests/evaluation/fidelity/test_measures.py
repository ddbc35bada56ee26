"""Figures of a log: by hand, by pandas, by what they must not depend on."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtf_rl.core.arrays import select_rows
from mtf_rl.evaluation.fidelity import (
    SessionLog,
    between_std,
    day_ends,
    measure_log,
    next_day_measure,
)
from tests.evaluation.fidelity.examples import hand_log, lawful_log
from tests.user_models.examples import FIRST_DAY, Law


def figures(log: SessionLog) -> dict[str, float]:
    return {measure.name: measure.value.mean for measure in measure_log(log)}


def test_figures_by_hand() -> None:
    found = figures(hand_log())
    assert found["click"] == pytest.approx(3 / 7)
    assert found["watch, seconds"] == pytest.approx(54 / 7)
    assert found["like after click"] == pytest.approx(1 / 3)
    assert found["not played"] == pytest.approx(2 / 7)
    assert found["click in request 1"] == pytest.approx(2 / 5)
    assert found["click in requests 2-3"] == pytest.approx(1 / 2)
    assert found["50% of gaps up to, seconds"] == pytest.approx(100.0)
    # Of the three requests that are followed up, two were the last.
    assert found["leaves after a request"] == pytest.approx(2 / 3)
    assert found["tag repeats the last request's"] == pytest.approx(1 / 2)
    assert found["follow after like"] == 0.0


def test_figures_against_pandas() -> None:
    log = lawful_log()
    shown = log.impressions
    table = pd.DataFrame(
        {
            "user": shown.users,
            "click": shown.feedback[:, 0],
            "like": shown.feedback[:, 2],
            "play": shown.play_seconds,
            "step": log.step_of_request[log.request_of_row],
            "repeated": log.repeated,
        }
    )
    found = figures(log)
    assert found["like"] == pytest.approx(table.like.mean())
    assert found["like after click"] == pytest.approx(table[table.click == 1].like.mean())
    assert found["90% of plays up to, seconds"] == pytest.approx(table.play.quantile(0.9))
    late = table[(table.step >= 3) & (table.step <= 6)]
    assert found["click in requests 4-7"] == pytest.approx(late.click.mean())
    again = table[table.repeated & (table.step > 0)]
    assert found["click on a repeated tag"] == pytest.approx(again.click.mean())
    lengths = pd.Series(log.requests_per_session)
    # No session of this log is cut, so survival is a plain share.
    assert log.ended.all()
    assert found["more than 5 requests"] == pytest.approx((lengths > 5).mean())
    assert found["requests, mean"] == pytest.approx(lengths.mean())


def test_boredom_shows_in_repetition() -> None:
    found = figures(lawful_log(law=Law(boredom=3.0)))
    assert found["click on a repeated tag"] < found["click on a fresh tag"]


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_figures_do_not_depend_on_the_names_of_users(seed: int) -> None:
    log = lawful_log()
    names = np.random.default_rng(seed).permutation(200)[: 1 + log.impressions.users.max()]
    order = np.argsort(names[log.impressions.users], kind="stable")
    renamed = replace(log.impressions, users=names[log.impressions.users])
    shuffled = replace(log, impressions=select_rows(renamed, order))
    for first, second in zip(measure_log(log), measure_log(shuffled), strict=True):
        np.testing.assert_allclose(first.value.mean, second.value.mean)


def test_a_std_between_groups_by_hand() -> None:
    values = np.array([0.0, 2.0, 4.0, 6.0])
    groups = np.array([0, 0, 1, 1])
    # Within: (1 + 1 + 1 + 1) / 2 = 2. Between: 2 (2^2 + 2^2) / 1 = 16. Groups of 2: (16 - 2) / 2.
    assert between_std(values, groups, groups).mean == pytest.approx(np.sqrt(7.0))
    assert np.isnan(between_std(values, np.arange(4), np.arange(4)).mean)
    assert np.isnan(between_std(values, np.zeros(4, dtype=int), np.zeros(4, dtype=int)).mean)


def test_a_std_is_recovered_from_noisy_data() -> None:
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(400), rng.integers(2, 20, 400))
    values = 0.5 * rng.normal(size=400)[users] + 2.0 * rng.normal(size=len(users))
    interval = between_std(values, users, users)
    assert interval.holds(0.5)
    assert interval.high - interval.low < 0.6
    # A naive implementation, group by group.
    table = pd.DataFrame({"user": users, "x": values}).groupby("user").x
    count, mean, rows = table.size(), table.mean(), len(values)
    within = (table.var(ddof=1).fillna(0.0) * (count - 1)).sum() / (rows - 400)
    between = (count * (mean - values.mean()) ** 2).sum() / 399
    size = (rows - (count**2).sum() / rows) / 399
    assert interval.mean == pytest.approx(np.sqrt((between - within) / size))


@settings(max_examples=15, deadline=None)
@given(shift=st.floats(-5.0, 5.0), scale=st.floats(0.1, 10.0))
def test_a_std_scales_with_its_unit(shift: float, scale: float) -> None:
    rng = np.random.default_rng(1)
    users = rng.integers(0, 30, 300)
    values = rng.normal(size=300) + users / 10.0
    one, other = (between_std(x, users, users).mean for x in (values, shift + scale * values))
    assert other == pytest.approx(scale * one)


def test_returns_by_hand() -> None:
    log = hand_log()
    ends = day_ends(log.impressions, np.array([FIRST_DAY]))
    assert ends.users.tolist() == [0, 1]
    assert ends.sessions.tolist() == [1, 2]
    assert ends.returned.tolist() == [False, False]
    assert next_day_measure(ends).value.mean == 0.0
    assert next_day_measure(ends, np.array([0.5, 1.0])).value.mean == pytest.approx(0.75)
    assert np.isnan(next_day_measure(day_ends(log.impressions, np.array([3]))).value.mean)


def test_returns_against_loops() -> None:
    impressions = lawful_log().impressions
    ends = day_ends(impressions, np.array([FIRST_DAY]))
    active = {(int(u), int(d)) for u, d in zip(impressions.users, impressions.days, strict=True)}
    first_day = sorted(user for user, day in active if day == FIRST_DAY)
    assert ends.users.tolist() == first_day
    assert ends.returned.tolist() == [(user, FIRST_DAY + 1) in active for user in first_day]
