"""A log that has been read: impressions, who and what they speak of, and the row account."""

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
    """How many videos had no duration of their own, by where it was taken from."""

    from_log: int
    """The median of the log's positive `duration_ms` for that video."""
    from_median: int
    """The median of the videos that have a duration: the log has none either."""


@dataclass(frozen=True)
class Dataset:
    """A log, its users and videos by index, and where every row of its files went.

    Raises:
        ShapeError: if the rows have another number of feedbacks than the schema's tasks.
    """

    impressions: Impressions
    users: FeatureTable
    videos: FeatureTable
    catalogue: VideoCatalogue  # authors: index, or -1 where unknown; tags: rank of the tag number
    account: RowAccount
    files: tuple[SourceFile, ...]
    duration_fills: DurationFills
    schema: LogSchema = KUAIRAND_LOG
    """What the rows mean: tasks, scenes, clock, sessions."""

    def __post_init__(self) -> None:
        rows = len(self.impressions.users)
        assert rows == self.account.rows_kept, f"{rows} != {self.account.rows_kept} rows"
        expected = (rows, len(self.tasks.feedbacks))
        check_shape("feedback", self.impressions.feedback, "rows, feedbacks", expected)

    @property
    def tasks(self) -> TaskSet:
        """The kinds of feedback."""
        return self.schema.tasks

    @property
    def num_users(self) -> int:
        """Users of the feature file and the log."""
        return len(self.users)

    @property
    def num_videos(self) -> int:
        """Videos of the feature file and the log."""
        return len(self.videos)

    def has_file(self, kind: FileKind) -> bool:
        """Whether a file of that kind was found."""
        return any(file.kind is kind for file in self.files)
