"""Calibration: by hand, against scikit-learn, and of chances that are true."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from mtf_rl.evaluation.fidelity import reliability


def test_reliability_by_hand() -> None:
    chances = np.array([0.2, 0.8, 0.4, 0.6])
    events = np.array([False, True, True, False])
    found = reliability("click", chances, events, seed=0)
    # Four observations make four bins, sorted by chance: misses of 0.2, 0.6, 0.6 and 0.2.
    assert found.predicted == (0.2, 0.4, 0.6, 0.8)
    assert found.observed == (0.0, 1.0, 0.0, 1.0)
    assert found.ece == pytest.approx(0.4)
    assert found.log_likelihood == pytest.approx((2 * np.log(0.8) + 2 * np.log(0.4)) / 4)
    assert found.base_log_likelihood == pytest.approx(np.log(0.5))


def test_reliability_against_loops_and_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    chances = rng.beta(1.0, 4.0, 1003)
    events = rng.random(1003) < chances**1.3
    found = reliability("like", chances, events, seed=0)
    assert found.log_likelihood == pytest.approx(-log_loss(events, chances))
    assert found.base_log_likelihood == pytest.approx(
        -log_loss(events, np.full(1003, events.mean()))
    )
    order = np.argsort(chances)
    bins: list[list[int]] = [[] for _ in range(10)]
    for position, row in enumerate(order):
        bins[position * 10 // 1003].append(int(row))
    naive = sum(len(rows) / 1003 * abs(chances[rows].mean() - events[rows].mean()) for rows in bins)
    assert found.ece == pytest.approx(naive)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000))
def test_true_chances_miss_as_chance_does(seed: int) -> None:
    rng = np.random.default_rng(seed)
    chances = rng.beta(1.0, 4.0, 4000)
    found = reliability("like", chances, rng.random(4000) < chances, seed=0)
    assert found.ece < 2.5 * found.ece_of_chance
    wrong = reliability("like", chances, rng.random(4000) < chances / 2, seed=0)
    assert wrong.ece > 4.0 * wrong.ece_of_chance
    assert found.gain > 0.0
