"""The same episodes played again and again, and what policies are worth in them."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from typing_extensions import override

from mtf_rl.agents import ConstantPolicy
from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.protocols import Policy
from mtf_rl.core.randomness import EpisodeRng
from mtf_rl.core.slates import Slate
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.envs import (
    REWARDS,
    ServedRequests,
    SessionDynamics,
    SessionState,
    play_episodes,
)
from mtf_rl.envs.observation import observe
from mtf_rl.fusion import best_candidates
from mtf_rl.user_models import World
from mtf_rl.user_models.world.experience import dullness, elapse

__all__ = ["MyopicReward", "OneStepOracle", "RepeatedSessions", "SessionReward"]


class RepeatedSessions(SessionDynamics):
    """The first episodes of one seed, played again and again: candidates are drawn only once.

    Rewards are those of `SessionDynamics`, bit by bit.
    """

    def __init__(self, *, sessions: int, seed: int, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.seed = seed
        self.episodes = np.arange(sessions)
        self._drawn: IntArray | None = None
        start = self.start(seed, self.episodes)
        steps = [np.full(sessions, step) for step in range(self.config.max_requests + 1)]
        drawn = np.stack([self.draw_candidates(EpisodeRng(seed, self.episodes, s)) for s in steps])
        shape = (len(steps), sessions, len(KUAIRAND_TASKS), self.config.candidates)
        self._terms = np.empty(shape, dtype=np.float32)
        blocks = []
        for step, candidates in enumerate(drawn):
            terms = self._prepared[start.users[:, None], candidates]  # (sessions, candidates, ..)
            self._terms[step] = terms.transpose(0, 2, 1)
            blocks.append(super().observe(replace(start, candidates=candidates)))
        self._drawn = drawn  # (requests, sessions, candidates)
        self._observations = np.stack(blocks)  # (requests, sessions, obs_dim)

    @classmethod
    def of(cls, dynamics: SessionDynamics, *, sessions: int, seed: int) -> "RepeatedSessions":
        """The first episodes of `seed` of these dynamics."""
        return cls(
            sessions=sessions,
            seed=seed,
            scores=dynamics.scores,
            user_model=dynamics.user_model,
            catalogue=dynamics.catalogue,
            profiles=dynamics.profiles,
            users=dynamics.users,
            config=dynamics.config,
        )

    @override
    def observe(self, state: SessionState) -> FloatArray:
        candidates = self.layout.block("candidates")
        known = self._observations[state.history.requests, state.episodes][:, candidates]
        return observe(self.profiles.values[state.users], state.history, known)

    @override
    def rank(self, state: SessionState, parameters: FloatArray) -> Slate:
        terms = self._terms[state.history.requests, state.episodes]  # (.., tasks, candidates)
        fused = parameters[:, 0, None] * terms[:, 0]
        for task in range(1, len(KUAIRAND_TASKS)):
            fused += parameters[:, task, None] * terms[:, task]
        return slate_of(self, state, fused)

    @override
    def draw_candidates(self, episode_rng: EpisodeRng) -> IntArray:
        if self._drawn is None:
            return super().draw_candidates(episode_rng)
        return self._drawn[episode_rng.requests, episode_rng.episodes]

    def play(
        self, choose: Callable[[SessionState, IntArray], FloatArray]
    ) -> Iterator[ServedRequests[SessionState]]:
        """All episodes to their ends."""
        return play_episodes(self, choose, seed=self.seed, episodes=self.episodes)

    def choose(self, policy: Policy, state: SessionState) -> FloatArray:
        """The policy's fusion parameters; constant weights are spared the observation."""
        if isinstance(policy, ConstantPolicy):
            observation = np.empty((len(state.users), 0), dtype=np.float32)
        else:
            observation = self.observe(state)
        return self.action_map.to_parameters(policy.predict(observation, deterministic=True)[0])


def slate_of(dynamics: SessionDynamics, state: SessionState, fused: FloatArray) -> Slate:
    """The candidates with the best scores `fused` (num_envs, candidates), as a slate."""
    best = best_candidates(fused, dynamics.config.slate)
    positions = np.take_along_axis(state.candidates, best, axis=1)  # (num_envs, slate)
    return Slate(
        users=state.users,
        videos=dynamics.scores.videos[state.users[:, None], positions],
        mask=np.ones(positions.shape, dtype=np.bool_),
        tabs=dynamics.scores.tabs[state.users],
    )


class SessionReward:
    """The long objective: mean reward of a session."""

    def __init__(self, dynamics: RepeatedSessions) -> None:
        self._dynamics = dynamics
        self.requests = 0

    def __call__(self, policy: Policy) -> float:
        """Play all sessions to their end."""
        dynamics = self._dynamics
        total = 0.0
        for request in dynamics.play(lambda state, rows: dynamics.choose(policy, state)):
            self.requests += len(request.rows)
            total += float(request.outcome.reward.sum(dtype=np.float64))
        return total / len(dynamics.episodes)


class MyopicReward:
    """The myopic objective: mean immediate reward over requests recorded beforehand.

    They come from sessions in which every request's weights are drawn uniformly from the box. The
    policy answers each in its recorded state; nothing that it shows moves another request.
    """

    def __init__(self, dynamics: RepeatedSessions, rng: np.random.Generator) -> None:
        self._dynamics = dynamics
        self.requests = 0

        def choose(state: SessionState, rows: IntArray) -> FloatArray:
            weights = rng.uniform(size=(len(rows), len(KUAIRAND_TASKS))) * KUAIRAND_TASKS.signs
            return weights.astype(np.float32)

        self._states = [request.state for request in dynamics.play(choose)]
        self.observations = np.concatenate([dynamics.observe(s) for s in self._states])

    def __call__(self, policy: Policy) -> float:
        """Answer every recorded request."""
        dynamics, total = self._dynamics, 0.0
        for state in self._states:
            _, outcome = dynamics.advance(state, dynamics.choose(policy, state), dynamics.seed)
            total += float(outcome.reward.sum(dtype=np.float64))
        self.requests += len(self.observations)
        return total / len(self.observations)


class OneStepOracle(SessionDynamics):
    """Ranks by the expected reward of each candidate now, whatever the fusion parameters.

    It uses the world's probabilities for this user, hour and hidden boredom, with watch time
    counted up to its cap of 120 s. It does not use this request's random numbers, and looks one
    request ahead only: neither satisfaction nor tiredness enter.
    """

    @override
    def rank(self, state: SessionState, parameters: FloatArray) -> Slate:
        world: World = self.user_model  # type: ignore[assignment]
        present = state.history.elapsed_seconds.astype(np.float64)
        hidden = elapse(state.hidden, present - state.hidden.clock_seconds)
        users = state.users[:, None]
        videos = self.scores.videos[users, state.candidates]
        dull = dullness(world.truth, hidden, videos)
        tabs = self.scores.tabs[users]
        latent = world.latent(users, videos, state.history.hours[:, None], tabs, dull)
        expected = world.expected_answers(latent)  # (num_envs, candidates, tasks)
        minutes = expected[..., len(KUAIRAND_TASKS.feedbacks)] * KUAIRAND_TASKS["watch"].cap / 60.0
        reward = REWARDS[self.config.reward].on(KUAIRAND_TASKS)
        worth = reward.watch_minute * minutes
        worth = worth + expected[..., : len(KUAIRAND_TASKS.feedbacks)] @ np.array(reward.feedbacks)
        return slate_of(self, state, worth)
