"""Prepares half of a log for fitting a user model: histories, features, simple statistics."""

from dataclasses import dataclass, replace

import numpy as np

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray, select_rows
from mtf_rl.core.errors import DataError
from mtf_rl.core.randomness import hash_words
from mtf_rl.data import Dataset, FeatureEncoder, FeatureLayout, FeatureRows, FeatureSide, Split
from mtf_rl.data.impressions import Impressions
from mtf_rl.user_models.answer_rules import AnswerRules
from mtf_rl.user_models.censoring import followed_up
from mtf_rl.user_models.fit_config import UserModelFitConfig
from mtf_rl.user_models.prior import DeclaredPrior
from mtf_rl.user_models.replay import LoggedRequests, LogReplay, group_requests, replay

__all__ = ["ReplayedLog", "SideInputs", "hour_fractions", "measured_prior", "unplayed_click"]

# Separates this hash from other uses of the seed.
_SESSION_SALT = 0x53455353


@dataclass(frozen=True)
class SideInputs:
    """Encoded features of users (or videos)."""

    categorical: IntArray  # (rows, fields)
    dense: FloatArray  # (rows, columns)
    sizes: tuple[int, ...]  # categories per field

    @classmethod
    def of_rows(
        cls, encoded: FeatureRows, layout: FeatureLayout, side: FeatureSide
    ) -> "SideInputs":
        """The columns of `side`, from rows that hold all columns."""
        fields = [field.side == side for field in layout.categorical]
        columns = [column.side == side for column in layout.dense]
        one_side = FeatureRows(encoded.categorical[:, fields], encoded.dense[:, columns])
        return cls.of_table(one_side, layout, side)

    @classmethod
    def of_table(
        cls, encoded: FeatureRows, layout: FeatureLayout, side: FeatureSide
    ) -> "SideInputs":
        """Inputs from rows that hold only the columns of `side`."""
        sizes = tuple(field.size for field in layout.restrict(side).categorical)
        return cls(encoded.categorical, encoded.dense, sizes)

    def take(self, index: IntArray) -> "SideInputs":
        """The rows at `index`."""
        return replace(self, categorical=self.categorical[index], dense=self.dense[index])


@dataclass(frozen=True)
class ReplayedLog:
    """The requests of half of a log with their visible histories, and its rows with features."""

    dataset: Dataset
    split: Split
    requests: LoggedRequests
    replayed: LogReplay
    rows: IntArray  # (rows,) row numbers in the log, slate after slate
    request_of_row: IntArray  # (rows,)
    position_of_row: IntArray  # (rows,) position in the slate
    train: BoolArray  # (rows,), False on validation rows
    user_inputs: SideInputs  # (rows,) as of the row's time
    video_inputs: SideInputs  # (rows,) as of the row's time
    user_table: SideInputs  # (users,) as of the split
    video_table: SideInputs  # (videos,) as of the split
    tastes: FloatArray  # (rows, tastes), the user's past feedback on videos of the row's tag
    taste_table: FloatArray  # (users, tags, tastes) as of the split
    first_tags: IntArray  # (videos,), tag of each video in `taste_table`
    rows_used: BoolArray  # (rows of the log,)
    retrieved: BoolArray  # (rows,), True where the video is in the user's pool
    pools: IntArray  # (users, pool), videos that retrieval proposes

    @classmethod
    def make(
        cls,
        dataset: Dataset,
        split: Split,
        half: BoolArray,
        config: UserModelFitConfig,
        pools: IntArray | None = None,
    ) -> "ReplayedLog":
        """Replay and encode the rows of `half` that are before the test.

        `pools` (users, pool) are the videos that retrieval proposes; by default all videos.

        Raises:
            DataError: if there are no training rows, or no validation rows.
        """
        impressions = dataset.impressions
        chosen = _chosen_rows(impressions, split, half, config)
        requests = group_requests(
            impressions, chosen, max_requests=config.max_requests, max_slate=config.max_slate
        )
        request_of_row, position_of_row = np.nonzero(requests.mask)
        rows = requests.rows[request_of_row, position_of_row]
        train = split.train[rows]
        if not train.any() or train.all():
            part = "training" if not train.any() else "validation"
            raise DataError(f"The user model's half has no {part} rows. Give a longer log.")
        encoder = FeatureEncoder.fit(dataset, chosen & split.train)
        encoded = encoder.encode(dataset, rows)
        is_taste = [column.name.startswith("user_tag_") for column in encoder.layout.dense]
        pair_side = encoder.pair_side(dataset)
        return cls(
            dataset=dataset,
            split=split,
            requests=requests,
            replayed=replay(impressions, requests, dataset.catalogue, dataset.schema),
            rows=rows,
            request_of_row=request_of_row,
            position_of_row=position_of_row,
            train=train,
            user_inputs=SideInputs.of_rows(encoded, encoder.layout, FeatureSide.USER),
            video_inputs=SideInputs.of_rows(encoded, encoder.layout, FeatureSide.VIDEO),
            user_table=SideInputs.of_table(
                encoder.user_side(dataset), encoder.layout, FeatureSide.USER
            ),
            video_table=SideInputs.of_table(
                encoder.video_side(dataset), encoder.layout, FeatureSide.VIDEO
            ),
            tastes=encoded.dense[:, is_taste],
            taste_table=pair_side.past.reshape(dataset.num_users, pair_side.num_tags, -1),
            first_tags=pair_side.tags,
            rows_used=chosen,
            retrieved=_in_pools(dataset, rows, pools),
            pools=_every_video(dataset) if pools is None else pools,
        )

    @property
    def rules(self) -> AnswerRules:
        """Which feedbacks are determined by play time."""
        return AnswerRules(self.dataset.schema)

    @property
    def impressions(self) -> Impressions:
        """The half's rows, (rows,)."""
        return select_rows(self.dataset.impressions, self.rows)

    @property
    def train_requests(self) -> BoolArray:
        """Whether each request is before the split, (requests,)."""
        return np.asarray(self.requests.times_ms < self.split.split_time_ms)

    @property
    def followed_up(self) -> BoolArray:
        """Requests whose leaving is observed within their own period; see `followed_up`."""
        end_ms = np.where(self.train_requests, self.split.split_time_ms, self.split.test_time_ms)
        gap_ms = round(self.dataset.schema.session_gap_minutes * 60_000)
        return followed_up(self.requests, end_ms=end_ms, gap_ms=gap_ms)


def _chosen_rows(
    impressions: Impressions, split: Split, half: BoolArray, config: UserModelFitConfig
) -> BoolArray:
    """The half's rows before the test, subsampled by whole sessions to about `max_rows`."""
    available = half & ~split.test
    fraction = config.max_rows / max(int((available & split.train).sum()), 1)
    draws = (
        hash_words(_SESSION_SALT, config.seed, impressions.sessions) >> np.uint64(11)
    ) * 2.0**-53
    return np.asarray(available & (draws < fraction))


def _in_pools(dataset: Dataset, rows: IntArray, pools: IntArray | None) -> BoolArray:
    """Whether each row's video is in the pool of its user, (rows,)."""
    if pools is None:
        return np.ones(len(rows), dtype=np.bool_)
    users = dataset.impressions.users[rows].astype(np.int64)
    pairs = users * dataset.num_videos + dataset.impressions.videos[rows]
    owners = np.arange(len(pools), dtype=np.int64)[:, None]
    return np.isin(pairs, owners * dataset.num_videos + pools)


def _every_video(dataset: Dataset) -> IntArray:
    shape = (dataset.num_users, dataset.num_videos)
    return np.broadcast_to(np.arange(dataset.num_videos), shape)


def hour_fractions(log: ReplayedLog) -> FloatArray:
    """The fraction of sessions that start in each hour, (24,), with add-one smoothing."""
    starts = log.requests.steps == 0
    hours = log.replayed.before.hours[starts].astype(np.int64)
    counts = 1.0 + np.bincount(hours, minlength=24)
    fractions: FloatArray = counts / counts.sum()
    return fractions


def unplayed_click(impressions: Impressions, train: BoolArray, rules: AnswerRules) -> float:
    """Probability that an unplayed video was opened in two-column scenes; 0 without such rows."""
    opening = next((rule.column for rule in rules.plays if rule.opens), None)
    if opening is None:
        return 0.0
    two_column = rules.schema.scenes.is_two_column(impressions.tabs)
    unplayed = train & two_column & (impressions.play_seconds == 0.0)
    return float(impressions.feedback[unplayed, opening].mean()) if unplayed.any() else 0.0


def measured_prior(log: ReplayedLog, config: UserModelFitConfig) -> DeclaredPrior:
    """The declared prior with the mean and the std of visible engagement in this log.

    The variance is that of a slate of six videos: the variance between users, plus a sixth of the
    variance within users.
    """
    impressions = select_rows(log.impressions, log.train)
    ratio = np.minimum(impressions.play_seconds / impressions.duration_seconds, 1.0)
    signals = np.concatenate([impressions.feedback, ratio[:, None]], axis=1)
    worth = log.dataset.tasks.signal_worth
    engagement = (signals * np.array(worth)).sum(axis=1)
    counts = np.bincount(impressions.users)
    means = np.bincount(impressions.users, weights=engagement) / np.maximum(counts, 1)
    within = ((engagement - means[impressions.users]) ** 2).sum()
    within /= max(len(engagement) - np.count_nonzero(counts), 1)
    between = max(float(engagement.var() - within), 0.0)
    scale = max(float(np.sqrt(between + within / 6.0)), 1e-3)
    measured = {
        "engagement_mean": float(engagement.mean()),
        "engagement_scale": scale,
        "signal_worth": worth,
    }
    return DeclaredPrior(**config.declared.to_json() | measured)
