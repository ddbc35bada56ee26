"""Log likelihoods against loops and SciPy."""

import numpy as np
import pytest
from scipy import stats

from mtf_rl.user_models import likelihoods
from mtf_rl.user_models.reports import FitReport, PartReport


def test_bernoulli_against_scipy() -> None:
    rng = np.random.default_rng(0)
    events, probabilities = rng.random(50) < 0.3, rng.uniform(0.01, 0.99, 50)
    expected = stats.bernoulli.logpmf(events, probabilities)
    np.testing.assert_allclose(likelihoods.bernoulli(events, probabilities), expected)


def test_bernoulli_is_finite_for_events_of_probability_zero() -> None:
    impossible = likelihoods.bernoulli(np.array([True, False]), np.array([0.0, 1.0]))
    np.testing.assert_allclose(impossible, np.log(1e-6), rtol=1e-9)


def test_categorical_against_a_loop() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(20, 4))
    allowed = rng.random((20, 4)) < 0.6
    outcomes = rng.integers(0, 4, 20)
    allowed[np.arange(20), outcomes] = True
    for row, log_probability in enumerate(likelihoods.categorical(outcomes, logits, allowed)):
        weights = [np.exp(logits[row, k]) for k in range(4) if allowed[row, k]]
        assert log_probability == pytest.approx(
            np.log(np.exp(logits[row, outcomes[row]]) / sum(weights))
        )


def test_log_normal_against_scipy() -> None:
    values = np.array([-1.0, 0.0, 3.0])
    expected = stats.norm.logpdf(values, 0.5, 2.0)
    np.testing.assert_allclose(likelihoods.log_normal(values, 0.5, 2.0), expected)


def test_group_rates_by_hand() -> None:
    events = np.array([True, True, False, False])
    rates = likelihoods.group_rates(events, np.array([0, 0, 0, 1]), 3, strength=2.0)
    # Overall rate 0.5, strength 2: (2 + 1) / (3 + 2), (0 + 1) / (1 + 2), 1 / 2.
    np.testing.assert_allclose(rates, [0.6, 1.0 / 3.0, 0.5])


def test_group_fractions_by_hand() -> None:
    fractions = likelihoods.group_fractions(np.array([0, 1]), 2, np.array([0, 0]), 2, strength=2.0)
    np.testing.assert_allclose(fractions, [[0.5, 0.5], [0.5, 0.5]])
    skewed = likelihoods.group_fractions(
        np.array([0, 0, 0, 1]), 2, np.array([0, 0, 0, 1]), 2, strength=6.0
    )
    # Overall fractions (3 + 1, 1 + 1) / 6, strength 6: group 0 has (3 + 4, 0 + 2) / 9.
    np.testing.assert_allclose(skewed[0], [7.0 / 9.0, 2.0 / 9.0])


def test_a_report_survives_json_and_its_table_shows_the_gain() -> None:
    report = FitReport((PartReport("like", 1200, -0.2, "base rate", -0.25),))
    assert FitReport.from_json(report.to_json()) == report
    assert report.parts[0].gain == pytest.approx(0.05)
    assert "| like | 1,200 | -0.2000 | base rate | -0.2500 | +0.0500 |" in report.to_markdown()
