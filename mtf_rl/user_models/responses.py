"""What a fitted user does with a shown video: play time first, then everything else."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray
from mtf_rl.core.history import VisibleHistory
from mtf_rl.core.randomness import EpisodeRng, Purpose
from mtf_rl.core.slates import Response, Slate
from mtf_rl.core.tasks import (
    FEEDBACKS,
    LONG_VIEW_SECONDS,
    NUM_FEEDBACKS,
    VALID_PLAY_SECONDS,
    is_long_view,
    is_valid_play,
)
from mtf_rl.core.videos import VideoCatalogue
from mtf_rl.user_models.array_records import ArrayRecord
from mtf_rl.user_models.networks import ResponseNetwork, round_to_grid
from mtf_rl.user_models.play import (
    NUM_OUTCOMES,
    ZERO_PLAY,
    PlayTimes,
    draw_outcomes,
    outcomes_from,
    play_features,
)
from mtf_rl.user_models.session_features import HISTORY_FEATURES, history_features

__all__ = [
    "FIRST_INTERACTION",
    "NUM_INTERACTIONS",
    "NUM_REQUEST_FEATURES",
    "NUM_ROW_FEATURES",
    "TWO_COLUMN_TAB",
    "ResponseModel",
    "Unranked",
    "interaction_names",
    "request_features",
    "row_features",
]

TWO_COLUMN_TAB = 0
MAIN_TAB = 1
FIRST_INTERACTION = 2  # after click and long_view, which follow from the play
NUM_INTERACTIONS = NUM_FEEDBACKS - FIRST_INTERACTION
NUM_ROW_FEATURES = 2
_OVERLAP, _PLACE = 0, 1
NUM_REQUEST_FEATURES = len(HISTORY_FEATURES) + 3
# What a log's rankers move as well as its users: all but the hour.
_RANKERS_TOO = [
    column for column, name in enumerate(HISTORY_FEATURES) if not name.endswith(("_sin", "_cos"))
]


def request_features(history: VisibleHistory, tabs: IntArray) -> FloatArray:
    """The visible history and the scene: (num_envs, features) float64."""
    scene = np.stack(
        [tabs == TWO_COLUMN_TAB, tabs == MAIN_TAB, (tabs != TWO_COLUMN_TAB) & (tabs != MAIN_TAB)],
        axis=1,
    )
    return np.concatenate([history_features(history), scene], axis=1)


def row_features(overlap: FloatArray) -> FloatArray:
    """Repetition and place in the slate, scaled to about 1: (num_envs, slate, 2) float64."""
    position = np.log1p(np.arange(overlap.shape[1]))
    return np.stack(
        [5.0 * overlap.astype(np.float64), np.broadcast_to(position, overlap.shape)], axis=2
    )


@dataclass(frozen=True)
class Unranked(ArrayRecord):
    """How answers to videos that no ranker chose differ from those in a log.

    A log's videos were chosen by rankers that knew more of them than any feature tells. The first
    of a slate were chosen more than the last, and those of a session's first requests more than
    those of later ones, when the best have been shown; sessions with good answers are those that a
    good ranker serves. And as a video with poor features is shown only if it is good otherwise,
    features seem to matter less than they do. What a fusion policy shows is chosen by features
    alone: it answers like a video at `position` of a log's slates, what the session has come to
    (progress, signals, repeated tags) counts by `session_fraction`, and whatever sets an answer
    apart from the user's usual one, the hour and the scene too, counts `contrast` times.
    """

    position: FloatArray  # (), from 0; NaN where it is not known, and answers are those of a log
    session_fraction: FloatArray  # (), in [0, 1]
    contrast: FloatArray  # (), positive
    usual_logits: FloatArray  # (users, 14 + 5), means over the user's pool, without scene shifts

    @classmethod
    def unknown(cls, num_users: int) -> "Unranked":
        """That of a log without random exposures."""
        usual_logits = np.zeros((num_users, NUM_OUTCOMES + NUM_INTERACTIONS))
        return cls(np.asarray(np.nan), np.asarray(1.0), np.asarray(1.0), usual_logits)

    @property
    def is_known(self) -> bool:
        """Whether a log has taught it."""
        return not np.isnan(self.position)


@dataclass(frozen=True)
class ResponseModel(ArrayRecord):
    """A network over outcomes of play, and interactions given the play that was drawn.

    The network's outputs are the logits of the 14 outcomes of play, then those of like, follow,
    comment, forward and hate before anything is known of the play.
    """

    network: ResponseNetwork
    play_weights: FloatArray  # (play features, interactions)
    play_times: PlayTimes
    unplayed_click: FloatArray  # (), chance of a click without any play in two-column scenes
    unranked: Unranked
    scene_shifts: FloatArray  # (2, 14 + 5), added to the logits: single-column, two-column scenes

    def logits(
        self,
        slate: Slate,
        history: VisibleHistory,
        overlap: FloatArray,
        tastes: FloatArray | None = None,
    ) -> FloatArray:
        """(num_envs * slate, 14 + 5).

        Args:
            slate: the videos.
            history: what came before them.
            overlap: their `tag_overlap`, (num_envs, slate).
            tastes: (num_envs, slate, tastes) as of the slate's time; as of the split by default.
        """
        session, rows = request_features(history, slate.tabs), row_features(overlap)
        if self.unranked.is_known:
            usual = self.network.session.mean[_RANKERS_TOO]
            moved = session[:, _RANKERS_TOO] - usual
            session[:, _RANKERS_TOO] = usual + self.unranked.session_fraction * moved
            rows[:, :, _OVERLAP] *= self.unranked.session_fraction
            rows[:, :, _PLACE] = np.log1p(self.unranked.position)
        logits = self.network.logits(slate.users, slate.videos, session, rows, tastes)
        if self.unranked.is_known:
            usual = np.repeat(self.unranked.usual_logits[slate.users], rows.shape[1], axis=0)
            logits = round_to_grid(usual + self.unranked.contrast * (logits - usual))
        shifts = self.scene_shifts[(slate.tabs == TWO_COLUMN_TAB).astype(np.int64)]
        logits.reshape(*slate.videos.shape, -1)[...] += shifts[:, None, :]
        return logits

    def as_logged(self) -> "ResponseModel":
        """The model that answers what a log's rankers chose, by place and time of the session."""
        return replace(self, unranked=Unranked.unknown(len(self.network.user_part)))

    def interaction_logits(
        self, logits: FloatArray, play_seconds: FloatArray, duration_seconds: FloatArray
    ) -> FloatArray:
        """(rows, 5), given what `logits` returned and the play, (rows,) each."""
        features = play_features(play_seconds, duration_seconds)
        return logits[:, NUM_OUTCOMES:] + features @ self.play_weights

    def draw(
        self,
        slate: Slate,
        logits: FloatArray,
        fractions: FloatArray,
        rng: EpisodeRng,
        catalogue: VideoCatalogue,
    ) -> Response:
        """One draw of every shown video's answer, given its `logits` and `outcome_fractions`."""
        num_envs, width = slate.videos.shape
        duration = catalogue.duration_seconds[slate.videos].ravel()  # (rows,)
        mode = rng.uniforms(Purpose.PLAY_MODE, width).ravel()
        position = rng.uniforms(Purpose.PLAY_TIME, width).ravel()
        outcomes = draw_outcomes(fractions, mode)
        play = self.play_times.draw(outcomes, duration, position)

        chances = rng.uniforms(Purpose.FEEDBACK, width * NUM_FEEDBACKS).reshape(-1, NUM_FEEDBACKS)
        feedback = np.empty((len(play), NUM_FEEDBACKS), dtype=np.float32)  # (rows, 7)
        two_column = np.repeat(slate.tabs == TWO_COLUMN_TAB, width)
        feedback[:, 0] = self._clicks(play, duration, two_column, chances[:, 0])
        feedback[:, 1] = is_long_view(play, duration)
        interactions = expit(self.interaction_logits(logits, play, duration))
        feedback[:, FIRST_INTERACTION:] = chances[:, FIRST_INTERACTION:] < interactions

        shown = slate.mask
        return Response(
            feedback=feedback.reshape(num_envs, width, NUM_FEEDBACKS) * shown[..., None],
            watch_seconds=play.reshape(num_envs, width) * shown,
        )

    def chances(
        self,
        slate: Slate,
        logits: FloatArray,
        fractions: FloatArray,
        play_seconds: FloatArray,
        catalogue: VideoCatalogue,
    ) -> FloatArray:
        """Probability of each feedback, (num_envs, slate, 7), from logits and outcome fractions.

        Clicks and long views are foreseen before any play; the interactions are given the play,
        `play_seconds` (num_envs, slate).
        """
        duration = catalogue.duration_seconds[slate.videos].ravel()  # (rows,)
        played = 1.0 - fractions[:, ZERO_PLAY]
        tapped = played + fractions[:, ZERO_PLAY] * self.unplayed_click
        two_column = np.repeat(slate.tabs == TWO_COLUMN_TAB, slate.videos.shape[1])
        valid = fractions[:, outcomes_from(VALID_PLAY_SECONDS) :].sum(axis=1)
        chances = np.empty((len(duration), NUM_FEEDBACKS))  # (rows, 7)
        chances[:, 0] = np.where(two_column, tapped, valid)
        chances[:, 1] = fractions[:, outcomes_from(LONG_VIEW_SECONDS) :].sum(axis=1)
        interactions = self.interaction_logits(logits, play_seconds.ravel(), duration)
        chances[:, FIRST_INTERACTION:] = expit(interactions)
        return chances.reshape(*slate.videos.shape, NUM_FEEDBACKS)

    def _clicks(
        self,
        play_seconds: FloatArray,
        duration_seconds: FloatArray,
        two_column: BoolArray,
        chances: FloatArray,
    ) -> BoolArray:
        """A valid play in a single column; in two columns a tap, without which nothing plays."""
        tapped = (play_seconds > 0.0) | (chances < self.unplayed_click)
        return np.where(two_column, tapped, is_valid_play(play_seconds, duration_seconds))


def interaction_names() -> tuple[str, ...]:
    """The feedbacks that the network predicts given the play."""
    return tuple(task.name for task in FEEDBACKS[FIRST_INTERACTION:])
