"""Reliability curves against hand calculations, and the PNG output."""

import numpy as np
import pytest

from mtf_rl.scorers.metrics import expected_calibration_error
from mtf_rl.scorers.pictures import reliability_curve, reliability_picture
from tests.scorers.examples import example_rows


def test_curve_by_hand() -> None:
    # Predictions 0.1 and 0.2 form the first bin, 0.6 and 0.8 the second.
    predicted, observed = reliability_curve(
        np.array([0.8, 0.1, 0.6, 0.2]), np.array([1.0, 0.0, 0.0, 1.0]), bins=2
    )
    assert predicted.tolist() == pytest.approx([0.15, 0.7])
    assert observed.tolist() == [0.5, 0.5]


def test_mean_gap_of_the_curve_equals_the_calibration_error() -> None:
    rng = np.random.default_rng(0)
    predictions, targets = rng.random(2000), (rng.random(2000) < 0.3).astype(float)
    predicted, observed = reliability_curve(predictions, targets)
    error = expected_calibration_error(predictions, targets)
    assert np.abs(predicted - observed).mean() == pytest.approx(error)


def test_picture_is_a_png() -> None:
    rows = example_rows(200)
    mask = rows.mask
    mask[:, 3] = False  # a task without rows leaves its panel empty
    predictions = np.random.default_rng(0).random(rows.targets.shape)
    assert reliability_picture(predictions, predictions / 2, rows).startswith(b"\x89PNG")
