"""Logit shifts match mean predictions to observed rates, shrunk for rare events."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit, softmax

from mtf_rl.user_models.calibration import PRIOR_EVENTS, event_shift, outcome_shifts


def test_event_shift_of_a_constant_prediction_by_hand() -> None:
    rows, rate, seen = 10_000, 0.2, 3000
    events = np.arange(rows) < seen
    # 2000 events predicted, 3000 observed: the target is 2000 * (3000 + 200) / (2000 + 200).
    target = rate * (seen + PRIOR_EVENTS) / (rate * rows + PRIOR_EVENTS)
    shift = event_shift(np.full(rows, logit(rate)), events)
    assert expit(logit(rate) + shift) == pytest.approx(target, rel=1e-6)


def test_a_rare_event_gets_a_small_shift() -> None:
    logits = np.full(10_000, logit(0.001))  # 10 predicted, none observed
    assert np.exp(event_shift(logits, np.zeros(10_000, dtype=np.bool_))) > 0.94


@given(st.integers(0, 2**32 - 1))
def test_mean_predictions_equal_the_shrunk_fractions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(500, 4))
    allowed = rng.random((500, 4)) < 0.7
    allowed[:, 0] = True
    outcomes = np.where(allowed[:, 2], 2, 0)
    shifts = outcome_shifts(logits, allowed, outcomes)
    before = softmax(np.where(allowed, logits, -np.inf), axis=1).sum(axis=0)
    after = softmax(np.where(allowed, logits + shifts, -np.inf), axis=1).sum(axis=0)
    seen = np.bincount(outcomes, minlength=4)
    target = [
        b * (s + PRIOR_EVENTS) / (b + PRIOR_EVENTS) for b, s in zip(before, seen, strict=True)
    ]
    np.testing.assert_allclose(after, np.array(target) * 500 / sum(target), rtol=0.02)


def test_a_masked_outcome_keeps_probability_zero() -> None:
    allowed = np.tile([True, True, False], (50, 1))
    shifts = outcome_shifts(np.zeros((50, 3)), allowed, np.zeros(50, dtype=np.int64))
    assert np.isfinite(shifts).all()
