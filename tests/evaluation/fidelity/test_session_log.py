"""Requests, sessions and what followed, by hand and by loops."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mtf_rl.evaluation.fidelity import sessions_since
from tests.evaluation.fidelity.examples import START_MS, hand_log, lawful_log
from tests.user_models.examples import Law


def test_a_log_by_hand() -> None:
    log = hand_log()
    assert log.request_starts.tolist() == [0, 2, 4, 5]
    assert log.session_starts.tolist() == [0, 2, 3]
    assert log.step_of_request.tolist() == [0, 1, 0, 0]
    assert log.requests_per_session.tolist() == [2, 1, 1]
    assert log.users_of_sessions.tolist() == [0, 0, 1]
    np.testing.assert_array_equal(log.gap_seconds, [100.0, np.nan, np.nan, np.nan])
    # The log stops just as user 1's session gap ends: the log does not show whether user 1 left.
    assert log.followed_up.tolist() == [True, True, True, False]
    assert log.ended.tolist() == [True, True, False]
    # Of the second request, video 3 has tag 0 as video 0 had; the two of user 1 stand side by side.
    assert log.repeated.tolist() == [False, False, True, False, False, False, False]
    assert log.session_sums(log.impressions.play_seconds).tolist() == [40.0, 0.0, 14.0]
    assert log.request_sums(log.impressions.feedback[:, 0]).tolist() == [1.0, 1.0, 0.0, 1.0]


def test_repeated_tags_against_loops() -> None:
    log = lawful_log()
    tags = log.catalogue.tags[log.impressions.videos, 0]
    shown: dict[int, set[int]] = {}
    for request, tag in zip(log.request_of_row, tags, strict=True):
        shown.setdefault(int(request), set()).add(int(tag))
    naive = [
        log.step_of_request[request] > 0 and int(tag) in shown[int(request) - 1]
        for request, tag in zip(log.request_of_row, tags, strict=True)
    ]
    assert log.repeated.tolist() == naive
    assert 0.1 < np.mean(naive) < 0.9


@settings(max_examples=20, deadline=None)
@given(kept=st.integers(0, 2**32 - 1))
def test_any_sessions_of_a_log_are_a_log(kept: int) -> None:
    log = lawful_log()
    chosen = np.random.default_rng(kept).random(len(log.session_starts)) < 0.5
    part = log.select(chosen)
    np.testing.assert_array_equal(part.requests_per_session, log.requests_per_session[chosen])
    np.testing.assert_array_equal(part.ended, log.ended[chosen])
    play = log.session_sums(log.impressions.play_seconds)[chosen]
    np.testing.assert_allclose(part.session_sums(part.impressions.play_seconds), play)


def test_shuffled_answers_keep_their_distribution_and_lose_their_users() -> None:
    log = lawful_log(law=Law(complete=(0.9, 0.0)))
    shuffled = log.with_answers_shuffled(0)
    play, other = log.impressions.play_seconds, shuffled.impressions.play_seconds
    np.testing.assert_array_equal(np.sort(play), np.sort(other))
    np.testing.assert_array_equal(log.impressions.videos, shuffled.impressions.videos)
    # Even users are keen, odd ones are not: that is gone.
    even = log.impressions.users % 2 == 0
    clicks = log.impressions.feedback[:, 0], shuffled.impressions.feedback[:, 0]
    gaps = [click[even].mean() - click[~even].mean() for click in clicks]
    assert gaps[0] > 0.1 > 3.0 * abs(gaps[1])
    # An answer stays whole: who clicked still played.
    assert (other[shuffled.impressions.feedback[:, 0] > 0] > 0).all()


def test_sessions_under_way_are_not_held_out() -> None:
    impressions = hand_log().impressions
    assert sessions_since(impressions, START_MS).all()
    # A minute later user 0's first session is under way; the whole of it stays out.
    later = sessions_since(impressions, START_MS + 60_000)
    assert later.tolist() == [False] * 4 + [True] * 3
