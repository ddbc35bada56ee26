"""The slate shown at a request, and the users' response."""

from dataclasses import dataclass

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray, check_shape

__all__ = ["Response", "Slate"]


@dataclass(frozen=True)
class Slate:
    """The videos shown to `num_envs` users at one request, in rank order.

    Raises:
        ShapeError: if the shapes of the arrays disagree.
    """

    users: IntArray  # (num_envs,) user indices
    videos: IntArray  # (num_envs, slate) int32 video indices
    mask: BoolArray  # (num_envs, slate), True where a video was shown
    tabs: IntArray  # (num_envs,), scene of the request: see `log_schema.Scenes`
    ranked: BoolArray | None = None
    """(num_envs,), True where a log's ranker chose the videos; None: False for all."""

    def __post_init__(self) -> None:
        num_envs, slate = self.videos.shape
        check_shape("users", self.users, "num_envs", (num_envs,))
        check_shape("mask", self.mask, "num_envs, slate", (num_envs, slate))
        check_shape("tabs", self.tabs, "num_envs", (num_envs,))
        if self.ranked is not None:
            check_shape("ranked", self.ranked, "num_envs", (num_envs,))


@dataclass(frozen=True)
class Response:
    """Feedback of each user on each video of a slate; zero at masked positions.

    Raises:
        ShapeError: if the shapes of the arrays disagree.
    """

    feedback: FloatArray  # (num_envs, slate, feedbacks) float32: 0 or 1, or a count
    watch_seconds: FloatArray  # (num_envs, slate) float32

    def __post_init__(self) -> None:
        num_envs, slate = self.watch_seconds.shape
        expected = (num_envs, slate, self.feedback.shape[-1])
        check_shape("feedback", self.feedback, "num_envs, slate, feedbacks", expected)
