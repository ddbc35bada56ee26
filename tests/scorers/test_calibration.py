"""Platt calibration against SciPy's minimiser, known distortions, and fallbacks."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit

from mtf_rl.core.arrays import FloatArray
from mtf_rl.scorers import CALIBRATORS, Calibration, platt
from mtf_rl.scorers.metrics import expected_calibration_error


def fit_one(logits: FloatArray, targets: FloatArray, base_rate: float = 0.1) -> Calibration:
    column = np.ones((len(logits), 1), dtype=bool)
    return platt(logits[:, None], targets[:, None], column, np.array([base_rate]))


def test_platt_corrects_a_known_distortion() -> None:
    # If P(y | z) = sigmoid(2 z - 1), the fit is a = 2, b = -1.
    rng = np.random.default_rng(0)
    logits = rng.normal(size=200_000)
    targets = (rng.random(200_000) < expit(2 * logits - 1)).astype(np.float32)
    fitted = fit_one(logits, targets)
    assert fitted.scale[0] == pytest.approx(2.0, abs=0.03)
    assert fitted.shift[0] == pytest.approx(-1.0, abs=0.03)
    assert fitted.methods == ("platt",)
    calibrated = fitted.apply(logits[:, None].astype(np.float32))[:, 0]
    assert expected_calibration_error(calibrated, targets) < 0.005
    assert expected_calibration_error(expit(logits), targets) > 0.05


@pytest.mark.parametrize("soft", [False, True])
def test_platt_agrees_with_scipy(*, soft: bool) -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(size=500) * 3 - 2
    fractions = expit(0.5 * logits + rng.normal(size=500))
    targets = fractions if soft else (fractions > 0.5).astype(float)

    def objective(parameters: FloatArray) -> float:
        p = expit(parameters[0] * logits + parameters[1])
        loss = -(targets * np.log(p) + (1 - targets) * np.log1p(-p)).sum()
        return float(loss + 0.5 * (parameters[0] - 1.0) ** 2)

    expected = minimize(objective, [1.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-7}).x
    fitted = fit_one(logits, targets)
    assert (fitted.scale[0], fitted.shift[0]) == pytest.approx(tuple(expected), abs=1e-4)


def test_mean_prediction_equals_the_base_rate() -> None:
    # The gradient in b is zero if and only if mean prediction equals mean target.
    rng = np.random.default_rng(2)
    logits = rng.normal(size=3000)
    targets = (rng.random(3000) < expit(logits - 4)).astype(float)
    calibrated = fit_one(logits, targets).apply(logits[:, None])
    assert calibrated.mean() == pytest.approx(targets.mean(), rel=1e-4)


def test_a_task_with_too_few_positives_is_only_shifted() -> None:
    # 4 positives in 1000 rows; the training rate 0.02 counts as 20 positives in 1000: 24 / 2000.
    logits = np.linspace(-6, -3, 1000)
    targets = np.zeros(1000)
    targets[-4:] = 1.0
    fitted = fit_one(logits, targets, base_rate=0.02)
    assert fitted.methods == ("shift",)
    assert fitted.scale == (1.0,)
    assert fitted.apply(logits[:, None]).mean() == pytest.approx(24 / 2000, rel=1e-4)


def test_a_reversed_ranking_is_not_inverted() -> None:
    logits = np.linspace(-3, 3, 400)
    targets = (logits < 0).astype(float)
    fitted = fit_one(logits, targets, base_rate=0.5)
    assert fitted.methods == ("shift",)
    assert fitted.scale == (1.0,)


def test_separable_rows_have_a_finite_fit() -> None:
    logits = np.linspace(-3, 3, 400)
    fitted = fit_one(logits, (logits > 0).astype(float))
    assert fitted.methods == ("platt",)
    assert 1.0 < fitted.scale[0] < 1000.0


def test_platt_converges_on_extreme_logits() -> None:
    rng = np.random.default_rng(3)
    logits = rng.normal(size=1000) * 100
    targets = (rng.random(1000) < expit(logits / 50)).astype(float)
    assert fit_one(logits, targets).scale[0] == pytest.approx(0.02, abs=0.005)


def test_only_rows_in_the_sample_space_count() -> None:
    rng = np.random.default_rng(4)
    logits, targets = rng.normal(size=(600, 1)), (rng.random((600, 1)) < 0.3).astype(float)
    mask = np.ones((600, 1), dtype=bool)
    mask[300:] = False
    spoilt = targets.copy()
    spoilt[300:] = 1.0 - spoilt[300:]
    rates = np.array([0.3])
    assert platt(logits, spoilt, mask, rates) == platt(
        logits[:300], targets[:300], mask[:300], rates
    )


@pytest.mark.parametrize("base_rate", [0.0, 1.0])
def test_zero_rows_give_the_identity(base_rate: float) -> None:
    fitted = fit_one(np.empty(0), np.empty(0), base_rate)
    assert (fitted.scale, fitted.shift) == ((1.0,), (0.0,))


def test_identity_is_the_sigmoid() -> None:
    logits = np.array([[-1.0, 2.0]])
    columns = np.ones((1, 2), dtype=bool)
    fitted = CALIBRATORS["identity"](logits, logits, columns, np.array([0.5, 0.5]))
    assert fitted.apply(logits) == pytest.approx(expit(logits))


def test_probabilities_stay_in_the_unit_interval() -> None:
    fitted = Calibration(scale=(50.0,), shift=(float(logit(0.3)),), methods=("platt",))
    p = fitted.apply(np.array([[-1e4], [0.0], [1e4]]))
    assert p.dtype == np.float32
    assert p[:, 0].tolist() == pytest.approx([0.0, 0.3, 1.0])
