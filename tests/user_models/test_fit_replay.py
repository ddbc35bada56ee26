"""The replayed histories against stepping through each session separately."""

from dataclasses import fields

import numpy as np
import pytest

from mtf_rl.core.history import (
    VisibleHistory,
    add_pause,
    advance_history,
    start_history,
    tag_overlap,
)
from mtf_rl.core.slates import Response, Slate
from mtf_rl.data import Dataset
from mtf_rl.user_models import replay as replay_module
from mtf_rl.user_models.answer_rules import KUAIRAND_RULES
from mtf_rl.user_models.replay import NO_REQUEST, group_requests, replay
from mtf_rl.user_models.session_features import history_features, mean_signals
from tests.user_models.examples import DAY_MS, NUM_TAGS, impressions_of, small_catalogue, small_log


def naive_histories(
    dataset: Dataset, max_requests: int
) -> list[tuple[VisibleHistory, VisibleHistory, list[float]]]:
    """(before, after, overlaps) of every request, from loops over the rows of each session."""
    impressions, catalogue = dataset.impressions, dataset.catalogue
    histories = []
    for session in np.unique(impressions.sessions):
        rows = np.flatnonzero(impressions.sessions == session)
        requests = np.unique(impressions.requests[rows])
        first_ms = impressions.times_ms[rows[0]]
        history = start_history(np.array([(first_ms / 3_600_000 + 8) % 24]), catalogue.num_tags)
        for step, request in enumerate(requests[:max_requests]):
            shown = rows[impressions.requests[rows] == request]
            slate = Slate(
                impressions.users[shown[:1]],
                impressions.videos[shown][None, :],
                np.ones((1, len(shown)), dtype=np.bool_),
                impressions.tabs[shown[:1]],
            )
            response = Response(
                impressions.feedback[shown][None].astype(np.float32),
                impressions.play_seconds[shown][None],
            )
            after = advance_history(history, slate, response, catalogue)
            histories.append(
                (history, after, tag_overlap(history, slate.videos, catalogue)[0].tolist())
            )
            if step + 1 < len(requests):
                following = impressions.times_ms[
                    rows[impressions.requests[rows] == requests[step + 1]][0]
                ]
                pause = (following - impressions.times_ms[shown[0]]) / 1000.0
                history = add_pause(after, np.array([pause]))
    return histories


@pytest.mark.parametrize("max_requests", [3, 50])
def test_replay_equals_stepping_through_each_session(
    max_requests: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_module, "SESSIONS_AT_ONCE", 7)
    dataset = small_log(num_users=15, num_days=2)
    everything = np.ones(len(dataset.impressions.users), dtype=np.bool_)
    requests = group_requests(
        dataset.impressions, everything, max_requests=max_requests, max_slate=9
    )
    replayed = replay(dataset.impressions, requests, dataset.catalogue)
    expected = naive_histories(dataset, max_requests)
    assert len(expected) == len(requests.users)
    for number, (before, after, overlap) in enumerate(expected):
        for field in fields(VisibleHistory):
            if field.name == "tag_exposure":
                continue
            for stepped, batched in ((before, replayed.before), (after, replayed.after)):
                np.testing.assert_allclose(
                    getattr(batched, field.name)[number], getattr(stepped, field.name)[0], rtol=1e-5
                )
        np.testing.assert_allclose(replayed.overlap[number], overlap, rtol=1e-5)


def test_group_requests_by_hand() -> None:
    catalogue = small_catalogue()
    start = 19_000 * DAY_MS
    impressions = impressions_of(
        catalogue,
        users=np.array([0, 0, 0, 0, 1, 1]),
        videos=np.array([3, 4, 5, 6, 7, 8]),
        times_ms=start + 1000 * np.array([0, 0, 60, 4000, 0, 30]),
    )
    requests = group_requests(
        impressions, np.array([True, True, True, True, False, False]), max_requests=5, max_slate=1
    )
    assert requests.rows.tolist() == [[0], [2], [3]]  # row 1 exceeds a slate of one
    assert requests.steps.tolist() == [0, 1, 0]
    assert requests.gap_seconds.tolist() == [60.0, 0.0, 0.0]
    assert (requests.next_ms == NO_REQUEST).tolist() == [False, True, True]
    both = group_requests(impressions, np.ones(6, dtype=np.bool_), max_requests=1, max_slate=4)
    assert both.rows.tolist() == [[0, 1], [3, 0], [4, 0]]
    assert both.mask.tolist() == [[True, True], [True, False], [True, False]]
    # The session of user 1 continues beyond the replayed requests, so its last one has a next.
    assert (both.next_ms == NO_REQUEST).tolist() == [False, True, False]


def test_history_features_by_hand() -> None:
    catalogue = small_catalogue()
    history = start_history(np.array([6.0]), NUM_TAGS)
    named = dict(zip(KUAIRAND_RULES.history_names, history_features(history)[0], strict=True))
    assert named["first_request"] == 1.0
    assert named["hour_sin"] == pytest.approx(1.0)
    assert named["half_day_cos"] == pytest.approx(-1.0)
    slate = Slate(np.array([0]), np.array([[0]]), np.array([[True]]), np.array([1]))
    clicked = np.zeros((1, 1, 7), dtype=np.float32)
    clicked[0, 0, 0] = 1.0
    response = Response(clicked, np.array([[2.5]], dtype=np.float32))
    history = add_pause(advance_history(history, slate, response, catalogue), np.array([120.0]))
    named = dict(zip(KUAIRAND_RULES.history_names, history_features(history)[0], strict=True))
    assert named["ln_requests"] == pytest.approx(np.log(2.0))
    assert named["ln_elapsed_minutes"] == pytest.approx(np.log(3.0))
    assert named["ln_last_watch_seconds"] == pytest.approx(np.log(3.5))
    # After one request, every corrected average equals the last signal.
    for kind in ("last", "fast", "slow"):
        assert named[f"{kind}_click"] == pytest.approx(1.0)
        assert named[f"{kind}_play_ratio"] == pytest.approx(0.5)


def test_corrected_averages_of_a_constant_signal_equal_the_constant() -> None:
    catalogue = small_catalogue()
    history = start_history(np.array([1.0]), NUM_TAGS)
    slate = Slate(np.array([0]), np.array([[0]]), np.array([[True]]), np.array([1]))
    response = Response(np.full((1, 1, 7), 0.25, np.float32), np.full((1, 1), 1.25, np.float32))
    for _ in range(5):
        history = advance_history(history, slate, response, catalogue)
        for average in mean_signals(history):
            np.testing.assert_allclose(average, 0.25, rtol=1e-6)
