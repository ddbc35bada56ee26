import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtf_rl.core.arrays import select_rows
from mtf_rl.core.errors import ConfigError, DataError, LeakageError
from mtf_rl.data import (
    Dataset,
    TimePlan,
    UserGroup,
    check_disjoint,
    read_kuairand,
    scorer_half,
    split_by_time,
    user_groups,
)
from tests.data.examples import DAY_MS, MIDNIGHT_MS, log_row, random_dataset, write_log


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return random_dataset(tmp_path_factory.mktemp("log"))


def test_days_are_counted_back_from_the_last_day_in_utc_plus_8(tmp_path: Path) -> None:
    offsets = {"fit": -1, "first of validation": 0, "last of validation": DAY_MS - 1}
    offsets |= {"first of test": DAY_MS, "last of test": 2 * DAY_MS + 5}
    write_log(tmp_path, *(log_row(time_ms=MIDNIGHT_MS + offset) for offset in offsets.values()))
    plan = TimePlan(test_days=2, validation_days=1, validation_fraction=0.0)

    split = split_by_time(read_kuairand(tmp_path).impressions, plan)

    assert split.train.tolist() == [True, False, False, False, False]
    assert split.validation.tolist() == [False, True, True, False, False]
    assert split.test.tolist() == [False, False, False, True, True]
    assert (split.split_time_ms, split.test_time_ms) == (MIDNIGHT_MS, MIDNIGHT_MS + DAY_MS)


def test_the_validation_fraction_counts_requests_not_rows(tmp_path: Path) -> None:
    # Four requests are before the test day, the first with three rows; the last two validate.
    rows = [log_row(video_id=v) for v in range(3)]
    rows += [log_row(time_ms=MIDNIGHT_MS + k) for k in (1, 2, 3)]
    rows += [log_row(time_ms=MIDNIGHT_MS + DAY_MS)]
    write_log(tmp_path, *rows)
    plan = TimePlan(test_days=1, validation_fraction=0.5)

    split = split_by_time(read_kuairand(tmp_path).impressions, plan)

    assert split.train.sum() == 4
    assert split.validation.tolist() == [False] * 4 + [True, True, False]
    assert split.split_time_ms == MIDNIGHT_MS + 2


def test_parts_cover_the_log_and_split_no_request(dataset: Dataset) -> None:
    rows = dataset.impressions
    split = split_by_time(rows, TimePlan())
    parts = np.stack([split.train, split.validation, split.test])
    assert (parts.sum(axis=0) == 1).all()
    for request in np.unique(rows.requests):
        assert parts[:, rows.requests == request].any(axis=1).sum() == 1
    assert rows.times_ms[split.train].max() < split.split_time_ms
    assert rows.times_ms[split.validation].min() >= split.split_time_ms


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"test_days": 0}, "test_days must be at least 1, got 0"),
        ({"validation_days": -1}, "validation_days must be at least 0, got -1"),
        ({"validation_fraction": 1.0}, "validation_fraction must be in [0, 1), got 1.0"),
        ({"validation_days": 1}, "must be positive, got 1 and 0.1"),
        ({"validation_fraction": 0.0}, "must be positive, got 0 and 0.0"),
    ],
)
def test_an_invalid_time_plan_is_refused(fields: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        TimePlan(**fields)  # type: ignore[arg-type]


def test_a_log_that_is_too_short_is_refused(dataset: Dataset) -> None:
    plan = TimePlan(test_days=3, validation_days=1, validation_fraction=0.0)
    with pytest.raises(DataError, match=re.escape("no train rows: the log covers 3 day(s)")):
        split_by_time(dataset.impressions, plan)


def test_halves_split_no_session_and_depend_on_the_seed(dataset: Dataset) -> None:
    rows = dataset.impressions
    half = scorer_half(rows, seed=0)
    for session in np.unique(rows.sessions):
        assert len(set(half[rows.sessions == session].tolist())) == 1
    sessions = len(np.unique(rows.sessions))
    sessions_in_half = len(np.unique(rows.sessions[half]))
    assert abs(sessions_in_half - sessions / 2) < 3 * np.sqrt(sessions / 4)
    assert (half != scorer_half(rows, seed=1)).any()
    # The half of a session does not depend on the other sessions in the call.
    subset = rows.users < 5
    np.testing.assert_array_equal(scorer_half(select_rows(rows, subset), seed=0), half[subset])


def test_rows_in_both_halves_are_refused(dataset: Dataset) -> None:
    keys = dataset.impressions.keys
    half = scorer_half(dataset.impressions, seed=0)
    check_disjoint(keys[half], keys[~half])
    planted = np.concatenate([keys[~half], keys[half][:3]])
    with pytest.raises(LeakageError, match="were both fitted on 3 of the same rows"):
        check_disjoint(keys[half], planted)


def test_user_groups_have_the_stated_fractions() -> None:
    groups = user_groups(np.arange(100_000), seed=0)
    fractions = np.bincount(groups, minlength=len(UserGroup)) / len(groups)
    np.testing.assert_allclose(fractions, [0.7, 0.1, 0.2], atol=0.005)
    assert (groups != user_groups(np.arange(100_000), seed=1)).any()


@given(ids=st.lists(st.integers(0, 2**40), min_size=1, max_size=20), seed=st.integers(0, 99))
def test_a_users_group_does_not_depend_on_the_others(ids: list[int], seed: int) -> None:
    together = user_groups(np.array(ids), seed=seed)
    alone = [user_groups(np.array([user]), seed=seed)[0] for user in ids]
    assert together.tolist() == alone
