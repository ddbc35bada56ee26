"""Toy environment with a known optimum.

Users give only feedback `k`, with the predicted probability, and leave at a constant rate. With
reward 1 for feedback `k`, the best weights are 1 on task k and 0 on all others. The expected
session reward of any policy is the sum of the shown videos' probabilities.
"""

from dataclasses import dataclass

import numpy as np
from typing_extensions import override

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray
from mtf_rl.core.history import VisibleHistory
from mtf_rl.core.protocols import GROUND_TRUTH, UserModel
from mtf_rl.core.randomness import EpisodeRng, Purpose
from mtf_rl.core.slates import Response, Slate
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.core.videos import VideoCatalogue
from mtf_rl.data import ScoreTable
from mtf_rl.envs.config import SessionConfig
from mtf_rl.envs.dynamics import SessionDynamics
from mtf_rl.envs.observation import UserProfiles

__all__ = ["ToyUserModel", "toy_dynamics"]


@dataclass(frozen=True)
class ToyUserModel(UserModel[None]):
    """Users who give feedback of a single task and leave at a constant rate."""

    probabilities: FloatArray  # (videos,), probability of feedback `task`
    task: int  # index on the axis `feedbacks`
    hazard: float  # probability of leaving after each request, in [0, 1]
    evaluator: str = GROUND_TRUTH

    @property
    def hour_fractions(self) -> FloatArray:  # type: ignore[override]
        """Equal for all hours."""
        return np.full(24, 1.0 / 24.0)

    @override
    def start(self, users: IntArray, rng: EpisodeRng) -> None:
        return None

    @override
    def resume(self, state: None, away_seconds: FloatArray) -> None:
        return None

    @override
    def respond(
        self, state: None, slate: Slate, history: VisibleHistory, rng: EpisodeRng
    ) -> tuple[Response, None]:
        feedback = np.zeros((*slate.videos.shape, len(KUAIRAND_TASKS.feedbacks)), dtype=np.float32)
        uniforms = rng.uniforms(Purpose.FEEDBACK, slate.videos.shape[1])
        feedback[:, :, self.task] = (uniforms < self.probabilities[slate.videos]) & slate.mask
        return Response(feedback, np.zeros(slate.videos.shape, dtype=np.float32)), None

    @override
    def leave(self, state: None, history: VisibleHistory, rng: EpisodeRng) -> BoolArray:
        return np.asarray(rng.uniforms(Purpose.LEAVE, 1)[:, 0] < self.hazard)

    @override
    def pause_seconds(self, state: None, history: VisibleHistory, rng: EpisodeRng) -> FloatArray:
        return np.full(len(history.requests), 60.0)

    @override
    def return_days(self, state: None, history: VisibleHistory, rng: EpisodeRng) -> IntArray:
        return np.ones(len(history.requests), dtype=np.int64)


def toy_dynamics(
    *, task: str = "like", users: int = 20, videos: int = 60, hazard: float = 0.2, seed: int = 0
) -> SessionDynamics:
    """Toy session dynamics in which users give only the feedback `task`.

    Predictions are uniform on [0.02, 0.98] and independent across tasks; the true probability
    equals the prediction of `task`. A third of the videos are candidates, and the slate has 2.
    """
    generator = np.random.default_rng(seed)
    shape = (videos, len(KUAIRAND_TASKS))
    predictions = generator.uniform(0.02, 0.98, size=shape).astype(np.float32)
    pools = np.tile(np.arange(videos, dtype=np.int32), (users, 1))  # (users, pool)
    scores = ScoreTable(
        scores=predictions[pools],
        videos=pools,
        base_rates=np.full(len(KUAIRAND_TASKS), 0.5),
        hours=np.zeros(users, dtype=np.int8),
        tabs=np.ones(users, dtype=np.int16),
        scorer_keys=np.zeros(0, dtype=np.uint64),
    )
    column = KUAIRAND_TASKS.feedback_index(task)
    return SessionDynamics(
        scores=scores,
        user_model=ToyUserModel(predictions[:, column].astype(np.float64), column, hazard),
        catalogue=VideoCatalogue(
            duration_seconds=np.full(videos, 30.0, dtype=np.float32),
            tags=np.zeros((videos, 1), dtype=np.int32),
            authors=np.zeros(videos, dtype=np.int32),
            num_tags=1,
        ),
        profiles=UserProfiles(np.zeros((users, 1), dtype=np.float32), ("constant",)),
        users=np.arange(users),
        config=SessionConfig(candidates=videos // 3, slate=2, max_requests=20),
    )
