"""Shifts bring mean predictions to rates, and leave rare events nearly alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit, softmax

from mtf_rl.user_models.calibration import PRIOR_EVENTS, event_shift, outcome_shifts


def test_a_constant_prediction_is_moved_by_hand() -> None:
    rows, rate, seen = 10_000, 0.2, 3000
    events = np.arange(rows) < seen
    # 2000 predicted, 3000 seen: drawn to 2000 * (3000 + 200) / (2000 + 200).
    target = rate * (seen + PRIOR_EVENTS) / (rate * rows + PRIOR_EVENTS)
    shift = event_shift(np.full(rows, logit(rate)), events)
    assert expit(logit(rate) + shift) == pytest.approx(target, rel=1e-6)


def test_a_rare_event_moves_little() -> None:
    logits = np.full(10_000, logit(0.001))  # 10 predicted, none seen
    assert np.exp(event_shift(logits, np.zeros(10_000, dtype=np.bool_))) > 0.94


@given(st.integers(0, 2**32 - 1))
def test_mean_predictions_become_the_drawn_shares(seed: int) -> None:
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


def test_an_impossible_outcome_stays_impossible() -> None:
    allowed = np.tile([True, True, False], (50, 1))
    shifts = outcome_shifts(np.zeros((50, 3)), allowed, np.zeros(50, dtype=np.int64))
    assert np.isfinite(shifts).all()
