"""The fitted response model: draws a video's play time, then the other feedback given it."""

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import expit

from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.history import VisibleHistory
from mtf_rl.core.log_schema import KUAIRAND_LOG, Scenes
from mtf_rl.core.randomness import EpisodeRng, Purpose
from mtf_rl.core.slates import Response, Slate
from mtf_rl.core.videos import VideoCatalogue
from mtf_rl.user_models.answer_rules import KUAIRAND_RULES, AnswerRules
from mtf_rl.user_models.array_records import NOT_AN_ARRAY, ArrayRecord
from mtf_rl.user_models.networks import ResponseNetwork, round_to_grid
from mtf_rl.user_models.play import (
    NUM_OUTCOMES,
    ZERO_PLAY,
    PlayTimes,
    draw_outcomes,
    play_features,
)
from mtf_rl.user_models.session_features import history_features

__all__ = [
    "NUM_ROW_FEATURES",
    "ResponseModel",
    "Unranked",
    "request_features",
    "row_features",
]

NUM_ROW_FEATURES = 2
_OVERLAP, _POSITION = 0, 1


def request_features(
    history: VisibleHistory, tabs: IntArray, scenes: Scenes = KUAIRAND_LOG.scenes
) -> FloatArray:
    """Features of the visible history and the scene: (num_envs, features) float64."""
    two_column, main = scenes.is_two_column(tabs), tabs == scenes.main
    scene = np.stack([two_column, main, ~(two_column | main)], axis=1)
    return np.concatenate([history_features(history), scene], axis=1)


def row_features(overlap: FloatArray) -> FloatArray:
    """Tag overlap and position in the slate, scaled to about 1: (num_envs, slate, 2) float64."""
    position = np.log1p(np.arange(overlap.shape[1]))
    return np.stack(
        [5.0 * overlap.astype(np.float64), np.broadcast_to(position, overlap.shape)], axis=2
    )


@dataclass(frozen=True)
class Unranked(ArrayRecord):
    """Correction of the response model for videos that the log's rankers did not choose.

    The log's rankers used more information than the features contain, which biases a model fitted
    on the log:

    - Videos at the first positions, and in a session's first requests, were selected more strongly.
    - Sessions with good responses are partly those that a good ranker served.
    - A video with poor features was shown only if it was good otherwise. The effects of features
      are therefore underestimated.

    A fusion policy selects by features only. Its videos get the responses of position `position` in
    a log's slate. The effects of the session (progress, signals, repeated tags) are multiplied by
    `session_fraction`. Differences to the user's usual logits, also those due to hour and scene,
    are multiplied by `contrast`.
    """

    position: FloatArray  # (), from 0; NaN turns the correction off
    session_fraction: FloatArray  # (), in [0, 1]
    contrast: FloatArray  # (), positive
    usual_logits: FloatArray  # (users, 14 + interactions), means over the user's pool,
    # without scene shifts

    @classmethod
    def unknown(cls, num_users: int, rules: AnswerRules = KUAIRAND_RULES) -> "Unranked":
        """No correction, for a log without random exposures."""
        usual_logits = np.zeros((num_users, rules.num_outputs))
        return cls(np.asarray(np.nan), np.asarray(1.0), np.asarray(1.0), usual_logits)

    @property
    def is_known(self) -> bool:
        """Whether the correction was fitted."""
        return not np.isnan(self.position)


@dataclass(frozen=True)
class ResponseModel(ArrayRecord):
    """Predicts the play outcome, then the interactions given the play time that was drawn.

    The network outputs the logits of the 14 play outcomes, then the logits of the interactions
    without the effect of play. KuaiRand's interactions are like, follow, comment, forward and hate.
    """

    network: ResponseNetwork
    play_weights: FloatArray  # (play features, interactions)
    play_times: PlayTimes
    unplayed_click: FloatArray  # (), probability of a click without play in two-column scenes
    unranked: Unranked
    scene_shifts: FloatArray  # (2, 14 + interactions), added to the logits in single-column and in
    # two-column scenes
    rules: AnswerRules = field(default=KUAIRAND_RULES, metadata=NOT_AN_ARRAY)
    """Which feedbacks are determined by play time."""

    def logits(
        self,
        slate: Slate,
        history: VisibleHistory,
        overlap: FloatArray,
        tastes: FloatArray | None = None,
    ) -> FloatArray:
        """Logits of play outcomes and interactions, (num_envs * slate, 14 + interactions).

        Args:
            slate: the videos to show.
            history: visible history before the slate.
            overlap: `tag_overlap` of the videos, (num_envs, slate).
            tastes: (num_envs, slate, tastes) at the time of the slate; by default as of the split.
        """
        scenes = self.rules.schema.scenes
        session, rows = request_features(history, slate.tabs, scenes), row_features(overlap)
        if self.unranked.is_known:
            columns = self.rules.ranked_columns
            usual = self.network.session.mean[columns]
            difference = session[:, columns] - usual
            session[:, columns] = usual + self.unranked.session_fraction * difference
            rows[:, :, _OVERLAP] *= self.unranked.session_fraction
            rows[:, :, _POSITION] = np.log1p(self.unranked.position)
        logits = self.network.logits(slate.users, slate.videos, session, rows, tastes)
        if self.unranked.is_known:
            usual = np.repeat(self.unranked.usual_logits[slate.users], rows.shape[1], axis=0)
            logits = round_to_grid(usual + self.unranked.contrast * (logits - usual))
        shifts = self.scene_shifts[scenes.is_two_column(slate.tabs).astype(np.int64)]
        logits.reshape(*slate.videos.shape, -1)[...] += shifts[:, None, :]
        return logits

    def as_logged(self) -> "ResponseModel":
        """The model without the correction: responses to videos that the log's rankers chose."""
        return replace(self, unranked=Unranked.unknown(len(self.network.user_part), self.rules))

    def interaction_logits(
        self, logits: FloatArray, play_seconds: FloatArray, duration_seconds: FloatArray
    ) -> FloatArray:
        """Logits of the interactions given the play, (rows, interactions).

        Args:
            logits: output of `logits`, (rows, 14 + interactions).
            play_seconds: (rows,).
            duration_seconds: (rows,) duration of the videos.
        """
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
        """Draw the response to every shown video from its `logits` and `outcome_fractions`."""
        num_envs, width = slate.videos.shape
        rules, feedbacks = self.rules, len(self.rules.tasks.feedbacks)
        duration = catalogue.duration_seconds[slate.videos].ravel()  # (rows,)
        mode = rng.uniforms(Purpose.PLAY_MODE, width).ravel()
        position = rng.uniforms(Purpose.PLAY_TIME, width).ravel()
        if rules.tasks.seconds is None:
            play = np.zeros(len(duration), dtype=np.float32)
        else:
            play = self.play_times.draw(draw_outcomes(fractions, mode), duration, position)

        uniforms = rng.uniforms(Purpose.FEEDBACK, width * feedbacks).reshape(-1, feedbacks)
        feedback = np.empty((len(play), feedbacks), dtype=np.float32)  # (rows, feedbacks)
        two_column = np.repeat(rules.schema.scenes.is_two_column(slate.tabs), width)
        for rule in rules.plays:
            happened = rule.task.follows(play, duration)
            if rule.opens:
                # In two-column scenes a click is the tap that opens the video.
                tapped = (play > 0.0) | (uniforms[:, rule.column] < self.unplayed_click)
                happened = np.where(two_column, tapped, happened)
            feedback[:, rule.column] = happened
        if rules.num_interactions:
            columns = rules.interaction_columns
            chances = expit(self.interaction_logits(logits, play, duration))
            feedback[:, columns] = rules.draw_interactions(chances, uniforms[:, columns])

        shown = slate.mask
        return Response(
            feedback=feedback.reshape(num_envs, width, feedbacks) * shown[..., None],
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
        """The expected label of each feedback, (num_envs, slate, feedbacks).

        Feedbacks that play time determines are predicted before play, from the outcome `fractions`.
        Interactions are predicted from `logits` given `play_seconds` (num_envs, slate).
        """
        rules = self.rules
        duration = catalogue.duration_seconds[slate.videos].ravel()  # (rows,)
        two_column = np.repeat(rules.schema.scenes.is_two_column(slate.tabs), slate.videos.shape[1])
        chances = np.empty((len(duration), len(rules.tasks.feedbacks)))  # (rows, feedbacks)
        for rule in rules.plays:
            happens = fractions[:, rule.first_outcome :].sum(axis=1)
            if rule.opens:
                played = 1.0 - fractions[:, ZERO_PLAY]
                tapped = played + fractions[:, ZERO_PLAY] * self.unplayed_click
                happens = np.where(two_column, tapped, happens)
            chances[:, rule.column] = happens
        if rules.num_interactions:
            interactions = self.interaction_logits(logits, play_seconds.ravel(), duration)
            chances[:, rules.interaction_columns] = expit(interactions)
        return chances.reshape(*slate.videos.shape, len(rules.tasks.feedbacks))
