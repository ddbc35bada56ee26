"""Metrics against hand examples, scikit-learn, naive loops and properties."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import log_loss as sklearn_log_loss
from sklearn.metrics import roc_auc_score

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.scorers.metrics import (
    auc,
    calibration_ratio,
    chance_calibration_error,
    entropy,
    expected_calibration_error,
    grouped_auc,
    log_loss,
    normalised_entropy,
    positive,
)

# Sixteen levels, so that ties are common.
LEVELS = st.integers(1, 15).map(lambda level: level / 16)


def rows_of(count: int) -> st.SearchStrategy[tuple[FloatArray, BoolArray, IntArray]]:
    return st.tuples(
        arrays(np.float64, count, elements=LEVELS),
        arrays(np.bool_, count),
        arrays(np.int64, count, elements=st.integers(0, 4)),
    )


def naive_auc(predictions: FloatArray, positives: BoolArray) -> float:
    pairs = [
        (p > q) + 0.5 * (p == q) for p in predictions[positives] for q in predictions[~positives]
    ]
    return float(np.mean(pairs)) if pairs else np.nan


def naive_gauc(predictions: FloatArray, positives: BoolArray, users: IntArray) -> tuple[float, ...]:
    total, covered_rows, covered_users = 0.0, 0, 0
    for user in set(users.tolist()):
        own = users == user
        value = naive_auc(predictions[own], positives[own])
        if not np.isnan(value):
            total += own.sum() * value
            covered_rows += int(own.sum())
            covered_users += 1
    value = total / covered_rows if covered_rows else np.nan
    return value, covered_rows / len(users), covered_users / len(set(users.tolist()))


class TestAUC:
    def test_by_hand_with_a_won_a_tied_and_a_lost_pair(self) -> None:
        # The positive at 0.5 is above 0.2, ties with 0.5 and is below 0.9: (1 + 0.5 + 0) / 3.
        value = auc(np.array([0.5, 0.2, 0.5, 0.9]), np.array([True, False, False, False]))
        assert value == pytest.approx(0.5)

    @pytest.mark.parametrize("positives", [[True, True], [False, False]])
    def test_is_nan_with_one_class(self, positives: list[bool]) -> None:
        assert np.isnan(auc(np.array([0.1, 0.2]), np.array(positives)))

    def test_is_nan_without_rows(self) -> None:
        assert np.isnan(auc(np.empty(0), np.empty(0, dtype=bool)))

    def test_agrees_with_scikit_learn(self) -> None:
        rng = np.random.default_rng(0)
        predictions, positives = rng.integers(0, 50, 2000) / 50, rng.random(2000) < 0.03
        assert auc(predictions, positives) == pytest.approx(roc_auc_score(positives, predictions))

    @given(rows_of(12))
    def test_agrees_with_a_loop_over_pairs(
        self, rows: tuple[FloatArray, BoolArray, IntArray]
    ) -> None:
        predictions, positives, _ = rows
        expected = naive_auc(predictions, positives)
        assert auc(predictions, positives) == pytest.approx(expected, nan_ok=True)


class TestGroupedAUC:
    def test_weights_users_by_their_rows(self) -> None:
        # User 0: AUC 1 on 2 rows. User 1: AUC 0 on 3 rows. User 2: one class, excluded.
        result = grouped_auc(
            predictions=np.array([0.9, 0.1, 0.2, 0.8, 0.7, 0.5]),
            positives=np.array([True, False, True, False, False, True]),
            users=np.array([0, 0, 1, 1, 1, 2]),
        )
        assert result.value == pytest.approx((2 * 1.0 + 3 * 0.0) / 5)
        assert result.row_coverage == pytest.approx(5 / 6)
        assert result.user_coverage == pytest.approx(2 / 3)

    @given(rows_of(20))
    def test_agrees_with_a_loop_over_users(
        self, rows: tuple[FloatArray, BoolArray, IntArray]
    ) -> None:
        predictions, positives, users = rows
        result = grouped_auc(predictions, positives, users)
        expected = naive_gauc(predictions, positives, users)
        got = (result.value, result.row_coverage, result.user_coverage)
        assert got == pytest.approx(expected, nan_ok=True)

    @given(rows_of(20), st.permutations(range(20)))
    def test_ignores_row_order_and_monotone_transforms(
        self, rows: tuple[FloatArray, BoolArray, IntArray], order: list[int]
    ) -> None:
        predictions, positives, users = rows
        first = grouped_auc(predictions, positives, users)
        again = grouped_auc(np.exp(3 * predictions)[order], positives[order], users[order] * 7 - 3)
        assert again.value == pytest.approx(first.value, nan_ok=True)


class TestLogLoss:
    def test_of_probability_one_half_is_log_two(self) -> None:
        assert log_loss(np.full(2, 0.5), np.array([0.0, 1.0])) == pytest.approx(np.log(2))

    def test_of_a_fraction_by_hand(self) -> None:
        expected = -(0.25 * np.log(0.5) + 0.75 * np.log(0.5))
        assert log_loss(np.array([0.5]), np.array([0.25])) == pytest.approx(expected)

    @given(rows_of(8))
    def test_agrees_with_scikit_learn(self, rows: tuple[FloatArray, BoolArray, IntArray]) -> None:
        predictions, positives, _ = rows
        expected = sklearn_log_loss(positives, predictions, labels=[False, True])
        assert log_loss(predictions, positives.astype(float)) == pytest.approx(expected)

    def test_is_finite_for_wrong_predictions_of_zero_and_one(self) -> None:
        assert 10.0 < log_loss(np.array([0.0, 1.0]), np.array([1.0, 0.0])) < 20.0


class TestNormalisedEntropy:
    @pytest.mark.parametrize("rate", [0.001, 0.3, 0.9])
    def test_of_the_base_rate_is_one(self, rate: float) -> None:
        targets = np.zeros(1000)
        targets[: round(1000 * rate)] = 1.0
        assert normalised_entropy(np.full(1000, rate), targets) == pytest.approx(1.0)

    def test_is_nan_at_base_rates_zero_and_one(self) -> None:
        assert np.isnan(normalised_entropy(np.array([0.1, 0.2]), np.zeros(2)))

    def test_entropy_of_a_quarter(self) -> None:
        assert entropy(0.25) == pytest.approx(0.25 * np.log(4) + 0.75 * np.log(4 / 3))


class TestExpectedCalibrationError:
    def test_two_bins_by_hand(self) -> None:
        # Bins {0.1, 0.3} and {0.6, 0.8}: |0.2 - 0.5| / 2 + |0.7 - 1| / 2 = 0.3.
        value = expected_calibration_error(
            np.array([0.6, 0.1, 0.8, 0.3]), np.array([1.0, 0.0, 1.0, 1.0]), bins=2
        )
        assert value == pytest.approx(0.3)

    def test_of_a_constant_prediction_is_its_gap_to_the_base_rate(self) -> None:
        targets = (np.arange(1000) < 20).astype(float)  # sorted: naive bins would see rates 0 and 1
        assert expected_calibration_error(np.full(1000, 0.05), targets) == pytest.approx(0.03)

    def test_agrees_with_a_loop_over_bins(self) -> None:
        rng = np.random.default_rng(1)
        predictions = rng.random(1003)
        targets = (rng.random(1003) < predictions**2).astype(float)
        order = np.argsort(predictions)
        cuts = [int(1003 * b / 20) for b in range(21)]
        expected = sum(
            abs(predictions[order[a:b]].mean() - targets[order[a:b]].mean()) * (b - a) / 1003
            for a, b in itertools.pairwise(cuts)
        )
        assert expected_calibration_error(predictions, targets) == pytest.approx(expected)

    def test_of_true_probabilities_is_small(self) -> None:
        rng = np.random.default_rng(2)
        truth = rng.random(200_000) * 0.02
        targets = (rng.random(200_000) < truth).astype(float)
        assert expected_calibration_error(truth, targets) < 0.001
        assert expected_calibration_error(2 * truth, targets) == pytest.approx(0.01, abs=0.001)

    @given(rows_of(30), st.permutations(range(30)))
    def test_ignores_row_order(
        self, rows: tuple[FloatArray, BoolArray, IntArray], order: list[int]
    ) -> None:
        predictions, positives, _ = rows
        targets = positives.astype(float)
        first = expected_calibration_error(predictions, targets)
        assert 0.0 <= first <= 1.0
        again = expected_calibration_error(predictions[order], targets[order])
        assert again == pytest.approx(first)
        bias = abs(float(predictions.mean() - targets.mean()))
        assert first >= bias - 1e-12  # binning cannot hide a bias on average


def test_calibration_ratio() -> None:
    assert calibration_ratio(np.array([0.2, 0.4]), np.array([0.0, 1.0])) == pytest.approx(0.6)
    assert np.isnan(calibration_ratio(np.array([0.2]), np.array([0.0])))


def test_watch_counts_as_positive_from_eighteen_seconds() -> None:
    fractions = np.array([17.9, 18.0, 120.0], dtype=np.float32) / 120.0
    assert positive(KUAIRAND_TASKS["watch"], fractions).tolist() == [False, True, True]
    assert positive(KUAIRAND_TASKS["like"], np.array([0.0, 1.0])).tolist() == [False, True]


@pytest.mark.parametrize("rate", [0.4, 0.02, 0.0004])
def test_chance_calibration_error_equals_the_mean_ece_of_drawn_labels(rate: float) -> None:
    rng = np.random.default_rng(0)
    predictions = rng.beta(2.0, 2.0 / rate - 2.0, size=4000)
    drawn = [
        expected_calibration_error(predictions, (rng.random(4000) < predictions).astype(float))
        for _ in range(200)
    ]
    assert chance_calibration_error(predictions) == pytest.approx(np.mean(drawn), rel=0.12)


@pytest.mark.parametrize("levels", [1, 2, 6])
def test_chance_calibration_error_of_steps(levels: int) -> None:
    rng = np.random.default_rng(1)
    predictions = rng.choice(np.linspace(0.2, 0.5, levels), size=4000)
    drawn = [
        expected_calibration_error(predictions, (rng.random(4000) < predictions).astype(float))
        for _ in range(300)
    ]
    assert chance_calibration_error(predictions) == pytest.approx(np.mean(drawn), rel=0.12)


def test_chance_calibration_error_by_hand() -> None:
    # Two bins of two rows: p = 0.5 has variance 0.5 and gives sqrt(1 / pi) = 0.564; p = 1 gives 0.
    assert chance_calibration_error(np.array([0.5, 0.5, 1.0, 1.0]), bins=2) == pytest.approx(
        math.sqrt(1 / math.pi) / 4
    )
    assert math.isnan(chance_calibration_error(np.zeros(0)))
