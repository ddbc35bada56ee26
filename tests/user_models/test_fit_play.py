"""Play outcomes and times against hand calculations, loops and the rules of the log."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.user_models.play import (
    COMPLETE,
    NUM_OUTCOMES,
    SPAN_STARTS_SECONDS,
    ZERO_PLAY,
    PlayTimes,
    allowed_outcomes,
    draw_outcomes,
    outcome_fractions,
    outcome_names,
    play_features,
    play_outcomes,
    slice_means,
)

durations = st.integers(1, 2_000_000).map(lambda ms: np.float32(ms / 1000.0))


def naive_outcome(play_ms: int, duration_ms: int) -> int:
    if play_ms == 0:
        return ZERO_PLAY
    if play_ms >= duration_ms:
        return COMPLETE
    return max(i for i, start in enumerate(SPAN_STARTS_SECONDS) if play_ms >= 1000 * start) + 1


def some_play_times() -> PlayTimes:
    rng = np.random.default_rng(0)
    duration = rng.uniform(3.0, 400.0, 4000)
    return PlayTimes.fit(duration * rng.gamma(0.5, 1.0, 4000), duration)


def test_every_outcome_has_a_name() -> None:
    assert len(outcome_names()) == NUM_OUTCOMES


@given(st.integers(0, 500_000), st.integers(1, 500_000))
def test_outcomes_equal_a_naive_implementation(play_ms: int, duration_ms: int) -> None:
    play, duration = np.array([play_ms / 1000.0]), np.array([duration_ms / 1000.0])
    outcome = play_outcomes(play, duration)[0]
    assert outcome == naive_outcome(play_ms, duration_ms)
    assert allowed_outcomes(duration)[0, outcome]


def test_spans_beyond_the_duration_are_masked() -> None:
    allowed = allowed_outcomes(np.array([5.0, 5.001, 1000.0]))
    # 5 s: spans from 1 ms, 1 s, 2 s, 3 s can end before the video; the one from 5 s cannot.
    assert allowed[0].tolist() == [True] * 5 + [False] * 8 + [True]
    assert allowed[1].tolist() == [True] * 6 + [False] * 7 + [True]
    assert allowed[2].all()


@given(durations, st.integers(0, NUM_OUTCOMES - 1), st.floats(0.0, 1.0, exclude_max=True))
def test_a_drawn_time_is_consistent_with_its_outcome(
    duration: np.float32, outcome: int, uniform: float
) -> None:
    seconds = np.array([duration])
    if not allowed_outcomes(seconds)[0, outcome]:
        return
    play = some_play_times().draw(np.array([outcome]), seconds, np.array([uniform]))
    assert play_outcomes(play, seconds)[0] == outcome
    assert np.rint(np.float64(play[0]) * 1000.0) == pytest.approx(
        np.float64(play[0]) * 1000.0, abs=0.2
    )


@given(durations, st.integers(0, 2**32 - 1))
def test_click_and_long_view_are_determined_by_the_outcome(duration: np.float32, seed: int) -> None:
    rng = np.random.default_rng(seed)
    seconds = np.full(20, duration)
    fractions = outcome_fractions(rng.normal(size=(20, NUM_OUTCOMES)), seconds)
    outcomes = draw_outcomes(fractions, rng.random(20))
    play = some_play_times().draw(outcomes, seconds, rng.random(20))
    starts = np.array([0.0, *SPAN_STARTS_SECONDS, np.inf])[outcomes]
    assert np.array_equal(KUAIRAND_TASKS["click"].follows(play, seconds), starts >= 7.0)
    assert np.array_equal(KUAIRAND_TASKS["long_view"].follows(play, seconds), starts >= 18.0)


def test_drawn_outcomes_have_the_masked_probabilities() -> None:
    rng = np.random.default_rng(1)
    logits = np.tile(rng.normal(size=NUM_OUTCOMES), (40_000, 1))
    seconds = np.full(40_000, 6.0)
    allowed = allowed_outcomes(seconds)
    outcomes = draw_outcomes(outcome_fractions(logits, seconds), rng.random(40_000))
    weights = [np.exp(logits[0, k]) * allowed[0, k] for k in range(NUM_OUTCOMES)]
    fractions = np.bincount(outcomes, minlength=NUM_OUTCOMES) / 40_000
    assert np.all(fractions[~allowed[0]] == 0.0)
    np.testing.assert_allclose(fractions, np.array(weights) / sum(weights), atol=0.01)


@given(st.integers(0, 1000))
def test_outcome_fractions_equal_a_masked_softmax(seed: int) -> None:
    rng = np.random.default_rng(seed)
    seconds = rng.uniform(0.001, 400.0, 30)
    logits = rng.normal(0.0, 3.0, (30, NUM_OUTCOMES + 5))  # the other columns are interactions
    masked = np.where(allowed_outcomes(seconds), logits[:, :NUM_OUTCOMES], -np.inf)
    np.testing.assert_allclose(
        outcome_fractions(logits, seconds), softmax(masked, axis=1), rtol=1e-12
    )


@given(st.lists(st.floats(0.0, 100.0), min_size=1, max_size=50), st.integers(1, 70))
def test_slice_means_keep_the_mean_and_the_order(values: list[float], slices: int) -> None:
    table = slice_means(np.array(values), slices, empty=np.zeros(slices))
    assert table.mean() == pytest.approx(np.mean(values), abs=1e-9)
    assert np.all(np.diff(table) >= -1e-6)


def test_slice_means_without_values_are_the_default() -> None:
    assert slice_means(np.array([]), 2, empty=np.array([1.0, 2.0])).tolist() == [1.0, 2.0]


def test_fitted_times_keep_the_mean_of_the_log() -> None:
    rng = np.random.default_rng(2)
    duration = np.full(20_000, 40.0)
    play = np.rint(1000.0 * rng.gamma(0.8, 25.0, 20_000)) / 1000.0
    times = PlayTimes.fit(play, duration)
    drawn = times.draw(play_outcomes(play, duration), duration, rng.random(20_000))
    assert drawn.mean() == pytest.approx(play.mean(), rel=0.02)
    for fraction in (0.1, 0.5, 0.9):
        assert np.quantile(drawn, fraction) == pytest.approx(np.quantile(play, fraction), rel=0.05)


def test_play_features_by_hand() -> None:
    features = play_features(np.array([10.0, 0.0]), np.array([4.0, 4.0]))
    assert np.flatnonzero(features[0, :NUM_OUTCOMES]).tolist() == [COMPLETE]
    assert features[0, NUM_OUTCOMES:].tolist() == [np.log1p(10.0), 2.0]
    assert np.flatnonzero(features[1]).tolist() == [ZERO_PLAY]
