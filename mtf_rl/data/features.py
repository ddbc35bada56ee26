"""Feature encoder: model inputs for user, video and context, without leakage from the future.

Inputs are available before the request: features of the user and the video, the hour, the tab, and
the feedback of earlier training rows. Excluded are play time, feedback of the same or later rows,
stay times, and the monthly statistics.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray, check_shape
from mtf_rl.core.errors import ArtifactError, DataError
from mtf_rl.core.files import load_arrays, load_json, save_arrays, save_json
from mtf_rl.core.randomness import hash_words
from mtf_rl.core.tasks import TaskSet
from mtf_rl.core.videos import NO_TAG
from mtf_rl.data.dataset import Dataset
from mtf_rl.data.feature_layout import (
    UNSEEN_CODE,
    CategoricalField,
    DenseColumn,
    FeatureLayout,
    FeatureRows,
    FeatureSide,
)
from mtf_rl.data.past_feedback import PastTotals, RunningTotals, rate_columns, signals
from mtf_rl.data.profile_scale import ProfileScale, standardise

__all__ = ["FeatureEncoder", "PairSide"]

_MISSING_CODE = 0
_FIRST_CODE = 2

_HOURS = 24
_DAY_MS = 86_400_000.0
_DENSE_LIMIT = 5.0
_SMOOTHING = 20.0
_DURATION_EDGES = (3.0, 7.0, 12.0, 18.0, 30.0, 60.0, 120.0, 180.0, 300.0)
_USER_COUNTS = ("follow_user_num", "fans_user_num", "friend_user_num", "register_days")
_VIDEO_CATEGORIES = ("author_id", "video_type", "upload_type", "music_type")


@dataclass(frozen=True)
class FeatureEncoder:
    """Vocabularies, standardisation constants and past feedback of the fitted rows.

    It encodes rows of the dataset that it was fitted on, which it checks by a fingerprint. Past
    feedback of a row before the end of the fitted rows counts fitted rows before its time; for
    later rows, it counts all fitted rows.
    """

    layout: FeatureLayout
    fingerprint: str  # hash of the dataset's ids and rows
    fitted_rows: IntArray  # (fitted rows,) int64 row numbers
    end_ms: int  # the first millisecond after the fitted rows
    user_codes: IntArray  # (users, user fields) int64
    video_codes: IntArray  # (videos, video fields) int64
    hour_codes: IntArray  # (24,) int64
    tab_codes: IntArray  # (maximum tab of the dataset + 1,) int64
    signal_rates: FloatArray  # (signals,) float64, over the fitted rows
    means: FloatArray  # (dense,) float64
    stds: FloatArray  # (dense,) float64

    @classmethod
    def fit(
        cls, dataset: Dataset, rows: BoolArray, *, learnt: BoolArray | None = None
    ) -> "FeatureEncoder":
        """Fit means, rates and past feedback on the training rows.

        Args:
            dataset: the log.
            rows: mask (rows,) of the training rows; their feedback is used as an input.
            learnt: mask (rows,) of the rows on which models are trained, by default `rows`. Only
                their categories get codes, since other codes would stay untrained.

        Raises:
            ShapeError: if a mask does not have one entry per row.
            DataError: if no row is selected.
        """
        impressions = dataset.impressions
        check_shape("rows", rows, "rows", impressions.users.shape)
        learnt = rows if learnt is None else learnt
        check_shape("learnt", learnt, "rows", impressions.users.shape)
        fitted_rows = np.flatnonzero(rows)
        if len(fitted_rows) == 0:
            raise DataError("no row to fit the feature encoder on. Select training rows.")
        user_fields, user_codes = _user_categories(dataset, impressions.users[learnt])
        video_fields, video_codes = _video_categories(dataset, impressions.videos[learnt])
        hour_codes = _codes(np.arange(_HOURS), impressions.hours[learnt])
        tab_codes = _codes(np.arange(int(impressions.tabs.max()) + 1), impressions.tabs[learnt])
        pair_fields = (
            CategoricalField("hour", int(hour_codes.max()) + 1, FeatureSide.PAIR),
            CategoricalField("tab", int(tab_codes.max()) + 1, FeatureSide.PAIR),
        )
        layout = FeatureLayout(
            (*user_fields, *video_fields, *pair_fields), _dense_columns(dataset.tasks)
        )
        width = len(layout.dense)
        raw = cls(
            layout=layout,
            fingerprint=_fingerprint(dataset),
            fitted_rows=fitted_rows,
            end_ms=int(impressions.times_ms[rows].max()) + 1,
            user_codes=user_codes,
            video_codes=video_codes,
            hour_codes=hour_codes,
            tab_codes=tab_codes,
            signal_rates=signals(impressions, rows, dataset.tasks).mean(axis=0),
            means=np.zeros(width),
            stds=np.ones(width),
        )
        return raw._standardised_on(dataset)

    def encode(self, dataset: Dataset, row_numbers: IntArray) -> FeatureRows:
        """Encode the log rows with the given indices.

        Raises:
            DataError: if the encoder was fitted on another dataset.
        """
        self._check(dataset)
        impressions = dataset.impressions
        users, videos = impressions.users[row_numbers], impressions.videos[row_numbers]
        hours, tabs = impressions.hours[row_numbers], impressions.tabs[row_numbers]
        dense = self._dense(dataset, users, videos, impressions.times_ms[row_numbers])
        return self._rows(users, videos, hours, tabs, dense)

    def encode_pairs(
        self, dataset: Dataset, users: IntArray, videos: IntArray, hours: IntArray, tabs: IntArray
    ) -> FeatureRows:
        """Encode pairs (rows,) of user and video indices as of the end of the fitted rows.

        Raises:
            DataError: if the encoder was fitted on another dataset.
        """
        self._check(dataset)
        times_ms = np.full(len(users), self.end_ms)
        dense = self._dense(dataset, users, videos, times_ms)
        return self._rows(users, videos, hours, tabs, dense)

    def user_side(self, dataset: Dataset) -> FeatureRows:
        """Columns of `layout.restrict(FeatureSide.USER)` as of the end, one row per user."""
        users = np.arange(dataset.num_users)
        zeros = np.zeros_like(users)
        rows = self.encode_pairs(dataset, users, zeros, zeros, zeros)
        return self._restrict(rows, FeatureSide.USER)

    def video_side(self, dataset: Dataset) -> FeatureRows:
        """Columns of `layout.restrict(FeatureSide.VIDEO)` as of the end, one row per video."""
        videos = np.arange(dataset.num_videos)
        zeros = np.zeros_like(videos)
        rows = self.encode_pairs(dataset, zeros, videos, zeros, zeros)
        return self._restrict(rows, FeatureSide.VIDEO)

    def pair_side(self, dataset: Dataset) -> "PairSide":
        """Encoder of the columns of `layout.restrict(FeatureSide.PAIR)` as of the end.

        Raises:
            DataError: if the encoder was fitted on another dataset.
        """
        self._check(dataset)
        impressions, rows = dataset.impressions, self.fitted_rows
        values = signals(impressions, rows, dataset.tasks)
        keys = _grouping_keys(dataset, impressions.users[rows], impressions.videos[rows])
        totals = PastTotals.of_all(keys["user_tag"].keys, values, keys["user_tag"].size)
        of_pair = [column.side == FeatureSide.PAIR for column in self.layout.dense]
        means, stds = self.means[of_pair], self.stds[of_pair]
        past = rate_columns(totals, self.signal_rates, _SMOOTHING)
        upload_ms = dataset.videos.quantity("upload_dt") * _DAY_MS
        ages = np.log1p(np.maximum((self.end_ms - upload_ms) / _DAY_MS, 0.0))
        return PairSide(
            hour_codes=self.hour_codes,
            tab_codes=self.tab_codes,
            tags=dataset.catalogue.tags[:, 0].astype(np.int64) + 1,
            num_tags=dataset.catalogue.num_tags + 1,
            ages=_standard(ages, means[0], stds[0]),
            past=_standard(past, means[1:], stds[1:]),
        )

    def profile_scale(self, tasks: TaskSet) -> ProfileScale:
        """Standardisation constants of the dense user columns, for serving a policy."""
        of_user = [column.side == FeatureSide.USER for column in self.layout.dense]
        names = [column.name for column in self.layout.restrict(FeatureSide.USER).dense]
        rates = zip(tasks.past_signals, self.signal_rates.tolist(), strict=True)
        return ProfileScale(
            names=tuple(names),
            means=tuple(self.means[of_user].tolist()),
            stds=tuple(self.stds[of_user].tolist()),
            limit=_DENSE_LIMIT,
            rates=tuple(rates),
            smoothing=_SMOOTHING,
        )

    def save(self, folder: Path) -> None:
        """Write `encoder.json` and `encoder.npz` into `folder`."""
        document = {
            "layout": self.layout.to_json(),
            "fingerprint": self.fingerprint,
            "end_ms": self.end_ms,
        }
        save_json(folder / "encoder.json", document)
        arrays = {name: value for name, value in vars(self).items() if name not in document}
        save_arrays(folder / "encoder.npz", arrays)

    @classmethod
    def load(cls, folder: Path) -> "FeatureEncoder":
        """Read an encoder written by `save`.

        Raises:
            ArtifactError: if a file is missing, damaged, or not part of an encoder.
        """
        document = load_json(folder / "encoder.json")
        arrays: dict[str, Any] = load_arrays(folder / "encoder.npz")
        try:
            layout = FeatureLayout.from_json(document.pop("layout"))
            return cls(layout=layout, **document, **arrays)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ArtifactError(
                f"{folder} does not have a valid feature encoder ({error}). Make it again."
            ) from error

    def _standardised_on(self, dataset: Dataset) -> "FeatureEncoder":
        impressions = dataset.impressions
        rows = self.fitted_rows
        raw = self._raw_dense(
            dataset, impressions.users[rows], impressions.videos[rows], impressions.times_ms[rows]
        )
        counts = np.maximum((~np.isnan(raw)).sum(axis=0), 1)
        means = np.nansum(raw, axis=0) / counts
        stds = np.sqrt(np.nansum((raw - means) ** 2, axis=0) / counts)
        stds[stds < 1e-6] = 1.0
        fields = vars(self) | {"means": means, "stds": stds}
        return FeatureEncoder(**fields)

    def _check(self, dataset: Dataset) -> None:
        if _fingerprint(dataset) != self.fingerprint:
            raise DataError(
                "the feature encoder was fitted on another dataset than the one to encode."
                " Fit an encoder on this dataset, or pass the dataset that it was fitted on."
            )

    def _rows(
        self, users: IntArray, videos: IntArray, hours: IntArray, tabs: IntArray, dense: FloatArray
    ) -> FeatureRows:
        context = np.stack([self.hour_codes[hours], self.tab_codes[tabs]], axis=1)
        categorical = np.concatenate(
            [self.user_codes[users], self.video_codes[videos], context], axis=1
        )
        return FeatureRows(categorical.astype(np.int64), dense)

    def _restrict(self, rows: FeatureRows, side: FeatureSide) -> FeatureRows:
        fields = [field.side == side for field in self.layout.categorical]
        columns = [column.side == side for column in self.layout.dense]
        return FeatureRows(rows.categorical[:, fields], rows.dense[:, columns])

    def _dense(
        self, dataset: Dataset, users: IntArray, videos: IntArray, times_ms: IntArray
    ) -> FloatArray:
        raw = self._raw_dense(dataset, users, videos, times_ms)
        return _standard(raw, self.means, self.stds)

    def _raw_dense(
        self, dataset: Dataset, users: IntArray, videos: IntArray, times_ms: IntArray
    ) -> FloatArray:
        """Dense columns before standardisation, (rows, dense) float64, NaN if missing."""
        past = self._past_columns(dataset, users, videos, times_ms)
        by_user = [np.log1p(dataset.users.quantity(name)[users]) for name in _USER_COUNTS]
        log_duration = np.log(dataset.catalogue.duration_seconds[videos])
        upload_ms = dataset.videos.quantity("upload_dt")[videos] * _DAY_MS
        age_days = np.maximum((times_ms - upload_ms) / _DAY_MS, 0.0)
        return np.column_stack(
            [
                *by_user,
                past["user"],
                log_duration,
                past["video"],
                past["author"],
                past["tag"],
                np.log1p(age_days),
                past["user_tag"],
            ]
        )

    def _past_columns(
        self, dataset: Dataset, users: IntArray, videos: IntArray, times_ms: IntArray
    ) -> dict[str, FloatArray]:
        """Past-feedback columns of each grouping, (rows, 1 + signals) each."""
        impressions = dataset.impressions
        rows = self.fitted_rows
        values = signals(impressions, rows, dataset.tasks)
        fitted_keys = _grouping_keys(dataset, impressions.users[rows], impressions.videos[rows])
        fitted_times_ms = impressions.times_ms[rows]
        keys = _grouping_keys(dataset, users, videos)
        inside = times_ms < self.end_ms
        columns = {}
        for name, grouping in keys.items():
            past = PastTotals.of_all(fitted_keys[name].keys, values, grouping.size).take(
                grouping.keys
            )
            if inside.any():
                running = RunningTotals.of_rows(fitted_keys[name].keys, fitted_times_ms, values)
                before = running.before(grouping.keys[inside], times_ms[inside])
                past.exposures[inside] = before.exposures
                past.sums[inside] = before.sums
            columns[name] = rate_columns(past, self.signal_rates, _SMOOTHING)
        return columns


@dataclass(frozen=True)
class PairSide:
    """Encoder of pair columns as of the end of the fitted rows, by table lookup."""

    hour_codes: IntArray  # (24,) int64
    tab_codes: IntArray  # (tabs,) int64
    tags: IntArray  # (videos,) int64, first tag in 0..num_tags-1
    num_tags: int
    ages: FloatArray  # (videos,) float32, standardised
    past: FloatArray  # (users x num_tags, columns) float32, standardised

    def encode(
        self, users: IntArray, videos: IntArray, hours: IntArray, tabs: IntArray
    ) -> FeatureRows:
        """Encode pairs of user and video indices at given hours and tabs, all (rows,)."""
        categorical = np.stack([self.hour_codes[hours], self.tab_codes[tabs]], axis=1)
        past = self.past[users.astype(np.int64) * self.num_tags + self.tags[videos]]
        dense = np.concatenate([self.ages[videos, None], past], axis=1)
        return FeatureRows(categorical, dense)


def _standard(raw: FloatArray, means: FloatArray, stds: FloatArray) -> FloatArray:
    return standardise(raw, means, stds, _DENSE_LIMIT)


@dataclass(frozen=True)
class _Grouping:
    """Group of each row: `keys` (rows,) in 0..size-1."""

    keys: IntArray
    size: int


def _grouping_keys(dataset: Dataset, users: IntArray, videos: IntArray) -> dict[str, _Grouping]:
    """Group keys by user, video, author, first tag, and (user, first tag).

    All unknown authors have one key, and so do all videos without a tag.
    """
    catalogue = dataset.catalogue
    num_authors = int(catalogue.authors.max(initial=-1)) + 1
    authors = catalogue.authors[videos].astype(np.int64) + 1
    tags = catalogue.tags[videos, 0].astype(np.int64) + 1
    tag_keys = catalogue.num_tags + 1
    return {
        "user": _Grouping(users, dataset.num_users),
        "video": _Grouping(videos, dataset.num_videos),
        "author": _Grouping(authors, num_authors + 1),
        "tag": _Grouping(tags, tag_keys),
        "user_tag": _Grouping(
            users.astype(np.int64) * tag_keys + tags, dataset.num_users * tag_keys
        ),
    }


def _dense_columns(tasks: TaskSet) -> tuple[DenseColumn, ...]:
    def past(grouping: str) -> list[str]:
        rates = (f"{grouping}_{name}_rate" for name in tasks.past_signals)
        return [f"{grouping}_log_exposures", *rates]

    names = {
        FeatureSide.USER: [*(f"log_{name}" for name in _USER_COUNTS), *past("user")],
        FeatureSide.VIDEO: ["log_duration", *past("video"), *past("author"), *past("tag")],
        FeatureSide.PAIR: ["log_age_days", *past("user_tag")],
    }
    return tuple(DenseColumn(name, side) for side in FeatureSide for name in names[side])


def _user_categories(
    dataset: Dataset, fitted_users: IntArray
) -> tuple[list[CategoricalField], IntArray]:
    raw: dict[str, IntArray] = {"user_id": np.arange(dataset.num_users)}
    raw |= {column.name: column.codes for column in dataset.users.categorical}
    return _encode_entities(raw, fitted_users, FeatureSide.USER)


def _video_categories(
    dataset: Dataset, fitted_videos: IntArray
) -> tuple[list[CategoricalField], IntArray]:
    catalogue = dataset.catalogue
    tags = catalogue.tags
    absent = np.full(dataset.num_videos, NO_TAG)
    raw: dict[str, IntArray] = {"video_id": np.arange(dataset.num_videos)}
    raw |= {name: dataset.videos.category(name).codes for name in _VIDEO_CATEGORIES}
    raw |= {
        "first_tag": tags[:, 0],
        "second_tag": tags[:, 1] if tags.shape[1] > 1 else absent,
        "duration_bucket": np.searchsorted(_DURATION_EDGES, catalogue.duration_seconds, "right"),
    }
    return _encode_entities(raw, fitted_videos, FeatureSide.VIDEO)


def _encode_entities(
    raw: dict[str, IntArray], fitted: IntArray, side: FeatureSide
) -> tuple[list[CategoricalField], IntArray]:
    """Fields and codes (entities, fields) of raw categories (entities,), negative if missing.

    `fitted` are the entities in the fitted rows; only their values get codes.
    """
    seen = np.unique(fitted)
    codes = {name: _codes(values, values[seen]) for name, values in raw.items()}
    fields = [
        CategoricalField(name, int(max(column.max(), UNSEEN_CODE)) + 1, side)
        for name, column in codes.items()
    ]
    return fields, np.stack(list(codes.values()), axis=1)


def _codes(values: IntArray, fitted_values: IntArray) -> IntArray:
    """Codes of `values`: 0 if negative, 1 if not among `fitted_values`, else >= 2."""
    vocabulary = np.unique(fitted_values[fitted_values >= 0])
    positions = np.searchsorted(vocabulary, values)
    is_seen = positions < len(vocabulary)
    is_seen[is_seen] = vocabulary[positions[is_seen]] == values[is_seen]
    codes = np.where(is_seen, positions + _FIRST_CODE, UNSEEN_CODE)
    return np.where(values < 0, _MISSING_CODE, codes).astype(np.int64)


def _fingerprint(dataset: Dataset) -> str:
    """A hash of the ids and rows, which identifies the dataset of an encoder."""
    parts = [dataset.users.ids, dataset.videos.ids, dataset.impressions.keys]
    # The position enters each hash, so the sum depends on the order without sorting.
    sums = [int(hash_words(part, np.arange(len(part))).sum(dtype=np.uint64)) for part in parts]
    return "-".join(f"{value:016x}" for value in sums)
