"""KuaiRand's rules for click and long view."""

import numpy as np

from mtf_rl.core.tasks import TASK_NAMES, TASK_SIGNS, is_long_view, is_valid_play, watch_target


def test_rules_of_the_two_plays() -> None:
    play = np.array([6.9, 7.0, 5.0, 17.9, 18.0, 12.0])
    duration = np.array([60.0, 60.0, 5.0, 60.0, 60.0, 12.0])
    assert is_valid_play(play, duration).tolist() == [False, True, True, True, True, True]
    assert is_long_view(play, duration).tolist() == [False, False, True, False, True, True]


def test_watch_is_capped_at_two_minutes() -> None:
    assert watch_target(np.array([0.0, 60.0, 120.0, 500.0])).tolist() == [0.0, 0.5, 1.0, 1.0]


def test_only_hate_is_negative() -> None:
    assert [name for name, sign in zip(TASK_NAMES, TASK_SIGNS, strict=True) if sign < 0] == ["hate"]
