"""The visible history equals values computed by hand."""

import numpy as np
import pytest

from mtf_rl.core.arrays import replace_rows, select_rows
from mtf_rl.core.history import add_pause, advance_history, start_history, tag_overlap
from mtf_rl.core.slates import Response, Slate
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.core.videos import VideoCatalogue

CATALOGUE = VideoCatalogue(
    duration_seconds=np.array([10.0, 20.0, 40.0], dtype=np.float32),
    tags=np.array([[0, 1], [1, -1], [-1, -1]], dtype=np.int32),
    authors=np.arange(3, dtype=np.int32),
    num_tags=2,
)


def slate_and_response(
    videos: list[int], seconds: list[float], likes: list[int]
) -> tuple[Slate, Response]:
    slate = Slate(
        users=np.zeros(1, dtype=np.int32),
        videos=np.array([videos], dtype=np.int32),
        mask=np.array([[video >= 0 for video in videos]]),
        tabs=np.ones(1, dtype=np.int16),
    )
    feedback = np.zeros((1, len(videos), len(KUAIRAND_TASKS.feedbacks)), dtype=np.float32)
    feedback[0, :, 2] = likes
    return slate, Response(feedback, np.array([seconds], dtype=np.float32))


def test_averages_move_at_their_rates() -> None:
    history = start_history(np.array([23.5]), num_tags=2)
    slate, response = slate_and_response([0, 1], [5.0, 40.0], [1, 0])
    history = advance_history(history, slate, response, CATALOGUE)
    # Play ratios: 5 / 10 and min(40 / 20, 1), mean 0.75; one like on two videos.
    assert history.last[0, 2] == 0.5
    assert history.last[0, 7] == 0.75
    assert history.fast[0, 7] == pytest.approx(0.5 * 0.75)
    assert history.slow[0, 7] == pytest.approx(0.1 * 0.75)
    assert history.watch_seconds[0] == 45.0
    # Tag weights: video 0 has (0.5, 0.5), video 1 has (0, 1), mean (0.25, 0.75); rate 0.2.
    np.testing.assert_allclose(history.tag_exposure[0], [0.2 * 0.25, 0.2 * 0.75])
    assert history.repetition[0] == 0.0
    overlap = tag_overlap(history, slate.videos, CATALOGUE)
    np.testing.assert_allclose(overlap, [[0.5 * 0.05 + 0.5 * 0.15, 0.15]], rtol=1e-6)


def test_repetition_grows_while_a_tag_repeats() -> None:
    history = start_history(np.array([12.0]), num_tags=2)
    slate, response = slate_and_response([1, 1], [1.0, 1.0], [0, 0])
    repetition = []
    for _ in range(4):
        history = advance_history(history, slate, response, CATALOGUE)
        repetition.append(float(history.repetition[0]))
    assert repetition[0] == 0.0
    assert repetition == sorted(repetition)
    assert repetition[1] == pytest.approx(0.5 * 0.2)


def test_a_masked_video_does_not_change_the_history() -> None:
    history = start_history(np.array([12.0]), num_tags=2)
    slate, response = slate_and_response([1, 0], [4.0, 0.0], [0, 0])
    masked = Slate(slate.users, slate.videos, np.array([[True, False]]), slate.tabs)
    alone, alone_response = slate_and_response([1], [4.0], [0])
    full = advance_history(history, masked, response, CATALOGUE)
    short = advance_history(history, alone, alone_response, CATALOGUE)
    for name in ("last", "fast", "slow", "tag_exposure", "watch_seconds", "repetition"):
        np.testing.assert_array_equal(getattr(full, name), getattr(short, name))


def test_the_hour_wraps_at_midnight() -> None:
    history = add_pause(start_history(np.array([23.5]), num_tags=1), np.array([5400.0]))
    assert history.hours[0] == pytest.approx(1.0)
    assert history.elapsed_seconds[0] == 5400.0


def test_rows_of_a_record_are_selected_and_replaced() -> None:
    history = start_history(np.array([1.0, 2.0, 3.0]), num_tags=2)
    assert select_rows(history, np.array([2, 0])).hours.tolist() == [3.0, 1.0]
    fresh = start_history(np.array([9.0]), num_tags=2)
    merged = replace_rows(history, np.array([1]), fresh)
    assert merged.hours.tolist() == [1.0, 9.0, 3.0]
    assert history.hours.tolist() == [1.0, 2.0, 3.0]
