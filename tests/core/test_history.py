"""The visible history against arithmetic that can be followed by hand."""

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


def answered(videos: list[int], seconds: list[float], likes: list[int]) -> tuple[Slate, Response]:
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
    slate, response = answered([0, 1], [5.0, 40.0], [1, 0])
    history = advance_history(history, slate, response, CATALOGUE)
    # Ratios: 5 / 10 and min(40 / 20, 1), mean 0.75; one like among two videos.
    assert history.last[0, 2] == 0.5
    assert history.last[0, 7] == 0.75
    assert history.fast[0, 7] == pytest.approx(0.5 * 0.75)
    assert history.slow[0, 7] == pytest.approx(0.1 * 0.75)
    assert history.watch_seconds[0] == 45.0
    # Tags: video 0 is half tag 0 and half tag 1, video 1 all tag 1; rate 0.2.
    np.testing.assert_allclose(history.tag_exposure[0], [0.2 * 0.25, 0.2 * 0.75])
    assert history.repetition[0] == 0.0
    overlap = tag_overlap(history, slate.videos, CATALOGUE)
    np.testing.assert_allclose(overlap, [[0.5 * 0.05 + 0.5 * 0.15, 0.15]], rtol=1e-6)


def test_repetition_grows_when_a_tag_comes_back() -> None:
    history = start_history(np.array([12.0]), num_tags=2)
    slate, response = answered([1, 1], [1.0, 1.0], [0, 0])
    seen = []
    for _ in range(4):
        history = advance_history(history, slate, response, CATALOGUE)
        seen.append(float(history.repetition[0]))
    assert seen[0] == 0.0
    assert seen == sorted(seen)
    assert seen[1] == pytest.approx(0.5 * 0.2)


def test_a_masked_video_leaves_no_trace() -> None:
    history = start_history(np.array([12.0]), num_tags=2)
    slate, response = answered([1, 0], [4.0, 0.0], [0, 0])
    masked = Slate(slate.users, slate.videos, np.array([[True, False]]), slate.tabs)
    alone, alone_response = answered([1], [4.0], [0])
    full = advance_history(history, masked, response, CATALOGUE)
    short = advance_history(history, alone, alone_response, CATALOGUE)
    for name in ("last", "fast", "slow", "tag_exposure", "watch_seconds", "repetition"):
        np.testing.assert_array_equal(getattr(full, name), getattr(short, name))


def test_a_pause_moves_the_clock_round_midnight() -> None:
    history = add_pause(start_history(np.array([23.5]), num_tags=1), np.array([5400.0]))
    assert history.hours[0] == pytest.approx(1.0)
    assert history.elapsed_seconds[0] == 5400.0


def test_rows_are_selected_and_replaced_through_nested_records() -> None:
    history = start_history(np.array([1.0, 2.0, 3.0]), num_tags=2)
    assert select_rows(history, np.array([2, 0])).hours.tolist() == [3.0, 1.0]
    fresh = start_history(np.array([9.0]), num_tags=2)
    merged = replace_rows(history, np.array([1]), fresh)
    assert merged.hours.tolist() == [1.0, 9.0, 3.0]
    assert history.hours.tolist() == [1.0, 2.0, 3.0]
