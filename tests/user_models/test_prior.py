"""The declared prior against published statistics and SciPy."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mtf_rl.core.errors import ConfigError
from mtf_rl.core.history import VisibleHistory, start_history
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.user_models.prior import DeclaredPrior, visible_engagement
from mtf_rl.user_models.traces import start_trace
from tests.user_models.examples import random_history

NO_TRACE = start_trace(1)
ONE_USER = np.zeros(1, dtype=np.int64)


def history_with(requests: int = 4, **signals: float) -> VisibleHistory:
    """A history whose corrected averages are the given signals."""
    values = np.array(
        [signals.get(name, 0.0) for name in KUAIRAND_TASKS.signal_names], dtype=np.float32
    )
    history = start_history(np.array([12.0]), 2)
    return replace(
        history,
        requests=np.array([requests], dtype=np.int32),
        slow=(1.0 - 0.9**requests) * values[None, :],
    )


def test_engagement_by_hand() -> None:
    history = history_with(
        play_ratio=0.4, like=0.1, follow=0.02, comment=0.05, hate=0.01, click=1.0
    )
    # 0.4 + 1 * 0.1 + 5 * 0.02 + 3 * 0.05 - 5 * 0.01
    np.testing.assert_allclose(visible_engagement(history), [0.70], rtol=1e-6)


def test_leaving_by_hand() -> None:
    prior = DeclaredPrior(leave_tilt=0.5, engagement_mean=0.3, engagement_scale=0.1)
    average = prior.leave_probability(ONE_USER, history_with(play_ratio=0.3), NO_TRACE)
    np.testing.assert_allclose(average, [0.0738], rtol=1e-6)
    happy = prior.leave_probability(ONE_USER, history_with(play_ratio=0.4), NO_TRACE)
    odds = 0.0738 / (1.0 - 0.0738) * np.exp(-0.5)
    np.testing.assert_allclose(happy, [odds / (1.0 + odds)], rtol=1e-5)


def test_returning_by_hand() -> None:
    prior = DeclaredPrior(return_tilt=0.0)
    probabilities = prior.return_probabilities(ONE_USER, history_with(play_ratio=0.9), NO_TRACE)
    np.testing.assert_allclose(probabilities, [[0.957, 0.46]])
    # A return after 1 day, or 1 plus a geometric number of days, has the published mean 1.093.
    assert pytest.approx(1.093, abs=0.001) == 1.0 + (1.0 - 0.957) / 0.46


def test_satisfaction_is_zero_before_the_first_request() -> None:
    assert DeclaredPrior().satisfaction(history_with(requests=0)).tolist() == [0.0]


@given(st.floats(0.0, 0.9), st.floats(0.0, 0.1))
def test_more_engaged_users_leave_less_and_return_more(ratio: float, more: float) -> None:
    prior = DeclaredPrior()
    users = ONE_USER
    less_engaged, engaged = history_with(play_ratio=ratio), history_with(play_ratio=ratio + more)
    assert prior.leave_probability(users, engaged, NO_TRACE) <= prior.leave_probability(
        users, less_engaged, NO_TRACE
    )
    returns = prior.return_probabilities(users, engaged, NO_TRACE)
    assert np.all(returns >= prior.return_probabilities(users, less_engaged, NO_TRACE))


def test_gaps_have_the_published_quantiles() -> None:
    uniforms = (np.arange(20_000) + 0.5) / 20_000
    gaps = DeclaredPrior().pause_seconds(random_history(20_000), uniforms)
    assert gaps.min() >= 1.0
    assert gaps.max() <= 1800.0
    # KuaiRand-27K: p10 10 s, p50 71 s, p90 420 s, mean 166 s.
    published = [10.0, 71.0, 420.0, 166.0]
    np.testing.assert_allclose(
        [*np.quantile(gaps, [0.1, 0.5, 0.9]), gaps.mean()], published, rtol=0.06
    )


def test_gaps_equal_rejection_sampling_in_distribution() -> None:
    rng = np.random.default_rng(0)
    draws = np.exp(stats.t.rvs(1.74, 4.319, 1.263, size=40_000, random_state=rng))
    kept = draws[(draws >= 1.0) & (draws <= 1800.0)]
    gaps = DeclaredPrior().pause_seconds(random_history(5000), rng.random(5000))
    assert stats.ks_2samp(kept, gaps).statistic < 0.03


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("leave_probability_mean", 0.0, "leave_probability_mean must be in (0, 1), got 0.0"),
        ("later_day_return", 1.0, "later_day_return must be in (0, 1), got 1.0"),
        ("leave_tilt", -0.1, "leave_tilt must be >= 0, got -0.1"),
        ("gap_scale", 0.0, "gap_scale must be > 0, got 0.0"),
    ],
)
def test_invalid_settings_raise_an_error(field: str, value: float, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        replace(DeclaredPrior(), **{field: value})  # type: ignore[arg-type]


def test_every_part_has_a_sentence_with_its_numbers() -> None:
    sentences = DeclaredPrior(leave_tilt=0.125).sentences
    assert sorted(sentences) == ["leaving", "pausing", "returning"]
    assert "0.0738" in sentences["leaving"]
    assert "0.125" in sentences["leaving"]
