"""What is public about the videos of a catalogue: duration, tags, author."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mtf_rl.core.arrays import FloatArray, IntArray, check_shape

__all__ = ["VideoCatalogue"]

NO_TAG = -1


@dataclass(frozen=True)
class VideoCatalogue:
    """Public attributes of every video, by video index.

    Raises:
        ShapeError: if the arrays do not share the `videos` axis.
    """

    duration_seconds: FloatArray  # (videos,) float32, positive; a missing duration is filled
    tags: IntArray  # (videos, tags_per_video) int32, NO_TAG where a video has fewer
    authors: IntArray  # (videos,) int32
    num_tags: int

    def __post_init__(self) -> None:
        check_shape(
            "tags", self.tags, "videos, tags_per_video", (self.num_videos, self.tags.shape[1])
        )
        check_shape("authors", self.authors, "videos", (self.num_videos,))

    @property
    def num_videos(self) -> int:
        """How many videos there are."""
        return len(self.duration_seconds)

    @cached_property
    def tag_fractions(self) -> FloatArray:
        """Each video's unit of attention, divided equally over its tags: (videos, num_tags).

        A video without a tag has a row of zeros.
        """
        fractions = np.zeros((self.num_videos, self.num_tags), dtype=np.float32)
        videos, columns = np.nonzero(self.tags != NO_TAG)
        np.add.at(fractions, (videos, self.tags[videos, columns]), 1.0)
        normalised: FloatArray = fractions / np.maximum(fractions.sum(axis=1, keepdims=True), 1.0)
        return normalised
