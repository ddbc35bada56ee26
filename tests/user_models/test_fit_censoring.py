"""Censoring of leaving and returning at the end of a log."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtf_rl.user_models.censoring import followed_up, return_targets
from mtf_rl.user_models.replay import NO_REQUEST, LoggedRequests, group_requests
from tests.user_models.examples import DAY_MS, FIRST_DAY, impressions_of, small_catalogue

GAP_MS = 1_800_000
MIDNIGHT_MS = FIRST_DAY * DAY_MS - 8 * 3_600_000


def requests_at(users: list[int], minutes: list[int]) -> LoggedRequests:
    impressions = impressions_of(
        small_catalogue(),
        users=np.array(users),
        videos=np.zeros(len(users)),
        times_ms=np.array(minutes) * 60_000,
    )
    everything = np.ones(len(users), dtype=np.bool_)
    return group_requests(impressions, everything, max_requests=99, max_slate=9)


def test_leaving_by_hand() -> None:
    # User 0: three requests, then none. User 1: one request 20 minutes before the end. User 2: a
    # session near the end that continues after it. User 3: a request after the end.
    requests = requests_at([0, 0, 0, 1, 2, 2, 3], [0, 5, 9, 80, 90, 101, 110])
    known = followed_up(requests, end_ms=np.full(7, 100 * 60_000), gap_ms=GAP_MS)
    left = requests.next_ms == NO_REQUEST
    assert known.tolist() == [True, True, True, False, False, False, False]
    assert left[known].tolist() == [False, False, True]
    # The hazard at each step uses only observed requests: 0 of 1, 0 of 1, 1 of 1.
    hazards = [left[known & (requests.steps == step)].mean() for step in range(3)]
    assert hazards == [0.0, 0.0, 1.0]


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=10)
def test_the_hazard_of_observed_requests_is_unbiased_for_any_end_of_the_log(seed: int) -> None:
    """Many users leave with probability 0.25; the log covers one hour."""
    rng = np.random.default_rng(seed)
    users, minutes = [], []
    for user in range(2000):
        minute = int(rng.integers(0, 60))
        while True:
            users.append(user)
            minutes.append(minute)
            if rng.random() < 0.25:
                break
            minute += int(rng.integers(1, 30))
    seen = np.array(minutes) < 60
    requests = requests_at(np.array(users)[seen].tolist(), np.array(minutes)[seen].tolist())
    end_ms = np.full(len(requests.users), 60 * 60_000)
    known = followed_up(requests, end_ms=end_ms, gap_ms=GAP_MS)
    left = requests.next_ms == NO_REQUEST
    assert left[known].mean() == pytest.approx(0.25, abs=0.06)
    assert left.mean() > 0.35  # treats truncated sessions as leaving


def test_returning_by_hand() -> None:
    # Days 0 to 4 are observed, day 5 is not. User 0 is active on days 0, 1, 4; user 1 on day 2.
    users = np.array([0, 0, 0, 1, 1])
    days = np.array([0, 1, 4, 2, 5])
    impressions = impressions_of(
        small_catalogue(), users=users, videos=np.zeros(5), times_ms=MIDNIGHT_MS + days * DAY_MS
    )
    observed = days < 5
    targets = return_targets(impressions, observed, users[observed], FIRST_DAY + days[observed])
    assert targets.days.tolist() == [1, 3, -1, -1]
    assert targets.observed_days.tolist() == [4, 3, 0, 2]
    assert targets.next_day_known.tolist() == [True, True, False, True]
    # From the second day on: user 0 was at risk on two days and returned; user 1 on one day.
    assert targets.later_days() == (1, 3)


def test_a_day_that_the_split_divides_is_not_covered() -> None:
    days = np.array([0, 1, 1])
    impressions = impressions_of(
        small_catalogue(),
        users=np.array([0, 1, 1]),
        videos=np.zeros(3),
        times_ms=MIDNIGHT_MS + days * DAY_MS + np.array([0, 0, 9_000_000]),
    )
    observed = np.array([True, True, False])
    targets = return_targets(impressions, observed, np.array([0]), np.array([FIRST_DAY]))
    assert targets.next_day_known.tolist() == [False]
    whole = return_targets(
        impressions, np.ones(3, dtype=np.bool_), np.array([0]), np.array([FIRST_DAY])
    )
    assert whole.next_day_known.tolist() == [True]
    assert whole.days.tolist() == [-1]
