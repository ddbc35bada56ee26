"""An estimate and the interval that is made of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mtf_rl.evaluation.off_policy import Estimate, RatioSum, bootstrapped, mean_estimate


def test_a_t_interval_by_hand() -> None:
    """Values 1, 2, 6: mean 3, variance 7, standard error sqrt(7 / 3); t of 2 degrees is 4.303."""
    found = mean_estimate(np.array([1.0, 2.0, 6.0]))
    assert (found.value, found.degrees) == (3.0, 2)
    assert found.stderr == pytest.approx(np.sqrt(7.0 / 3.0))
    interval = found.interval(0.95)
    assert interval.high - 3.0 == pytest.approx(4.3027 * np.sqrt(7.0 / 3.0), rel=1e-4)
    assert 3.0 - interval.low == pytest.approx(interval.high - 3.0)


@given(st.lists(st.floats(-9.0, 9.0), min_size=3, max_size=40), st.floats(0.5, 0.99))
def test_it_is_scipys_interval(values: list[float], confidence: float) -> None:
    array = np.array(values)
    found = mean_estimate(array).interval(confidence)
    if array.std() > 1e-6:
        expected = stats.ttest_1samp(array, 0.0).confidence_interval(confidence)
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    wider = mean_estimate(array).interval(0.995)
    assert wider.low <= found.low <= found.high <= wider.high


def test_an_error_with_infinite_degrees_is_normal() -> None:
    found = Estimate(1.0, 2.0).interval(0.9)
    assert found.high == pytest.approx(1.0 + 2.0 * stats.norm.ppf(0.95))


def test_resamples_give_percentiles_and_a_standard_error() -> None:
    drawn = np.random.default_rng(0).exponential(size=(5_000, 2))
    first, second = bootstrapped(np.array([1.0, 2.0]), drawn)
    assert (first.value, second.value) == (1.0, 2.0)
    assert first.stderr == pytest.approx(drawn[:, 0].std(ddof=1))
    low, high = np.quantile(drawn[:, 1], [0.05, 0.95])
    assert second.interval(0.9).low == pytest.approx(low)
    assert second.interval(0.9).high == pytest.approx(high)
    assert first == Estimate(1.0, first.stderr)  # resamples are no part of what is compared


def test_one_session_has_an_unknown_error() -> None:
    found = RatioSum.mean(np.array([2.0])).estimate()
    assert (found.value, found.stderr) == (2.0, np.inf)
    assert found.interval() == mean_estimate(np.array([2.0])).interval(0.5)
    assert np.isneginf(found.interval().low)
