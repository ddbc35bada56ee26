"""Catalogue of videos: duration, tags, author."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mtf_rl.core.arrays import FloatArray, IntArray, check_shape

__all__ = ["VideoCatalogue"]

NO_TAG = -1


@dataclass(frozen=True)
class VideoCatalogue:
    """Attributes of every video, by video index.

    Raises:
        ShapeError: if the lengths of the arrays differ.
    """

    duration_seconds: FloatArray  # (videos,) float32, > 0; missing durations are filled
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
        """Number of videos."""
        return len(self.duration_seconds)

    @cached_property
    def tag_fractions(self) -> FloatArray:
        """Tag weights of each video, (videos, num_tags): 1 / number of its tags, 0 elsewhere.

        A video without tags has a row of zeros.
        """
        fractions = np.zeros((self.num_videos, self.num_tags), dtype=np.float32)
        videos, columns = np.nonzero(self.tags != NO_TAG)
        np.add.at(fractions, (videos, self.tags[videos, columns]), 1.0)
        normalised: FloatArray = fractions / np.maximum(fractions.sum(axis=1, keepdims=True), 1.0)
        return normalised
