"""Draws responses in the world: play time first, then all other feedback given play time.

All functions are elementwise, so a response does not depend on the other users in the batch.
"""

from dataclasses import dataclass

import numpy as np

from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.user_models.world.constants import (
    CLICK,
    LIKE,
    LONG_VIEW,
    LONGEST_OVERRUN,
    LURED_MEAN,
    LURED_SPREAD,
    NUM_FEEDBACKS,
    ODDS_AFTER_LIKE,
    OVERRUN_MEAN,
    OVERRUN_SPREAD,
    SIGNAL_ODDS,
    SKIP_MEAN,
    SKIP_SPREAD,
    WATCH_SPREAD,
)
from mtf_rl.user_models.world.latent import LatentResponse

__all__ = ["Answers", "draw_answers"]


@dataclass(frozen=True)
class Answers:
    """The responses to shown videos; arrays have one shape, plus `feedback`'s last axis."""

    feedback: FloatArray  # (..., 7) float32 of 0/1
    play_seconds: FloatArray  # whole milliseconds


def draw_answers(
    latent: LatentResponse,
    *,
    mode: FloatArray,
    play: FloatArray,
    overrun: FloatArray,
    signals: FloatArray,
) -> Answers:
    """Draw the responses from given uniforms and normals.

    Args:
        latent: the latent responses.
        mode: (..., 2) uniforms for tap and start, and for the mode of play.
        play: (...) standard normals of ln(play seconds).
        overrun: (...) standard normals of the time played beyond the end.
        signals: (..., signals) uniforms of like, follow, comment, forward and hate.
    """
    played = mode[..., 0] < latent.plays
    watched = mode[..., 1] < latent.watches
    # Among watches, the fraction `lured` with the smallest uniforms ends in disappointment.
    lured = mode[..., 1] < latent.watches * latent.lured
    log_seconds = np.where(
        lured, LURED_MEAN + LURED_SPREAD * play, latent.watch_mean + WATCH_SPREAD * play
    )
    log_seconds = np.where(watched, log_seconds, SKIP_MEAN + SKIP_SPREAD * play)
    seconds = np.exp(log_seconds)
    duration = latent.duration_seconds
    extra = np.minimum(np.exp(OVERRUN_MEAN + OVERRUN_SPREAD * overrun), LONGEST_OVERRUN * duration)
    seconds = np.where(seconds >= duration, duration + extra, seconds)
    seconds = np.where(played, np.maximum(np.floor(1000.0 * seconds), 1.0) / 1000.0, 0.0)
    valid = KUAIRAND_TASKS["click"].follows(seconds, duration) & played
    long_view = KUAIRAND_TASKS["long_view"].follows(seconds, duration) & played
    play_class = played.astype(np.int64) + valid + long_view
    feedback = np.empty((*seconds.shape, NUM_FEEDBACKS), dtype=np.float32)
    feedback[..., CLICK] = np.where(latent.single_column, valid, mode[..., 0] < latent.taps)
    feedback[..., LONG_VIEW] = long_view
    odds = SIGNAL_ODDS.T[play_class] * latent.odds  # (..., signals)
    liked = signals[..., 0] < _odds_to_probability(odds[..., 0])
    odds *= np.where(liked[..., None], ODDS_AFTER_LIKE, 1.0)
    feedback[..., LIKE:] = signals < _odds_to_probability(odds)
    feedback[..., LIKE] = liked
    return Answers(feedback=feedback, play_seconds=seconds)


def _odds_to_probability(odds: FloatArray) -> FloatArray:
    return odds / (1.0 + odds)
