"""Users of your own, who answer in the environment and teach an agent.

python docs/examples/own_user_model.py

A user model is batched and pure: its methods take and return arrays with one row per user, and all
chance comes from the `rng` they are given (`mtf_rl.core.protocols.UserModel` says what each must
offer). These users watch what is short, and leave when a slate bored them.
"""

from dataclasses import dataclass, replace

import gymnasium
import numpy as np
from stable_baselines3 import TD3

import mtf_rl  # noqa: F401  (registers the environments)
from mtf_rl.agents import SessionVecEnv
from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray
from mtf_rl.core.history import VisibleHistory
from mtf_rl.core.protocols import UserModel
from mtf_rl.core.randomness import EpisodeRng, Purpose
from mtf_rl.core.slates import Response, Slate
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.core.videos import VideoCatalogue


@dataclass(frozen=True)
class Mood:
    """What a user keeps between slates."""

    boredom: FloatArray  # (num_envs,), in [0, 1]


@dataclass(frozen=True)
class HastyUsers(UserModel[Mood]):
    """Users who give every video about half a minute."""

    catalogue: VideoCatalogue
    evaluator = "hasty_users"
    hour_fractions = np.full(24, 1.0 / 24.0)

    def start(self, users: IntArray, rng: EpisodeRng) -> Mood:
        return Mood(np.zeros(len(users)))

    def resume(self, state: Mood, away_seconds: FloatArray) -> Mood:
        return Mood(state.boredom * np.exp(-away_seconds / 86_400.0))

    def respond(
        self, state: Mood, slate: Slate, history: VisibleHistory, rng: EpisodeRng
    ) -> tuple[Response, Mood]:
        width = slate.videos.shape[1]
        duration = self.catalogue.duration_seconds[slate.videos]  # (num_envs, slate)
        patience = -30.0 * np.log(rng.uniforms(Purpose.PLAY_TIME, width))
        play = np.where(slate.mask, np.minimum(patience, duration), 0.0)
        feedback = np.zeros((*play.shape, len(KUAIRAND_TASKS.feedbacks)), dtype=np.float32)
        feedback[:, :, 0] = KUAIRAND_TASKS["click"].follows(play, duration) & slate.mask
        feedback[:, :, 1] = KUAIRAND_TASKS["long_view"].follows(play, duration) & slate.mask
        unwatched = 1.0 - (play / duration).mean(axis=1)  # (num_envs,)
        mood = replace(state, boredom=0.5 * state.boredom + 0.5 * unwatched)
        return Response(feedback, play.astype(np.float32)), mood

    def leave(self, state: Mood, history: VisibleHistory, rng: EpisodeRng) -> BoolArray:
        return np.asarray(rng.uniforms(Purpose.LEAVE, 1)[:, 0] < 0.3 * state.boredom)

    def pause_seconds(self, state: Mood, history: VisibleHistory, rng: EpisodeRng) -> FloatArray:
        return history.last_watch_seconds + 5.0

    def return_days(self, state: Mood, history: VisibleHistory, rng: EpisodeRng) -> IntArray:
        return np.where(rng.uniforms(Purpose.RETURN, 1)[:, 0] < state.boredom, 3, 1)


def main() -> None:
    """Serve hasty users by uniform weights, then let TD3 learn what they like."""
    envs = gymnasium.make_vec(
        "mtf_rl/FusionRetention-v0", num_envs=64, user_model=HastyUsers, max_sessions=3
    )
    envs.reset(seed=0)
    uniform = np.array([[1, 1, 1, 1, 1, 1, -1, 1]] * 64, dtype=np.float32)
    rewards = np.mean([envs.step(uniform)[1].mean() for _ in range(20)])
    print(f"uniform weights: {rewards:.3f} reward per request")

    model = TD3("MlpPolicy", SessionVecEnv(envs.unwrapped), learning_starts=640, seed=0)
    model.learn(total_timesteps=3200)
    observations, _ = envs.reset(seed=0)
    rewards = []
    for _ in range(20):
        observations, reward, *_ = envs.step(model.predict(observations, deterministic=True)[0])
        rewards.append(reward.mean())
    print(
        f"TD3 after 3,200 requests: {np.mean(rewards):.3f} reward per request. That is too short to"
        " learn what these users like; give it 100,000."
    )


if __name__ == "__main__":
    main()
