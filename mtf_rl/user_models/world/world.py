"""The synthetic world: a user model with known true probabilities."""

from functools import cached_property

import numpy as np
from scipy.special import expit
from typing_extensions import override

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray
from mtf_rl.core.history import VisibleHistory
from mtf_rl.core.protocols import GROUND_TRUTH, UserModel
from mtf_rl.core.randomness import EpisodeRng, Purpose
from mtf_rl.core.slates import Response, Slate
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.core.videos import VideoCatalogue
from mtf_rl.user_models.world.config import WorldConfig
from mtf_rl.user_models.world.constants import TWO_COLUMN_TAB, TYPICAL_DURATION_SECONDS
from mtf_rl.user_models.world.expectations import expected_answers, length_terms
from mtf_rl.user_models.world.experience import WorldState, after_slate, dullness, elapse
from mtf_rl.user_models.world.latent import LatentResponse, latent, usual_latent
from mtf_rl.user_models.world.population import NUM_TAGS, SIGNALS, draw_truth
from mtf_rl.user_models.world.responses import draw_answers
from mtf_rl.user_models.world.retrieval import Retrieval

__all__ = ["HOUR_FRACTIONS", "World"]

# KuaiRand-27K standard log: fraction of rows (%) and click rate by hour of the day.
_HOUR_PERCENT = (
    3.30, 2.01, 1.28, 0.90, 0.81, 1.15, 2.13, 3.09, 3.58, 4.02, 4.48, 4.79,
    5.28, 5.32, 4.80, 4.89, 5.15, 5.44, 5.85, 6.17, 6.61, 6.86, 6.78, 5.31,
)  # fmt: skip
_HOUR_CLICK = (
    0.377, 0.381, 0.382, 0.389, 0.389, 0.390, 0.398, 0.408, 0.402, 0.389, 0.378, 0.380,
    0.392, 0.392, 0.381, 0.376, 0.370, 0.371, 0.375, 0.368, 0.364, 0.367, 0.370, 0.373,
)  # fmt: skip
HOUR_FRACTIONS: FloatArray = np.array(_HOUR_PERCENT) / sum(_HOUR_PERCENT)
_CLICK = np.array(_HOUR_CLICK)
_HOUR_EFFECT: FloatArray = np.log(_CLICK / (1 - _CLICK)) - np.log(0.3787 / (1 - 0.3787))

_LEAVE_INTERCEPT = -2.42
# Usual minutes of tiredness under the logging rankers, per unit of sensitivity and of the user's
# usual long-view rate (calibrated). Only tiredness beyond it makes a user leave earlier.
_USUAL_TIREDNESS = 17.0
_RETURN_INTERCEPT = 3.35
_RETURN_LATER = 0.46
_PAUSE_CAP_SECONDS = 1800.0
_PAUSE_ON_WATCH = 0.6
_PAUSE_MEAN, _PAUSE_SPREAD = 3.0, 1.4
_START_SPREAD = 0.2


class World(UserModel[WorldState]):
    """Users and videos drawn from `config`; users respond, leave and return by known equations."""

    evaluator = GROUND_TRUTH
    hour_fractions = HOUR_FRACTIONS
    tasks = KUAIRAND_TASKS

    def __init__(self, config: WorldConfig) -> None:
        self.config = config
        self.truth = draw_truth(config)
        self.users, self.videos = self.truth.users, self.truth.videos
        # P(click) and P(long view) of each user for a typical video of the rankers.
        typical = length_terms(np.array([TYPICAL_DURATION_SECONDS]))
        self.usual_views = expected_answers(usual_latent(self.users), typical)[:, :2]  # (users, 2)

    @cached_property
    def _lengths(self) -> FloatArray:
        return length_terms(self.catalogue.duration_seconds)

    @property
    def catalogue(self) -> VideoCatalogue:
        """The public attributes of the videos."""
        return self.videos.catalogue

    @cached_property
    def retrieval(self) -> Retrieval:
        """The retrieval stage, which proposes videos to the rankers."""
        return Retrieval.of(self.config, self.users, self.videos)

    def retrieve(self, pool: int) -> IntArray:
        """A pool of `pool` different videos for every user, in random order: (users, pool) int32.

        Raises:
            ConfigError: if there are fewer videos than `pool`.
        """
        return self.retrieval.pools(np.arange(self.config.users), pool)

    def true_probabilities(
        self, users: IntArray, videos: IntArray, hours: FloatArray, tabs: IntArray
    ) -> FloatArray:
        """Expected feedback of fresh users to single videos, (rows, 8) in task order.

        Fresh users have no boredom, no tiredness and neutral satisfaction. Arguments are (rows,);
        `hours` is in [0, 24).
        """
        prospect = self.latent(users, videos, hours, tabs, np.zeros(()))
        return self.expected_answers(prospect)

    def latent(
        self,
        users: IntArray,
        videos: IntArray,
        hours: FloatArray,
        tabs: IntArray,
        dull: FloatArray,
    ) -> LatentResponse:
        """Latent responses to `videos`; all arguments broadcast to its shape."""
        return latent(
            self.truth,
            users,
            videos,
            single_column=np.asarray(tabs != TWO_COLUMN_TAB),
            hour_effect=_HOUR_EFFECT[np.asarray(hours).astype(np.int64) % 24],
            dullness=dull,
        )

    def expected_answers(self, prospect: LatentResponse) -> FloatArray:
        """The expected feedback and watch target of a latent response, (..., 8) in task order."""
        return expected_answers(prospect, self._lengths)

    @override
    def start(self, users: IntArray, rng: EpisodeRng) -> WorldState:
        num_envs = len(users)
        return WorldState(
            users=np.asarray(users),
            satisfaction=_START_SPREAD * rng.normals(Purpose.HIDDEN_STATE, 1)[:, 0],
            tiredness=np.zeros(num_envs),
            boredom=np.zeros((num_envs, NUM_TAGS)),
            clock_seconds=np.zeros(num_envs),
        )

    @override
    def resume(self, state: WorldState, away_seconds: FloatArray) -> WorldState:
        rested = elapse(state, away_seconds)
        return WorldState(
            users=rested.users,
            satisfaction=rested.satisfaction,
            tiredness=rested.tiredness,
            boredom=rested.boredom,
            clock_seconds=np.zeros(len(rested.users)),
        )

    @override
    def respond(
        self, state: WorldState, slate: Slate, history: VisibleHistory, rng: EpisodeRng
    ) -> tuple[Response, WorldState]:
        response, _, after = self.respond_and_explain(state, slate, history, rng)
        return response, after

    def respond_and_explain(
        self, state: WorldState, slate: Slate, history: VisibleHistory, rng: EpisodeRng
    ) -> tuple[Response, LatentResponse, WorldState]:
        """As `respond`, and also returns the latent responses, (num_envs, slate)."""
        state = self._until(state, history)
        dull = dullness(self.truth, state, slate.videos)
        prospect = self.latent(
            state.users[:, None], slate.videos, history.hours[:, None], slate.tabs[:, None], dull
        )
        shape = slate.videos.shape
        times = rng.normals(Purpose.PLAY_TIME, 2 * shape[1]).reshape(*shape, 2)
        signals = rng.uniforms(Purpose.FEEDBACK, len(SIGNALS) * shape[1])
        answers = draw_answers(
            prospect,
            mode=rng.uniforms(Purpose.PLAY_MODE, 2 * shape[1]).reshape(*shape, 2),
            play=times[..., 0],
            overrun=times[..., 1],
            signals=signals.reshape(*shape, len(SIGNALS)),
        )
        after = after_slate(self.truth, state, slate, prospect, answers, dull, self.usual_views)
        response = Response(
            feedback=answers.feedback * slate.mask[..., None].astype(np.float32),
            watch_seconds=np.where(slate.mask, answers.play_seconds, 0.0).astype(np.float32),
        )
        return response, prospect, after

    def _until(self, state: WorldState, history: VisibleHistory) -> WorldState:
        """The state after decay up to the current time of `history`."""
        now = history.elapsed_seconds.astype(np.float64)
        faded = elapse(state, now - state.clock_seconds)
        return WorldState(
            users=faded.users,
            satisfaction=faded.satisfaction,
            tiredness=faded.tiredness,
            boredom=faded.boredom,
            clock_seconds=now,
        )

    @override
    def leave(self, state: WorldState, history: VisibleHistory, rng: EpisodeRng) -> BoolArray:
        hazard = self.leave_probability(state)
        return np.asarray(rng.uniforms(Purpose.LEAVE, 1)[:, 0] < hazard)

    def leave_probability(self, state: WorldState) -> FloatArray:
        """The probability of leaving now, (num_envs,)."""
        users = state.users
        usual = _USUAL_TIREDNESS * self.usual_views[users, 1] * self.users.tiring_sensitivity[users]
        log_odds = (
            _LEAVE_INTERCEPT
            - self.users.patience[users]
            - self.config.leave_effect * state.satisfaction
            + self.config.tiring * (state.tiredness - usual)
        )
        return np.asarray(expit(log_odds))

    @override
    def pause_seconds(
        self, state: WorldState, history: VisibleHistory, rng: EpisodeRng
    ) -> FloatArray:
        overhead = np.exp(_PAUSE_MEAN + _PAUSE_SPREAD * rng.normals(Purpose.PAUSE, 1)[:, 0])
        pause = _PAUSE_ON_WATCH * history.last_watch_seconds + overhead
        return np.asarray(np.minimum(np.rint(1000 * pause) / 1000, _PAUSE_CAP_SECONDS))

    @override
    def return_days(self, state: WorldState, history: VisibleHistory, rng: EpisodeRng) -> IntArray:
        draws = rng.uniforms(Purpose.RETURN, 2)  # (num_envs, 2)
        stays_away = draws[:, 0] >= self.return_probability(state)
        extra = 1 + np.floor(np.log(draws[:, 1]) / np.log1p(-_RETURN_LATER))
        return np.where(stays_away, 1 + extra, 1).astype(np.int32)

    def return_probability(self, state: WorldState) -> FloatArray:
        """The probability that the next day is active, (num_envs,)."""
        return np.asarray(expit(_RETURN_INTERCEPT + self.config.return_effect * state.satisfaction))
