"""Session vectors, and a classifier that must see what is there and nothing else."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from mtf_rl.core.errors import DataError
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.evaluation.fidelity import (
    PAUSE_FEATURES,
    SessionVectors,
    discriminate,
    permuted,
    session_features,
    session_vectors,
    two_halves,
    weighted_auc,
)
from tests.evaluation.fidelity.examples import hand_log, lawful_log

SESSION_FEATURES = session_features(KUAIRAND_TASKS)

pytestmark = pytest.mark.slow


def synthetic(seed: int, sessions: int = 700) -> SessionVectors:
    """Sessions whose features all follow one hidden number, as those of a log do."""
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(sessions, 1))
    noise = rng.normal(size=(sessions, len(SESSION_FEATURES)))
    return SessionVectors(hidden + 0.6 * noise, rng.integers(0, 200, sessions))


def test_thirty_features() -> None:
    assert len(SESSION_FEATURES) == len(set(SESSION_FEATURES)) == 30
    assert set(PAUSE_FEATURES) < set(SESSION_FEATURES)


def test_a_session_by_hand() -> None:
    vectors = session_vectors(hand_log())
    assert vectors.users.tolist() == [0, 0]  # The third session may not be over.
    first, second = (dict(zip(SESSION_FEATURES, row, strict=True)) for row in vectors.values)
    assert (first["requests"], first["videos"], first["minutes"]) == (2, 4, pytest.approx(100 / 60))
    assert first["log_gap_mean"] == pytest.approx(np.log(100.0))
    assert first["click_rate"] == 0.5
    assert first["watch_seconds"] == 10.0
    assert first["longest_log_play"] == pytest.approx(np.log(31.0))
    assert first["unplayed_rate"] == first["brief_rate"] == 0.25
    assert first["click_spread"] == first["click_trend"] == first["last_click"] == 0.0
    assert first["last_log_watch"] == pytest.approx(np.log(33.0))
    assert first["repeated_tags"] == 0.25
    # The repeated video was not clicked, two of the three others were.
    assert first["click_on_repeated"] == pytest.approx(-2 / 3)
    for name in ("log_gap_mean", "log_gap_spread", "click_spread", "gap_after_watch"):
        assert np.isnan(second[name])


def test_features_against_loops() -> None:
    log = lawful_log()
    vectors = session_vectors(log)
    for session in range(0, len(vectors.users), 17):
        found = dict(zip(SESSION_FEATURES, vectors.values[session], strict=True))
        rows = np.flatnonzero(log.session_of_row == session)
        requests = np.unique(log.request_of_row[rows])
        clicks = [
            log.impressions.feedback[log.request_of_row == request, 0].mean()
            for request in requests
        ]
        watch = [
            log.impressions.play_seconds[log.request_of_row == request].sum()
            for request in requests
        ]
        play = np.log1p(log.impressions.play_seconds[rows].astype(float))
        assert found["log_play_spread"] == pytest.approx(play.std())
        assert found["last_click"] == pytest.approx(clicks[-1] - np.mean(clicks))
        assert found["last_log_watch"] == pytest.approx(np.log1p(watch[-1]))
        if len(requests) > 1:
            half = (len(requests) + 1) // 2
            trend = np.mean(clicks[half:]) - np.mean(clicks[:half])
            assert found["click_trend"] == pytest.approx(trend)
            gaps = np.log(log.gap_seconds[requests[:-1]])
            covariance = np.cov(gaps, np.log1p(watch[:-1]), bias=True)[0, 1]
            assert found["gap_after_watch"] == pytest.approx(covariance, rel=1e-5, abs=1e-6)


def test_blank_features_are_equal_for_all() -> None:
    vectors = synthetic(0)
    blank = vectors.without(("minutes",))
    column = SESSION_FEATURES.index("minutes")
    assert (blank.values[:, column] == 0.0).all()
    np.testing.assert_array_equal(
        np.delete(blank.values, column, 1), np.delete(vectors.values, column, 1)
    )


def test_an_area_by_hand() -> None:
    scores = np.array([0.1, 0.5, 0.5, 0.9])
    labels = np.array([False, True, False, True])
    # Pairs: 0.5 over 0.1, 0.5 ties 0.5, 0.9 over both: 3.5 of 4. With the tie doubled: 5 of 6.
    assert weighted_auc(scores, labels, np.ones(4)) == pytest.approx(3.5 / 4)
    assert weighted_auc(scores, labels, np.array([1.0, 1.0, 2.0, 1.0])) == pytest.approx(5 / 6)
    assert np.isnan(weighted_auc(scores, np.ones(4, dtype=bool), np.ones(4)))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_an_area_against_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 8, 60) / 8.0
    labels = rng.random(60) < 0.4
    labels[:2] = True, False
    weights = rng.integers(1, 5, 60).astype(float)
    area = weighted_auc(scores, labels, weights)
    assert area == pytest.approx(roc_auc_score(labels, scores, sample_weight=weights))
    assert weighted_auc(np.exp(scores), labels, weights) == pytest.approx(area)
    assert weighted_auc(-scores, labels, weights) == pytest.approx(1.0 - area)


def test_permuted_features_are_seen() -> None:
    vectors = synthetic(0)
    control = permuted(vectors, seed=0)
    np.testing.assert_array_equal(np.sort(control.values, axis=0), np.sort(vectors.values, axis=0))
    verdict = discriminate("control", vectors, control, sessions=600, seed=0)
    assert verdict.sessions == (600, 600)
    assert verdict.auc.mean > 0.9


def test_equal_sessions_are_not_distinguished() -> None:
    verdict = discriminate("same law", synthetic(0), synthetic(1), sessions=700, seed=0)
    assert 0.44 < verdict.auc.mean < 0.56
    first, second = two_halves(synthetic(0), seed=0)
    assert not set(first.users) & set(second.users)
    assert len(first.users) + len(second.users) == 700


def test_the_feature_that_differs_is_named_and_numbers_repeat() -> None:
    log, other = synthetic(0, 400), synthetic(1, 400)
    column = SESSION_FEATURES.index("hate_rate")
    moved = SessionVectors(other.values + 2.0 * (np.arange(30) == column), other.users)
    verdict = discriminate("moved", log, moved, sessions=400, seed=0, explain=True)
    assert verdict.auc.mean > 0.8
    assert verdict.suspects[0].feature == "hate_rate"
    assert verdict.suspects[0].other_mean - verdict.suspects[0].log_mean == pytest.approx(
        2.0, abs=0.4
    )
    assert verdict == discriminate("moved", log, moved, sessions=400, seed=0, explain=True)


def test_users_are_never_in_both_parts() -> None:
    # Each user has a feature that identifies their log; it is useless on other users.
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(60), 10)
    value = rng.permutation(60)[users][:, None] + np.zeros((600, 30))
    half = users % 2 == 0
    log, other = (SessionVectors(value[rows], users[rows]) for rows in (half, ~half))
    assert discriminate("names", log, other, sessions=300, seed=0).auc.mean < 0.65


def test_too_few_sessions_are_refused() -> None:
    vectors = synthetic(0)
    with pytest.raises(DataError, match=re.escape("got 700 and 5. Give a longer log")):
        discriminate("few", vectors, vectors.take(np.arange(5)), sessions=700, seed=0)
    alone = SessionVectors(vectors.values, np.zeros(700, dtype=np.int64))
    with pytest.raises(DataError, match="Give more users"):
        discriminate("alone", alone, alone, sessions=700, seed=0)
