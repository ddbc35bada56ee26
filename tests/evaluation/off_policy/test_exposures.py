"""Rankings replayed on random exposures."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import ndcg_score, roc_auc_score

from mtf_rl.core.errors import ConfigError, DataError
from mtf_rl.evaluation.off_policy.exposures import RandomExposures, mtf_gauc, ndcg, top_ranked


def made_up(seed: int = 0, rows: int = 400) -> tuple[RandomExposures, np.ndarray]:
    rng = np.random.default_rng(seed)
    exposures = RandomExposures(
        users=rng.integers(20, size=rows),
        days=rng.integers(4, size=rows),
        outcomes=rng.exponential(size=rows),
    )
    return exposures, np.round(rng.normal(size=rows), 1)  # rounded, so that some tie


def test_the_first_ranked_by_hand() -> None:
    """User 1 on day 0: the second video; user 1 on day 1: two tie; user 2: one video, left out."""
    exposures = RandomExposures(
        users=np.array([1, 1, 1, 1, 2]),
        days=np.array([0, 0, 1, 1, 0]),
        outcomes=np.array([1.0, 3.0, 2.0, 4.0, 9.0]),
    )
    found = top_ranked(exposures, np.array([0.1, 0.2, 0.5, 0.5, 0.0]))
    assert found.value.mean == pytest.approx((3.0 + 3.0) / 2.0)
    assert found.lift.mean == pytest.approx((1.0 + 0.0) / 2.0)
    assert (found.groups, found.left_out) == (2, 1)


def test_the_first_ranked_by_a_loop() -> None:
    exposures, scores = made_up()
    tops = []
    for user in range(20):
        for day in range(4):
            rows = np.flatnonzero((exposures.users == user) & (exposures.days == day))
            if len(rows) >= 2:
                best = rows[scores[rows] == scores[rows].max()]
                tops.append(exposures.outcomes[best].mean())
    assert top_ranked(exposures, scores).value.mean == pytest.approx(np.mean(tops))


def test_a_constant_score_gains_nothing_and_the_outcome_itself_most() -> None:
    exposures, scores = made_up()
    assert top_ranked(exposures, np.zeros(400)).lift.mean == pytest.approx(0.0, abs=1e-12)
    best = top_ranked(exposures, exposures.outcomes).lift
    assert best.low > 0.0
    assert best.mean >= top_ranked(exposures, scores).lift.mean


def test_gauc_is_the_mean_of_scikit_learns() -> None:
    exposures, scores = made_up()
    valid = (np.random.default_rng(9).uniform(size=400) < 0.4).astype(float)
    values = []
    for user in range(20):
        rows = exposures.users == user
        if 0 < valid[rows].sum() < rows.sum():
            values.append(
                roc_auc_score(valid[rows], scores[rows], sample_weight=exposures.outcomes[rows])
            )
    found = mtf_gauc(exposures, scores, valid)
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    assert found.mean == pytest.approx(np.mean(values))
    assert found.high - found.mean == pytest.approx(half)
    assert np.isnan(mtf_gauc(exposures, scores, np.ones(400)).mean)


def test_ndcg_is_the_mean_of_scikit_learns() -> None:
    exposures, _ = made_up()
    scores = np.random.default_rng(3).normal(size=400)  # no ties, which scikit-learn averages
    values = []
    for user in range(20):
        for day in range(4):
            rows = (exposures.users == user) & (exposures.days == day)
            if rows.sum() >= 2:
                values.append(ndcg_score([exposures.outcomes[rows]], [scores[rows]], k=3))
    assert ndcg(exposures, scores, 3).mean == pytest.approx(np.mean(values))


@given(st.permutations(range(30)))
def test_the_order_of_rows_does_not_count(order: list[int]) -> None:
    exposures, _ = made_up(rows=30)
    scores = np.random.default_rng(4).normal(size=30)
    valid = (exposures.outcomes > 0.5).astype(float)
    moved = RandomExposures(
        exposures.users[order], exposures.days[order], exposures.outcomes[order]
    )
    assert top_ranked(moved, scores[order]).value.mean == pytest.approx(
        top_ranked(exposures, scores).value.mean
    )
    assert ndcg(moved, scores[order], 2).mean == pytest.approx(ndcg(exposures, scores, 2).mean)
    assert mtf_gauc(moved, scores[order], valid[order]).mean == pytest.approx(
        mtf_gauc(exposures, scores, valid).mean, nan_ok=True
    )


def test_exposures_that_cannot_be_ranked_are_refused() -> None:
    one = RandomExposures(np.array([1]), np.array([0]), np.array([1.0]))
    with pytest.raises(DataError, match="at least two random exposures"):
        top_ranked(one, np.array([0.5]))
    with pytest.raises(DataError, match="scores must be finite; row 0"):
        top_ranked(one, np.array([np.nan]))
    with pytest.raises(DataError, match="scores must be finite; row 0"):
        ndcg(one, np.array([np.nan]), 1)
    with pytest.raises(DataError, match="scores must be finite; row 0"):
        mtf_gauc(one, np.array([np.nan]), np.ones(1))
    with pytest.raises(DataError, match="valid must be 0 or 1; row 0"):
        mtf_gauc(one, np.zeros(1), np.array([0.5]))
    with pytest.raises(ConfigError, match="k must be at least 1, got 0"):
        ndcg(one, np.zeros(1), 0)
    with pytest.raises(DataError, match="at least one row"):
        RandomExposures(np.array([], dtype=int), np.array([], dtype=int), np.array([]))
