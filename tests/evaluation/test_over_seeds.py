"""Statistics over seeds: by hand, by a naive loop, by SciPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mtf_rl.core.errors import ShapeError
from mtf_rl.evaluation.over_seeds import (
    interquartile_mean,
    mean_over_seeds,
    normalised_score,
    paired_over_seeds,
    probability_of_improvement,
)

NUMBERS = st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=2, max_size=9)


def test_paired_differences_are_scipys_paired_t() -> None:
    one, other = np.array([5.0, 7.0, 6.5, 4.0]), np.array([4.0, 6.5, 6.0, 4.5])
    found = paired_over_seeds(one, other)
    expected = stats.ttest_rel(one, other).confidence_interval(0.95)
    assert found.mean == pytest.approx(0.375)  # (1 + .5 + .5 - .5) / 4
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    with pytest.raises(ShapeError, match="paired by seed must have one shape"):
        paired_over_seeds(one, other[:2])
    assert mean_over_seeds(np.array([3.0])).high == np.inf


@given(NUMBERS)
def test_probability_of_improvement_counts_pairs(pairs: list[tuple[int, int]]) -> None:
    one, other = (np.array(side, dtype=np.float64) for side in zip(*pairs, strict=True))
    wins = [1.0 if x > y else 0.5 if x == y else 0.0 for x in one for y in other]
    found = probability_of_improvement(one, other)
    assert found.mean == pytest.approx(np.mean(wins))
    statistic = stats.mannwhitneyu(one, other).statistic
    assert found.mean == pytest.approx(statistic / len(one) ** 2)
    assert found.low <= found.mean + 1e-12
    assert found.mean <= found.high + 1e-12
    mirrored = probability_of_improvement(other, one)
    assert mirrored.mean == pytest.approx(1.0 - found.mean)


def test_the_interquartile_mean_ignores_outliers() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 1000.0])
    assert interquartile_mean(values).mean == pytest.approx((3 + 4 + 5 + 6) / 4)


def test_the_score_is_0_for_uniform_and_100_for_the_best() -> None:
    assert normalised_score(60.0, zero=60.0, hundred=70.0) == 0.0
    assert normalised_score(70.0, zero=60.0, hundred=70.0) == 100.0
    assert normalised_score(58.0, zero=60.0, hundred=70.0) == pytest.approx(-20.0)
