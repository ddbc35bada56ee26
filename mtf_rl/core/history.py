"""Visible history: features of the session so far that a production system can observe.

The simulator and the fitting code use the same update function, so features at run time equal
those at fitting time.
"""

from dataclasses import dataclass, replace

import numpy as np

from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.slates import Response, Slate
from mtf_rl.core.tasks import KUAIRAND_TASKS, TaskSet
from mtf_rl.core.videos import VideoCatalogue

__all__ = [
    "VisibleHistory",
    "add_pause",
    "advance_history",
    "start_history",
    "tag_overlap",
]

FAST_RATE = 0.5
SLOW_RATE = 0.1
TAG_RATE = 0.2


@dataclass(frozen=True)
class VisibleHistory:
    """Features of the session so far, one row per user.

    A signal is the mean of a quantity over the videos of a slate. The quantities are the log's
    feedbacks, then `play_ratio` (play time / duration, clipped to 1); `TaskSet.signal_names` lists
    them. Moving averages start at zero, without bias correction.
    """

    requests: IntArray  # (num_envs,) int32, requests answered so far
    hours: FloatArray  # (num_envs,) float32, current hour of the day in [0, 24)
    elapsed_seconds: FloatArray  # (num_envs,) float32, since the first request
    watch_seconds: FloatArray  # (num_envs,) float32, play time since the first request
    last: FloatArray  # (num_envs, signals) float32, signals of the last slate
    fast: FloatArray  # (num_envs, signals) float32, moving average at rate 0.5
    slow: FloatArray  # (num_envs, signals) float32, moving average at rate 0.1
    last_watch_seconds: FloatArray  # (num_envs,) float32, play time of the last slate
    tag_exposure: FloatArray  # (num_envs, num_tags) float32, moving average of shown tags, rate 0.2
    repetition: FloatArray  # (num_envs,) float32, moving average at rate 0.5 of `tag_overlap`


def start_history(
    hours: FloatArray, num_tags: int, tasks: TaskSet = KUAIRAND_TASKS
) -> VisibleHistory:
    """The empty history of sessions that start at `hours` (num_envs,)."""
    num_envs, signals = len(hours), len(tasks.signal_names)

    def zeros(*axes: int) -> FloatArray:
        return np.zeros((num_envs, *axes), dtype=np.float32)

    return VisibleHistory(
        requests=np.zeros(num_envs, dtype=np.int32),
        hours=np.asarray(hours, dtype=np.float32),
        elapsed_seconds=zeros(),
        watch_seconds=zeros(),
        last=zeros(signals),
        fast=zeros(signals),
        slow=zeros(signals),
        last_watch_seconds=zeros(),
        tag_exposure=zeros(num_tags),
        repetition=zeros(),
    )


def tag_overlap(history: VisibleHistory, videos: IntArray, catalogue: VideoCatalogue) -> FloatArray:
    """Overlap of each video's tags with recently shown tags, (num_envs, slate) in [0, 1]."""
    fractions = catalogue.tag_fractions[videos]  # (num_envs, slate, num_tags)
    overlap: FloatArray = np.einsum("nsg,ng->ns", fractions, history.tag_exposure)
    return overlap  # (num_envs, slate)


def advance_history(
    history: VisibleHistory, slate: Slate, response: Response, catalogue: VideoCatalogue
) -> VisibleHistory:
    """The history after `response` to `slate`; the clock is advanced by `add_pause`."""
    shown = slate.mask.astype(np.float32)  # (num_envs, slate)
    fraction = shown / np.maximum(shown.sum(axis=1, keepdims=True), 1.0)  # (num_envs, slate)
    ratio = np.minimum(response.watch_seconds / catalogue.duration_seconds[slate.videos], 1.0)
    signals = np.concatenate([response.feedback, ratio[..., None]], axis=2)
    last = (signals * fraction[..., None]).sum(axis=1, dtype=np.float32)  # (num_envs, signals)
    tags = (catalogue.tag_fractions[slate.videos] * fraction[..., None]).sum(
        axis=1
    )  # (.., num_tags)
    overlap = (tag_overlap(history, slate.videos, catalogue) * fraction).sum(axis=1)  # (num_envs,)
    last_watch_seconds = (response.watch_seconds * shown).sum(axis=1, dtype=np.float32)
    return replace(
        history,
        requests=history.requests + 1,
        watch_seconds=history.watch_seconds + last_watch_seconds,
        last=last,
        fast=_toward(history.fast, last, FAST_RATE),
        slow=_toward(history.slow, last, SLOW_RATE),
        last_watch_seconds=last_watch_seconds,
        tag_exposure=_toward(history.tag_exposure, tags, TAG_RATE),
        repetition=_toward(history.repetition, overlap, FAST_RATE),
    )


def add_pause(history: VisibleHistory, pause_seconds: FloatArray) -> VisibleHistory:
    """The history at the next request, `pause_seconds` (num_envs,) after the last one."""
    return replace(
        history,
        elapsed_seconds=history.elapsed_seconds + pause_seconds.astype(np.float32),
        hours=((history.hours + pause_seconds / 3600.0) % 24.0).astype(np.float32),
    )


def _toward(average: FloatArray, value: FloatArray, rate: float) -> FloatArray:
    return (average + np.float32(rate) * (value - average)).astype(np.float32)
