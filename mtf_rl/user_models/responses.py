"""What a fitted user does with a shown video: play time first, then everything else."""

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
_OVERLAP, _PLACE = 0, 1


def request_features(
    history: VisibleHistory, tabs: IntArray, scenes: Scenes = KUAIRAND_LOG.scenes
) -> FloatArray:
    """The visible history and the scene: (num_envs, features) float64."""
    two_column, main = scenes.is_two_column(tabs), tabs == scenes.main
    scene = np.stack([two_column, main, ~(two_column | main)], axis=1)
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
    usual_logits: FloatArray  # (users, 14 + interactions), means over the user's pool,
    # without scene shifts

    @classmethod
    def unknown(cls, num_users: int, rules: AnswerRules = KUAIRAND_RULES) -> "Unranked":
        """That of a log without random exposures."""
        usual_logits = np.zeros((num_users, rules.num_outputs))
        return cls(np.asarray(np.nan), np.asarray(1.0), np.asarray(1.0), usual_logits)

    @property
    def is_known(self) -> bool:
        """Whether a log has taught it."""
        return not np.isnan(self.position)


@dataclass(frozen=True)
class ResponseModel(ArrayRecord):
    """A network over outcomes of play, and interactions given the play that was drawn.

    The network's outputs are the logits of the 14 outcomes of play, then those of the interactions
    before anything is known of the play: of KuaiRand like, follow, comment, forward and hate.
    """

    network: ResponseNetwork
    play_weights: FloatArray  # (play features, interactions)
    play_times: PlayTimes
    unplayed_click: FloatArray  # (), chance of a click without any play in two-column scenes
    unranked: Unranked
    scene_shifts: FloatArray  # (2, 14 + interactions), added to the logits: in single-column and
    # in two-column scenes
    rules: AnswerRules = field(default=KUAIRAND_RULES, metadata=NOT_AN_ARRAY)
    """Which feedbacks follow from play."""

    def logits(
        self,
        slate: Slate,
        history: VisibleHistory,
        overlap: FloatArray,
        tastes: FloatArray | None = None,
    ) -> FloatArray:
        """(num_envs * slate, 14 + interactions).

        Args:
            slate: the videos.
            history: what came before them.
            overlap: their `tag_overlap`, (num_envs, slate).
            tastes: (num_envs, slate, tastes) as of the slate's time; as of the split by default.
        """
        scenes = self.rules.schema.scenes
        session, rows = request_features(history, slate.tabs, scenes), row_features(overlap)
        if self.unranked.is_known:
            columns = self.rules.ranked_columns
            usual = self.network.session.mean[columns]
            moved = session[:, columns] - usual
            session[:, columns] = usual + self.unranked.session_fraction * moved
            rows[:, :, _OVERLAP] *= self.unranked.session_fraction
            rows[:, :, _PLACE] = np.log1p(self.unranked.position)
        logits = self.network.logits(slate.users, slate.videos, session, rows, tastes)
        if self.unranked.is_known:
            usual = np.repeat(self.unranked.usual_logits[slate.users], rows.shape[1], axis=0)
            logits = round_to_grid(usual + self.unranked.contrast * (logits - usual))
        shifts = self.scene_shifts[scenes.is_two_column(slate.tabs).astype(np.int64)]
        logits.reshape(*slate.videos.shape, -1)[...] += shifts[:, None, :]
        return logits

    def as_logged(self) -> "ResponseModel":
        """The model that answers what a log's rankers chose, by place and time of the session."""
        return replace(self, unranked=Unranked.unknown(len(self.network.user_part), self.rules))

    def interaction_logits(
        self, logits: FloatArray, play_seconds: FloatArray, duration_seconds: FloatArray
    ) -> FloatArray:
        """(rows, interactions), given what `logits` returned and the play, (rows,) each."""
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
                # In two columns it is a tap, without which nothing plays.
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

        What follows from play is foreseen before any play, from outcome `fractions`; the
        interactions are given the play, `play_seconds` (num_envs, slate), and `logits`.
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
