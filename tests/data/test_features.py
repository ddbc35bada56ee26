import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from mtf_rl.core.errors import ArtifactError, DataError, ShapeError
from mtf_rl.data import (
    Dataset,
    FeatureEncoder,
    FeatureLayout,
    FeatureSide,
    TimePlan,
    base_rates,
    labels,
    split_by_time,
)
from mtf_rl.data.past_feedback import signals
from mtf_rl.data.profile_scale import ProfileScale
from tests.data.examples import random_dataset

STRENGTH = 20.0


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return random_dataset(tmp_path_factory.mktemp("log"))


@pytest.fixture(scope="module")
def encoder(dataset: Dataset) -> FeatureEncoder:
    return FeatureEncoder.fit(dataset, split_by_time(dataset.impressions, TimePlan()).train)


def raw_column(encoder: FeatureEncoder, dense: np.ndarray, name: str) -> np.ndarray:
    """A dense column before standardisation; exact for values that were not clipped."""
    position = [column.name for column in encoder.layout.dense].index(name)
    standard = dense[:, position].astype(np.float64)
    assert np.abs(standard).max() < 5.0
    return np.asarray(standard * encoder.stds[position] + encoder.means[position])


def naive_rate(dataset: Dataset, fitted: np.ndarray, same: np.ndarray, signal: int) -> float:
    values = signals(dataset.impressions, np.arange(len(same)), dataset.tasks)[:, signal]
    prior = values[fitted].mean()
    past = values[same]
    rate = (past.sum() + STRENGTH * prior) / (len(past) + STRENGTH)
    return math.log(rate / (1.0 - rate))


@pytest.mark.parametrize("grouping", ["user", "video", "author", "tag", "user_tag"])
def test_past_feedback_counts_earlier_fitted_rows_only(
    dataset: Dataset, encoder: FeatureEncoder, grouping: str
) -> None:
    rows = dataset.impressions
    authors = dataset.catalogue.authors[rows.videos]
    tags = dataset.catalogue.tags[rows.videos, 0]
    key = {
        "user": rows.users,
        "video": rows.videos,
        "author": authors,
        "tag": tags,
        "user_tag": rows.users * 100 + tags,
    }[grouping]
    fitted = split_by_time(rows, TimePlan()).train
    dense = encoder.encode(dataset, np.arange(len(key))).dense
    exposures = raw_column(encoder, dense, f"{grouping}_log_exposures")
    rates = raw_column(encoder, dense, f"{grouping}_social_rate")
    for row in range(len(key)):
        past = fitted & (key == key[row]) & (rows.times_ms < rows.times_ms[row])
        assert exposures[row] == pytest.approx(math.log1p(past.sum()), abs=1e-5)
        social = dataset.tasks.past_signals.index("social")
        assert rates[row] == pytest.approx(naive_rate(dataset, fitted, past, social), abs=1e-4)


def test_feedback_of_the_same_or_later_rows_is_not_an_input(
    dataset: Dataset, encoder: FeatureEncoder
) -> None:
    rows = dataset.impressions
    split = split_by_time(rows, TimePlan())
    middle = int(np.median(rows.times_ms[split.train]))
    later = rows.times_ms >= middle
    feedback = np.where(later[:, None], 1 - rows.feedback, rows.feedback)
    changed = dataclasses.replace(
        dataset,
        impressions=dataclasses.replace(
            rows, feedback=feedback, play_seconds=np.where(later, 77.0, rows.play_seconds)
        ),
    )
    before = np.flatnonzero(rows.times_ms <= middle)
    original = encoder.encode(dataset, before)
    np.testing.assert_array_equal(encoder.encode(changed, before).dense, original.dense)
    # Rows that are not fitted do not change any encoding.
    flipped = np.where(split.train[:, None], rows.feedback, 1 - rows.feedback)
    changed = dataclasses.replace(dataset, impressions=dataclasses.replace(rows, feedback=flipped))
    refitted = FeatureEncoder.fit(changed, split.train)
    all_rows = np.arange(len(later))
    np.testing.assert_array_equal(
        refitted.encode(changed, all_rows).dense, encoder.encode(dataset, all_rows).dense
    )


def test_codes_are_missing_unseen_or_an_index_in_the_fitted_vocabulary(
    dataset: Dataset,
) -> None:
    rows = dataset.impressions
    encoder = FeatureEncoder.fit(dataset, (rows.users < 6) & (rows.tabs != 2))
    encoded = encoder.encode(dataset, np.arange(len(rows.users)))
    fields = [field.name for field in encoder.layout.categorical]
    user_codes = encoded.categorical[:, fields.index("user_id")]
    np.testing.assert_array_equal(user_codes, np.where(rows.users < 6, rows.users + 2, 1))
    tab_codes = encoded.categorical[:, fields.index("tab")]
    np.testing.assert_array_equal(tab_codes, np.where(rows.tabs == 2, 1, rows.tabs + 2))
    # User id 0 has no features, and videos have one tag.
    degrees = encoded.categorical[:, fields.index("user_active_degree")]
    np.testing.assert_array_equal(degrees, np.where(dataset.users.ids[rows.users] == 0, 0, 2))
    assert (encoded.categorical[:, fields.index("second_tag")] == 0).all()
    sizes = np.array([field.size for field in encoder.layout.categorical])
    assert (encoded.categorical.min(axis=0) >= 0).all()
    assert (encoded.categorical.max(axis=0) < sizes).all()


def test_dense_columns_are_standardised_on_the_fitted_rows(
    dataset: Dataset, encoder: FeatureEncoder
) -> None:
    encoded = encoder.encode(dataset, encoder.fitted_rows)
    assert encoded.dense.dtype == np.float32
    assert np.isfinite(encoded.dense).all()
    assert np.abs(encoded.dense).max() <= 5.0
    names = [column.name for column in encoder.layout.dense]
    position = names.index("log_duration")
    log_duration = np.log(
        dataset.catalogue.duration_seconds[dataset.impressions.videos[encoder.fitted_rows]]
    )
    expected = (log_duration - log_duration.mean()) / log_duration.std()
    np.testing.assert_allclose(encoded.dense[:, position], expected, atol=1e-4)


def test_pairs_and_sides_agree_with_rows_after_the_fitted_rows(
    dataset: Dataset, encoder: FeatureEncoder
) -> None:
    rows = dataset.impressions
    numbers = np.flatnonzero(split_by_time(rows, TimePlan()).test)
    users, videos = rows.users[numbers], rows.videos[numbers]
    encoded = encoder.encode(dataset, numbers)
    pairs = encoder.encode_pairs(dataset, users, videos, rows.hours[numbers], rows.tabs[numbers])
    np.testing.assert_array_equal(pairs.categorical, encoded.categorical)
    ages = [column.name == "log_age_days" for column in encoder.layout.dense]
    np.testing.assert_array_equal(
        pairs.dense[:, np.logical_not(ages)], encoded.dense[:, np.logical_not(ages)]
    )
    user_side, video_side = encoder.user_side(dataset), encoder.video_side(dataset)
    fields = [field.side for field in encoder.layout.categorical]
    columns = [column.side for column in encoder.layout.dense]
    for side, table, index in (
        (FeatureSide.USER, user_side, users),
        (FeatureSide.VIDEO, video_side, videos),
    ):
        layout = encoder.layout.restrict(side)
        assert table.categorical.shape[1] == len(layout.categorical)
        of_side = np.array(fields) == side
        np.testing.assert_array_equal(table.categorical[index], encoded.categorical[:, of_side])
        of_side = np.array(columns) == side
        np.testing.assert_array_equal(table.dense[index], encoded.dense[:, of_side])
    pair_encoder = encoder.pair_side(dataset)
    pair_rows = pair_encoder.encode(users, videos, rows.hours[numbers], rows.tabs[numbers])
    of_pair = np.array(fields) == FeatureSide.PAIR
    np.testing.assert_array_equal(pair_rows.categorical, pairs.categorical[:, of_pair])
    of_pair = np.array(columns) == FeatureSide.PAIR
    np.testing.assert_allclose(pair_rows.dense, pairs.dense[:, of_pair], atol=1e-6)


def test_no_input_column_is_an_outcome_of_the_row(encoder: FeatureEncoder) -> None:
    names = [c.name for c in encoder.layout.dense] + [f.name for f in encoder.layout.categorical]
    assert len(set(names)) == len(names)
    for word in ("play", "stay", "profile", "comment", "is_click", "date"):
        assert not [name for name in names if word in name]


def test_an_encoder_is_saved_and_loaded_and_refuses_another_dataset(
    dataset: Dataset, encoder: FeatureEncoder, tmp_path: Path
) -> None:
    encoder.save(tmp_path / "encoder")
    loaded = FeatureEncoder.load(tmp_path / "encoder")
    numbers = np.arange(50)
    assert loaded.layout == encoder.layout
    for original, copy in zip(
        vars(encoder.encode(dataset, numbers)).values(),
        vars(loaded.encode(dataset, numbers)).values(),
        strict=True,
    ):
        np.testing.assert_array_equal(original, copy)
    assert FeatureLayout.from_json(encoder.layout.to_json()) == encoder.layout

    other_dataset = random_dataset(tmp_path, seed=5)
    with pytest.raises(DataError, match="fitted on another dataset"):
        loaded.encode(other_dataset, numbers)
    (tmp_path / "encoder" / "encoder.json").write_text("{}")
    with pytest.raises(ArtifactError, match="does not have a valid feature encoder"):
        FeatureEncoder.load(tmp_path / "encoder")


def test_fitting_refuses_a_wrong_mask(dataset: Dataset) -> None:
    with pytest.raises(ShapeError, match="rows must have shape"):
        FeatureEncoder.fit(dataset, np.ones(3, dtype=np.bool_))
    with pytest.raises(DataError, match="no row to fit"):
        FeatureEncoder.fit(dataset, np.zeros(len(dataset.impressions.users), dtype=np.bool_))


def test_labels_are_the_eight_tasks_in_order(dataset: Dataset) -> None:
    rows = dataset.impressions
    targets, mask = labels(rows, np.array([3, 1]), dataset.tasks)
    assert targets.dtype == np.dtype(np.float32)
    assert targets.shape == mask.shape == (2, 8)
    assert mask.all()
    np.testing.assert_array_equal(targets[:, :7], rows.feedback[[3, 1]])
    watch = [min(float(rows.play_seconds[row]), 120.0) / 120.0 for row in (3, 1)]
    np.testing.assert_allclose(targets[:, 7], watch, rtol=1e-6)
    rates = base_rates(rows, np.array([3, 1]), dataset.tasks)
    np.testing.assert_allclose(rates, targets.mean(axis=0), rtol=1e-6)


def test_profile_scale_reproduces_the_user_columns_from_raw_counts(
    dataset: Dataset, encoder: FeatureEncoder
) -> None:
    scale = encoder.profile_scale(dataset.tasks)
    assert ProfileScale.of_record(json.loads(json.dumps(scale.to_json()))) == scale
    columns = encoder.user_side(dataset).dense  # (users, columns)
    rows = encoder.fitted_rows
    values = signals(dataset.impressions, rows, dataset.tasks)
    for user in range(dataset.num_users):
        own = dataset.impressions.users[rows] == user
        facts = dict(zip(dataset.tasks.past_signals, values[own].sum(axis=0), strict=True))
        facts["exposures"] = float(own.sum())
        for name in ("follow_user_num", "fans_user_num", "friend_user_num", "register_days"):
            facts[name] = float(dataset.users.quantity(name)[user])
        observed = [scale.observed(name, facts) for name in scale.names]
        np.testing.assert_array_equal(np.array(observed, dtype=np.float32), columns[user])
