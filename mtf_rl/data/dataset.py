"""A log in memory: impressions, users, videos and row counts."""

from dataclasses import dataclass

from mtf_rl.core.arrays import check_shape
from mtf_rl.core.log_schema import KUAIRAND_LOG, LogSchema
from mtf_rl.core.tasks import TaskSet
from mtf_rl.core.videos import VideoCatalogue
from mtf_rl.data.accounts import RowAccount
from mtf_rl.data.feature_tables import FeatureTable
from mtf_rl.data.impressions import Impressions
from mtf_rl.data.schema import FileKind
from mtf_rl.data.sources import SourceFile

__all__ = ["Dataset", "DurationFills"]


@dataclass(frozen=True)
class DurationFills:
    """Number of videos whose missing duration was filled, by source."""

    from_log: int
    """Filled with the median of the video's positive `duration_ms` in the log."""
    from_median: int
    """Filled with the median over videos, since the log has no duration either."""


@dataclass(frozen=True)
class Dataset:
    """A log with its users and videos by index, and the row counts of its files.

    Raises:
        ShapeError: if the number of feedbacks differs from the schema's.
    """

    impressions: Impressions
    users: FeatureTable
    videos: FeatureTable
    catalogue: VideoCatalogue  # authors: index, or -1 if unknown; tags: rank of the tag number
    account: RowAccount
    files: tuple[SourceFile, ...]
    duration_fills: DurationFills
    schema: LogSchema = KUAIRAND_LOG
    """Tasks, scenes, time zone and session gap."""

    def __post_init__(self) -> None:
        rows = len(self.impressions.users)
        assert rows == self.account.rows_kept, f"{rows} != {self.account.rows_kept} rows"
        expected = (rows, len(self.tasks.feedbacks))
        check_shape("feedback", self.impressions.feedback, "rows, feedbacks", expected)

    @property
    def tasks(self) -> TaskSet:
        """Tasks of the log."""
        return self.schema.tasks

    @property
    def num_users(self) -> int:
        """Number of users in the feature file or the log."""
        return len(self.users)

    @property
    def num_videos(self) -> int:
        """Number of videos in the feature file or the log."""
        return len(self.videos)

    def has_file(self, kind: FileKind) -> bool:
        """Whether there is a file of this kind."""
        return any(file.kind is kind for file in self.files)
