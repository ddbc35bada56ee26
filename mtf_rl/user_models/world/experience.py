"""Hidden state of users in a session: boredom, satisfaction and tiredness."""

from dataclasses import dataclass, replace

import numpy as np

from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.slates import Slate
from mtf_rl.core.videos import NO_TAG, VideoCatalogue
from mtf_rl.user_models.world.constants import CLICK, LONG_VIEW
from mtf_rl.user_models.world.latent import LatentResponse
from mtf_rl.user_models.world.population import NUM_TAGS, Truth
from mtf_rl.user_models.world.responses import Answers

__all__ = ["WorldState", "after_slate", "dullness", "elapse"]

_BOREDOM_FADE_SECONDS = 1800.0
_TIRING_FADE_SECONDS = 1500.0
_SATISFACTION_FADE_SECONDS = 6.0 * 3600.0
_SATISFACTION_RATE = 0.25
_LONG_WATCH_SECONDS = 30.0
# Appeal at which satisfaction does not change, so that the logging policies are neutral
# (calibrated).
_USUAL_APPEAL = 0.44
_USUAL_REGRET = 0.12
_USUAL_DULLNESS = 0.7
# Worth of a long view, an appealing click and a click (assumed).
_LONG_VIEW_WORTH, _APPEAL_WORTH, _CLICK_WORTH = 2.0, 2.25, 1.0
_EXPOSURE_UNIT = 6.0


@dataclass(frozen=True)
class WorldState:
    """The hidden state of `num_envs` users; it is never observed."""

    users: IntArray  # (num_envs,)
    satisfaction: FloatArray  # (num_envs,), 0 is neutral
    tiredness: FloatArray  # (num_envs,), minutes of recent long watching
    boredom: FloatArray  # (num_envs, num_tags), slates of recent exposure to each tag
    clock_seconds: FloatArray  # (num_envs,), session time of the last decay of the fields above


def elapse(state: WorldState, seconds: FloatArray) -> WorldState:
    """The state after `seconds` (num_envs,) without a slate; `clock_seconds` does not change."""
    return replace(
        state,
        satisfaction=state.satisfaction * np.exp(-seconds / _SATISFACTION_FADE_SECONDS),
        tiredness=state.tiredness * np.exp(-seconds / _TIRING_FADE_SECONDS),
        boredom=state.boredom * np.exp(-seconds / _BOREDOM_FADE_SECONDS)[:, None],
    )


def dullness(truth: Truth, state: WorldState, shown: IntArray) -> FloatArray:
    """Recent exposure to each video's tags times the user's sensitivity: (num_envs, slate)."""
    catalogue = truth.videos.catalogue
    rows = np.arange(len(state.users))[:, None]
    total = np.zeros(shown.shape)
    fraction = _tag_fraction(catalogue, shown)
    for column in range(catalogue.tags.shape[1]):
        tag = catalogue.tags[shown, column]  # (num_envs, slate)
        total += np.where(tag == NO_TAG, 0.0, fraction * state.boredom[rows, tag])
    return total * truth.users.boredom_sensitivity[state.users][:, None]


def _tag_fraction(catalogue: VideoCatalogue, shown: IntArray) -> FloatArray:
    """The weight of each tag in its video, 1 / number of tags, in the shape of `shown`."""
    counts = (catalogue.tags != NO_TAG).sum(axis=1)  # (videos,)
    fraction: FloatArray = (1.0 / np.maximum(counts, 1))[shown]
    return fraction


def after_slate(
    truth: Truth,
    state: WorldState,
    slate: Slate,
    latent: LatentResponse,
    answers: Answers,
    dull: FloatArray,
    usual: FloatArray,
) -> WorldState:
    """The state after the response to `slate`.

    `dull` (num_envs, slate) is the slate's dullness, `usual` (users, 2) the result of
    `usual_views`.
    """
    shown = slate.mask.astype(np.float64)  # (num_envs, slate)
    count = np.maximum(_row_sum(shown), 1.0)
    value = _values(truth, state, slate, latent, answers, dull, usual)
    mean_value = _row_sum(value * shown) / count
    excess = np.maximum(answers.play_seconds - _LONG_WATCH_SECONDS, 0.0) / 60.0
    return replace(
        state,
        satisfaction=state.satisfaction + _SATISFACTION_RATE * (mean_value - state.satisfaction),
        tiredness=state.tiredness
        + truth.users.tiring_sensitivity[state.users] * _row_sum(excess * shown),
        boredom=state.boredom + _exposure(truth.videos.catalogue, slate),
    )


def _values(
    truth: Truth,
    state: WorldState,
    slate: Slate,
    latent: LatentResponse,
    answers: Answers,
    dull: FloatArray,
    usual: FloatArray,
) -> FloatArray:
    """Satisfaction from each shown video, (num_envs, slate); 0 is the user's usual value."""
    config = truth.config
    care = truth.users.care[state.users][:, None]
    clicked = answers.feedback[..., CLICK].astype(np.float64)
    long_view = answers.feedback[..., LONG_VIEW].astype(np.float64)
    usual_click, usual_long_view = (usual[state.users, kind][:, None] for kind in (0, 1))
    regret = truth.videos.bait[slate.videos] * clicked * (1.0 - long_view) - _USUAL_REGRET
    watching = _LONG_VIEW_WORTH * (long_view - usual_long_view) - 2.0 * config.regret * regret
    interacting = _APPEAL_WORTH * clicked * (latent.appeal - _USUAL_APPEAL) + _CLICK_WORTH * (
        clicked - usual_click
    )
    value = (1.0 - care) * watching + care * interacting
    value = value - config.monotony * (dull - _USUAL_DULLNESS)
    return np.where(latent.single_column | (clicked > 0), value, 0.0)


def _exposure(catalogue: VideoCatalogue, slate: Slate) -> FloatArray:
    """Increase of boredom from the slate, (num_envs, num_tags)."""
    num_envs = len(slate.users)
    fraction = np.where(slate.mask, _tag_fraction(catalogue, slate.videos), 0.0) / _EXPOSURE_UNIT
    cells = np.arange(num_envs)[:, None] * NUM_TAGS
    total = np.zeros(num_envs * NUM_TAGS)
    for column in range(catalogue.tags.shape[1]):
        tag = catalogue.tags[slate.videos, column]
        weights = np.where(tag == NO_TAG, 0.0, fraction)
        total += np.bincount(
            (cells + np.maximum(tag, 0)).ravel(), weights.ravel(), minlength=len(total)
        )
    return total.reshape(num_envs, NUM_TAGS)


def _row_sum(values: FloatArray) -> FloatArray:
    """The sum over the slate, (num_envs,), in a fixed order."""
    total = values[:, 0].copy()
    for slot in range(1, values.shape[1]):
        total += values[:, slot]
    return total
