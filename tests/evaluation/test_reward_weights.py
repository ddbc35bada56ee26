"""Reward weights: sessions of a log by hand, planted weights, and what is said of them."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mtf_rl.core.errors import DataError
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.data import read_kuairand
from mtf_rl.evaluation import (
    SessionPanel,
    SessionSummary,
    Verdict,
    estimate_reward_weights,
    session_panel,
)
from mtf_rl.evaluation.panel import (
    CUT_AFTER,
    CUT_BEFORE,
    NOTHING_FOLLOWS,
)
from tests.data.examples import MIDNIGHT_MS, log_row, random_log_rows, write_log
from tests.evaluation.examples import PLANTED, planted_panel

INPUTS = (*KUAIRAND_TASKS.feedback_names, "watch_minute")


MINUTE_MS = 60_000


def test_sessions_of_a_log_by_hand(tmp_path: Path) -> None:
    def row(user: int, minute: int, **changes: object) -> str:
        return log_row(
            user_id=user, video_id=minute, time_ms=MIDNIGHT_MS + minute * MINUTE_MS, **changes
        )

    write_log(
        tmp_path,
        row(1, 0, play_time_ms=60_000),  # begins with the log: left out as an input
        row(1, 100, play_time_ms=30_000, is_like=1),
        row(1, 110, play_time_ms=90_000, is_like=1, is_click=1),
        row(1, 400, play_time_ms=240_000),  # followed by a session at the log's end
        row(1, 990, play_time_ms=60_000),
        row(2, 1000, play_time_ms=60_000),  # this user's only one
    )
    dataset = read_kuairand(tmp_path)
    panel = session_panel(dataset.impressions, session_gap_minutes=30.0)
    assert panel.account == SessionSummary(5, 1, {NOTHING_FOLLOWS: 2, CUT_AFTER: 1, CUT_BEFORE: 1})
    assert panel.inputs.tolist() == [[1, 0, 2, 0, 0, 0, 0, 2.0]]
    assert panel.outcome.tolist() == [4.0]
    # Two videos, the user's second session, begun in the hour from 1 to 2.
    angle = 2.0 * np.pi / 24.0
    harmonics = [np.sin(angle), np.cos(angle), np.sin(2 * angle), np.cos(2 * angle)]
    assert panel.controls[0] == pytest.approx([2, 1, *harmonics])


def test_sessions_against_loops(tmp_path: Path) -> None:
    write_log(tmp_path, *random_log_rows(300, 0, users=9))
    rows = read_kuairand(tmp_path).impressions
    panel = session_panel(rows, session_gap_minutes=30.0)
    gap_ms = 30 * MINUTE_MS
    inputs, outcomes = [], []
    for session in range(int(rows.sessions[-1])):
        own, after = (np.flatnonzero(rows.sessions == number) for number in (session, session + 1))
        is_followed = rows.users[own[0]] == rows.users[after[0]]
        is_whole = rows.times_ms[own[0]] >= rows.times_ms.min() + gap_ms
        if not (is_followed and is_whole):
            continue
        if rows.times_ms[after[-1]] > rows.times_ms.max() - gap_ms:
            continue
        likes = sum(int(rows.feedback[row, 2]) for row in own)
        inputs.append((likes, sum(float(rows.play_seconds[row]) for row in own) / 60.0))
        outcomes.append(sum(float(rows.play_seconds[row]) for row in after) / 60.0)
    assert panel.account.kept == len(outcomes) > 50
    assert panel.outcome == pytest.approx(outcomes)
    np.testing.assert_allclose(panel.inputs[:, [2, 7]], inputs)


def test_planted_weights_are_found() -> None:
    covered, significant = np.zeros(len(INPUTS)), np.zeros(len(INPUTS))
    repeats = 25
    for seed in range(repeats):
        weights = estimate_reward_weights(planted_panel(seed))
        for position, (weight, truth) in enumerate(zip(weights.inputs, PLANTED, strict=True)):
            covered[position] += weight.corrected.low <= truth <= weight.corrected.high
            significant[position] += weight.is_significant
    assert covered.sum() / (repeats * len(INPUTS)) > 0.9
    assert covered.min() / repeats > 0.75
    planted = np.array(PLANTED) != 0.0
    assert (significant[planted] == repeats).all()
    assert significant[~planted].sum() <= 3  # of 75, at 95 % for all 8 together


def test_what_is_said_of_planted_weights() -> None:
    weights = estimate_reward_weights(planted_panel(0))
    assert weights["hate"].verdict is Verdict.SIGNIFICANT
    assert weights["click"].verdict in (Verdict.NOT_SIGNIFICANT, Verdict.SINGLY)
    # The user's level makes clicks and minutes go together between users.
    assert weights["click"].pooled.low > 0.0
    assert weights["watch_minute"].within.high < 0.4
    ratio = weights["like"].per_watch_minute
    assert ratio.low <= 1.5 / 0.4 <= ratio.high
    assert weights.reward is not None
    watch_minute, feedbacks = weights.reward
    assert watch_minute == 1.0
    assert feedbacks[0] == feedbacks[3] == 0.0
    assert feedbacks[2] == pytest.approx(ratio.mean)
    page = weights.to_markdown()
    assert "5,600 sessions = 5,600 of 400 users + 0 left out" in page
    assert "| like |" in page
    assert "One more video shown, corrected: " in page
    assert weights.shown_video.low < 0.0 < weights.shown_video.high
    assert not any("opposite sign" in note or "collinear" in note for note in weights.notes)


def test_scale_level_and_order_of_users() -> None:
    panel = planted_panel(1, users=120, rows=6)
    plain = estimate_reward_weights(panel)
    doubled = panel.inputs.copy()
    doubled[:, INPUTS.index("like")] *= 2.0
    scaled = estimate_reward_weights(replace(panel, inputs=doubled))
    assert scaled["like"].corrected.mean == pytest.approx(plain["like"].corrected.mean / 2.0)
    assert scaled["click"].corrected.low == pytest.approx(plain["click"].corrected.low)
    order = np.argsort(-panel.users, kind="stable")
    turned = estimate_reward_weights(
        SessionPanel(
            panel.users[order],
            panel.inputs[order],
            panel.controls[order],
            panel.outcome[order],
            panel.account,
        )
    )
    assert turned["hate"].alone.high == pytest.approx(plain["hate"].alone.high)
    level = np.random.default_rng(2).normal(size=120)[panel.users]
    lifted = estimate_reward_weights(replace(panel, outcome=panel.outcome + 9.0 * level))
    for weight, other in zip(plain.inputs, lifted.inputs, strict=True):
        assert weight.corrected.mean == pytest.approx(other.corrected.mean)


def test_what_a_log_cannot_tell() -> None:
    panel = planted_panel(3, users=100, rows=6)
    inputs = panel.inputs.copy()
    inputs[:, INPUTS.index("follow")] = 0.0
    inputs[panel.users >= 20, INPUTS.index("comment")] = 0.0
    inputs[:, INPUTS.index("long_view")] = inputs[:, 0] + 1e-3 * inputs[:, 1]
    weights = estimate_reward_weights(replace(panel, inputs=inputs))
    assert weights["follow"].verdict is Verdict.TOO_FEW
    assert np.isnan(weights["follow"].corrected.mean)
    assert weights.to_records()[3]["corrected_low"] is None
    assert weights["comment"].verdict is Verdict.TOO_FEW
    assert weights["comment"].users <= 20
    assert any("collinear" in note for note in weights.notes)
    noise = np.random.default_rng(4).normal(size=len(panel.users))
    silent = estimate_reward_weights(replace(panel, outcome=noise))
    assert silent.reward is None
    assert any("watch minute have no meaning" in note for note in silent.notes)
    with pytest.raises(DataError, match=re.escape("30 of 30 users have at least 4 sessions")):
        estimate_reward_weights(planted_panel(0, users=30, rows=4))
