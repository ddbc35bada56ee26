"""Temperature, isotonic and per-tab calibration: known distortions, fallbacks, JSON."""

import json

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression

from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.scorers import (
    CALIBRATORS,
    Calibration,
    TabCalibration,
    calibrate_by_tab,
    isotonic,
    platt,
    temperature,
)
from mtf_rl.scorers.metrics import expected_calibration_error

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(20_000, 1)) * 2
TARGETS = (RNG.random((20_000, 1)) < expit(0.5 * LOGITS)).astype(np.float32)
EVERYWHERE = np.ones((20_000, 1), dtype=bool)
RATES = np.array([0.5])


def test_temperature_equals_a_scalar_search() -> None:
    def loss(scale: float) -> float:
        p = expit(scale * LOGITS)
        return float(-(TARGETS * np.log(p) + (1 - TARGETS) * np.log1p(-p)).mean())

    expected = minimize_scalar(loss, bounds=(0.1, 3.0), method="bounded").x
    fitted = temperature(LOGITS, TARGETS, EVERYWHERE, RATES)
    assert fitted.scale[0] == pytest.approx(expected, rel=1e-3)
    assert fitted.scale[0] == pytest.approx(0.5, abs=0.03)
    assert (fitted.shift, fitted.methods) == ((0.0,), ("temperature",))


def test_temperature_is_finite_for_separable_and_for_reversed_rows() -> None:
    labels = (LOGITS > 0).astype(np.float32)
    assert 1.0 < temperature(LOGITS, labels, EVERYWHERE, RATES).scale[0] < 200.0
    assert 0.0 < temperature(LOGITS, 1 - labels, EVERYWHERE, RATES).scale[0] < 0.01


def test_isotonic_agrees_with_scikit_learn_at_the_middles_of_its_steps() -> None:
    fitted = isotonic(LOGITS, TARGETS, EVERYWHERE, RATES)
    reference = IsotonicRegression().fit(LOGITS[:, 0], TARGETS[:, 0])
    curve = fitted.steps[0]
    assert curve is not None
    inner = np.array(curve.logits)[1:-1]
    assert np.array(curve.probabilities)[1:-1] == pytest.approx(reference.predict(inner), abs=1e-6)
    assert np.all(np.diff(curve.probabilities) > 0)
    assert np.all(np.diff(curve.logits) > 0)


def test_isotonic_corrects_a_distortion_that_platt_cannot() -> None:
    truth = 0.2 + 0.6 * (LOGITS > 1)
    targets = (RNG.random(truth.shape) < truth).astype(np.float32)
    errors = {
        name: expected_calibration_error(
            CALIBRATORS[name](LOGITS, targets, EVERYWHERE, RATES).apply(LOGITS)[:, 0], targets[:, 0]
        )
        for name in ("isotonic", "platt")
    }
    assert errors["isotonic"] < 0.015
    assert errors["isotonic"] < errors["platt"] / 3


def test_isotonic_probabilities_stay_away_from_zero_and_one() -> None:
    logits = np.linspace(-5, 5, 1000)[:, None]
    targets = (logits > 0).astype(np.float32)
    p = isotonic(logits, targets, EVERYWHERE[:1000], RATES).apply(logits)
    assert p.min() == pytest.approx(0.5 / 1000)
    assert p.max() == pytest.approx(1 - 0.5 / 1000)


@pytest.mark.parametrize("name", ["temperature", "isotonic", "platt"])
def test_a_task_with_too_few_positives_is_only_shifted(name: str) -> None:
    targets = np.zeros_like(TARGETS)
    targets[:5] = 1.0
    fitted = CALIBRATORS[name](LOGITS, targets, EVERYWHERE, np.array([0.001]))
    assert fitted.methods == ("shift",)
    assert 0.0002 < fitted.apply(LOGITS).mean() < 0.001


def two_tabs() -> tuple[IntArray, FloatArray]:
    """Tabs 3 and 4; the true logit of tab 4 is shifted by 2."""
    tabs = np.repeat([3, 4], 10_000)
    truth = expit(LOGITS[:, 0] + 2.0 * (tabs == 4))
    return tabs, (RNG.random(20_000) < truth).astype(np.float32)[:, None]


def test_each_tab_has_its_own_calibration_and_unknown_tabs_use_the_overall_one() -> None:
    tabs, targets = two_tabs()
    fitted = calibrate_by_tab(platt, LOGITS, targets, EVERYWHERE, RATES, tabs)
    assert fitted.tabs == (3, 4)
    assert fitted.by_tab[0].shift[0] == pytest.approx(0.0, abs=0.1)
    assert fitted.by_tab[1].shift[0] == pytest.approx(2.0, abs=0.1)
    p = fitted.apply(LOGITS, tabs)
    for code in (3, 4):
        rows = tabs == code
        assert expected_calibration_error(p[rows, 0], targets[rows, 0]) < 0.015
        alone = platt(LOGITS[rows], targets[rows], EVERYWHERE[rows], RATES)
        assert np.array_equal(p[rows], alone.apply(LOGITS[rows]))
    unknown = np.full(20_000, 9)
    assert np.array_equal(fitted.apply(LOGITS, unknown), fitted.overall.apply(LOGITS))
    assert np.array_equal(fitted.apply(LOGITS), fitted.overall.apply(LOGITS))


def test_a_small_tab_or_a_rare_task_uses_the_overall_calibration() -> None:
    tabs, targets = two_tabs()
    tabs[:500] = 5
    targets[tabs == 4] = 0.0
    fitted = calibrate_by_tab(isotonic, LOGITS, targets, EVERYWHERE, RATES, tabs)
    assert fitted.tabs == (3, 4)
    assert fitted.by_tab[1].steps == fitted.overall.steps


def test_calibrations_survive_a_json_round_trip() -> None:
    tabs, targets = two_tabs()
    targets = np.concatenate([targets, np.zeros_like(targets)], axis=1)
    logits, mask = np.repeat(LOGITS, 2, axis=1), np.repeat(EVERYWHERE, 2, axis=1)
    rates = np.array([0.5, 0.01])
    for calibrator in CALIBRATORS.values():
        fitted = calibrator(logits, targets, mask, rates)
        assert Calibration.from_json(json.loads(json.dumps(fitted.to_json()))) == fitted
        by_tab = calibrate_by_tab(calibrator, logits, targets, mask, rates, tabs)
        assert TabCalibration.from_json(json.loads(json.dumps(by_tab.to_json()))) == by_tab
