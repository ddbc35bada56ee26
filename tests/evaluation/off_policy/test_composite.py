"""The composite of a model's answer and a direct estimate."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtf_rl.core.errors import ConfigError, ShapeError
from mtf_rl.evaluation.off_policy import composite_of


def test_the_fraction_of_zero_departures_is_one_nth() -> None:
    """tau (tau^2 + s^2)^(-n/2) is largest at tau^2 = s^2 / (n - 1)."""
    for count in (2, 5, 30):
        found = composite_of(np.zeros(count), np.full(count, 3.0))
        np.testing.assert_allclose(found.fractions, 1.0 / count, rtol=1e-4)
        assert found.spread == pytest.approx(3.0 / np.sqrt(count - 1), rel=1e-4)


def test_of_equal_errors_by_hand() -> None:
    """With n = 2, s = 1, d = (3, 3): tau / total * exp(-9 / total), total = tau^2 + 1.

    1 / (2 tau^2) - 1 / total + 9 / total^2 = 0, hence tau^4 - 18 tau^2 - 1 = 0.
    """
    found = composite_of(np.array([3.0, 3.0]), np.ones(2))
    variance = 9.0 + np.sqrt(82.0)
    assert found.spread**2 == pytest.approx(variance, rel=1e-4)
    np.testing.assert_allclose(found.fractions, variance / (variance + 1.0), rtol=1e-5)
    np.testing.assert_allclose(found.variance(np.full(2, 2.0)), 4.0 * found.fractions)


def test_against_a_plain_search() -> None:
    rng = np.random.default_rng(0)
    departures, errors = rng.normal(0.0, 2.0, 12), rng.uniform(0.5, 2.0, 12)
    best, largest = 0.0, -np.inf
    for spread in np.linspace(0.01, 8.0, 8_000):
        value = spread
        for departure, error in zip(departures, errors, strict=True):
            total = spread**2 + error**2
            value *= np.exp(-0.5 * departure**2 / total) / np.sqrt(total)
        if value > largest:
            best, largest = spread, value
    assert composite_of(departures, errors).spread == pytest.approx(best, abs=2e-3)


@given(
    st.lists(st.floats(-50.0, 50.0), min_size=2, max_size=20),
    st.floats(0.1, 5.0),
    st.floats(0.01, 100.0),
)
def test_fractions_do_not_depend_on_unit_or_order(
    departures: list[float], error: float, unit: float
) -> None:
    told = np.array(departures)
    errors = error * np.linspace(1.0, 2.0, len(told))
    found = composite_of(told, errors)
    assert ((found.fractions > 0.0) & (found.fractions < 1.0)).all()
    assert (np.diff(found.fractions) <= 0.0).all()  # the noisier, the less is believed
    scaled = composite_of(unit * told, unit * errors)
    np.testing.assert_allclose(scaled.fractions, found.fractions, rtol=1e-3, atol=1e-6)
    turned = composite_of(told[::-1], errors[::-1])
    np.testing.assert_allclose(turned.fractions[::-1], found.fractions, rtol=1e-3, atol=1e-6)


def test_it_is_better_than_either_and_says_how_good() -> None:
    rng = np.random.default_rng(1)
    lost, held = np.zeros(3), []
    for _ in range(300):
        true = rng.normal(0.0, 1.5, 25)
        errors = rng.uniform(1.0, 3.0, 25)
        told = true + errors * rng.normal(size=25)
        found = composite_of(told, errors)
        wrong = found.fractions * told - true
        lost += [(wrong**2).mean(), ((told - true) ** 2).mean(), (true**2).mean()]
        held.append((np.abs(wrong) < 1.96 * np.sqrt(found.variance(errors))).mean())
    assert lost[0] < 0.75 * lost[1:].min()
    assert 0.92 < np.mean(held) < 0.97


def test_a_policy_that_nothing_is_known_of_does_not_move_the_others() -> None:
    told = composite_of(np.zeros(4), np.array([1.0, 1.0, 1.0, 3_000.0]))
    np.testing.assert_allclose(told.fractions[:3], 1.0 / 3.0, rtol=1e-3)
    assert told.fractions[3] < 1e-6


def test_a_single_policy_is_not_shrunk() -> None:
    found = composite_of(np.array([0.1]), np.array([4.0]))
    assert found.fractions.tolist() == [1.0]
    assert found.variance(np.array([4.0])).tolist() == [16.0]


def test_bad_input_is_refused() -> None:
    with pytest.raises(ShapeError, match=re.escape("errors must have shape (policies) = (2,)")):
        composite_of(np.zeros(2), np.ones(3))
    with pytest.raises(ConfigError, match="at least 1 policy, got"):
        composite_of(np.zeros(0), np.zeros(0))
    with pytest.raises(ConfigError, match="errors above 0"):
        composite_of(np.zeros(2), np.array([1.0, 0.0]))
    with pytest.raises(ConfigError, match="departures must be finite"):
        composite_of(np.array([np.nan, 1.0]), np.ones(2))
