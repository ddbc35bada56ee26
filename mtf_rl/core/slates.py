"""What is shown at a request and what comes back."""

from dataclasses import dataclass

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray, check_shape
from mtf_rl.core.tasks import NUM_FEEDBACKS

__all__ = ["Response", "Slate"]


@dataclass(frozen=True)
class Slate:
    """The videos shown to `num_envs` users at one request, best first.

    Raises:
        ShapeError: if the arrays do not agree.
    """

    users: IntArray  # (num_envs,) user indices
    videos: IntArray  # (num_envs, slate) int32 video indices
    mask: BoolArray  # (num_envs, slate), True where a video was shown
    tabs: IntArray  # (num_envs,), KuaiRand's scene: 1 a single-column feed, 0 a two-column page
    ranked: BoolArray | None = None
    """(num_envs,), True where a log's ranker chose the videos; None: nowhere."""

    def __post_init__(self) -> None:
        num_envs, slate = self.videos.shape
        check_shape("users", self.users, "num_envs", (num_envs,))
        check_shape("mask", self.mask, "num_envs, slate", (num_envs, slate))
        check_shape("tabs", self.tabs, "num_envs", (num_envs,))
        if self.ranked is not None:
            check_shape("ranked", self.ranked, "num_envs", (num_envs,))


@dataclass(frozen=True)
class Response:
    """Every user's answer to every shown video; zero where nothing was shown.

    Raises:
        ShapeError: if the arrays do not agree.
    """

    feedback: FloatArray  # (num_envs, slate, 7) float32 of 0/1, in the order of `FEEDBACKS`
    watch_seconds: FloatArray  # (num_envs, slate) float32

    def __post_init__(self) -> None:
        num_envs, slate = self.watch_seconds.shape
        check_shape(
            "feedback", self.feedback, "num_envs, slate, 7", (num_envs, slate, NUM_FEEDBACKS)
        )
