"""The score table: each cell holds the prediction of its (user, video) pair."""

from dataclasses import replace
from typing import cast

import numpy as np
import pytest

from mtf_rl.core.arrays import IntArray
from mtf_rl.data import Dataset, FeatureEncoder, FeatureRows
from mtf_rl.scorers import (
    ModelConfig,
    Scorer,
    ScorerFitConfig,
    fit_scorer,
    score_pools,
    score_table,
)
from tests.scorers.examples import LAYOUT, QUICK, SMALL, example_rows

USERS, POOL = 7, 5
POOLS = np.random.default_rng(0).integers(0, 9, size=(USERS, POOL)).astype(np.int32)
HOURS = np.arange(USERS, dtype=np.int8)
TABS = (np.arange(USERS) % 4).astype(np.int16)


class PairEncoder:
    """Encodes a pair by its indices, so that a swapped pair changes the prediction."""

    layout = LAYOUT

    def encode_pairs(
        self, dataset: Dataset, users: IntArray, videos: IntArray, hours: IntArray, tabs: IntArray
    ) -> FeatureRows:
        dense = np.stack([videos / 3.0, (users - videos) / 10.0], axis=1)
        categorical = np.stack([users, videos, tabs], axis=1)
        return FeatureRows(categorical.astype(np.int64), dense.astype(np.float32))

    def user_side(self, dataset: Dataset) -> FeatureRows:
        return FeatureRows(np.arange(USERS)[:, None], np.empty((USERS, 0), dtype=np.float32))

    def video_side(self, dataset: Dataset) -> FeatureRows:
        videos = np.arange(9)[:, None]
        return FeatureRows(videos, (videos / 3.0).astype(np.float32))

    def pair_side(self, dataset: Dataset) -> "PairEncoder":
        return self

    def encode(
        self, users: IntArray, videos: IntArray, hours: IntArray, tabs: IntArray
    ) -> FeatureRows:
        whole = self.encode_pairs(DATASET, users, videos, hours, tabs)
        return FeatureRows(whole.categorical[:, 2:], whole.dense[:, 1:])


ENCODER = cast(FeatureEncoder, PairEncoder())
DATASET = cast(Dataset, None)


def fit(config: ModelConfig, settings: ScorerFitConfig = QUICK) -> Scorer:
    rng = np.random.default_rng(0)
    rows = example_rows(300)
    return fit_scorer(config, settings, LAYOUT, rows, example_rows(200, 1), rng=rng).scorer


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return fit(SMALL["ple"])


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("members", [1, 2])
def test_split_scoring_equals_scoring_of_whole_rows(name: str, members: int) -> None:
    scorer = fit(replace(SMALL[name], members=members), replace(QUICK, max_epochs=1))
    table = score_pools(scorer, ENCODER, DATASET, POOLS, hours=HOURS, tabs=TABS)
    users = np.repeat(np.arange(USERS), POOL)
    pairs = ENCODER.encode_pairs(DATASET, users, POOLS.ravel(), HOURS[users], TABS[users])
    assert table.scores.reshape(-1, 8) == pytest.approx(scorer.predict(pairs), abs=1e-5)


def test_float16_scores_are_close_to_float32(scorer: Scorer) -> None:
    full = score_pools(scorer, ENCODER, DATASET, POOLS, hours=HOURS, tabs=TABS)
    half = score_pools(scorer, ENCODER, DATASET, POOLS, hours=HOURS, tabs=TABS, dtype=np.float16)
    assert half.scores.dtype == np.float16
    assert half.scores == pytest.approx(full.scores, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("pairs_at_once", [1, 12, 1000])
def test_every_cell_is_the_prediction_of_its_pair(
    scorer: Scorer, pairs_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score_table, "PAIRS_AT_ONCE", pairs_at_once)
    scored: list[int] = []
    table = score_pools(
        scorer, ENCODER, DATASET, POOLS, hours=HOURS, tabs=TABS, on_users=scored.append
    )
    for user in range(USERS):
        for position in range(POOL):
            pair = ENCODER.encode_pairs(
                DATASET, np.array([user]), POOLS[user, [position]], HOURS[[user]], TABS[[user]]
            )
            expected = scorer.predict(pair)[0]
            assert table.scores[user, position] == pytest.approx(expected, abs=1e-6)
    assert scored == sorted(scored)
    assert scored[-1] == USERS


def test_table_records_the_row_keys_and_base_rates_of_the_scorer(scorer: Scorer) -> None:
    table = score_pools(scorer, ENCODER, DATASET, POOLS, hours=HOURS, tabs=TABS)
    assert np.array_equal(table.scorer_keys, scorer.row_keys)
    assert np.isin(example_rows(300).keys, table.scorer_keys).all()
    assert table.base_rates == pytest.approx(example_rows(300).base_rates())
    assert np.array_equal(table.videos, POOLS)
    assert table.hours.tolist() == HOURS.tolist()
    assert table.tabs.tolist() == TABS.tolist()
