"""Parallel simulation of episodes agrees with a loop over single episodes."""

from typing import Any

import numpy as np

from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.envs import RetentionDynamics, play_episodes, toy_dynamics


def weights_of(dynamics: Any, state: Any) -> FloatArray:
    """Weights that depend on the observation, so that they differ between rows."""
    observation = dynamics.observe(state)
    weights: FloatArray = np.tanh(observation[:, :1]) * dynamics.sessions.formula.tasks.signs
    return weights.astype(np.float32)


def test_parallel_episodes_equal_single_episodes() -> None:
    kinds: list[Any] = [toy_dynamics(), RetentionDynamics(toy_dynamics())]
    for dynamics in kinds:
        numbers = np.array([7, 3, 20, 0])

        def choose(state: Any, rows: IntArray, dynamics: Any = dynamics) -> FloatArray:
            assert len(rows) == len(dynamics.session(state).users)
            return weights_of(dynamics, state)

        together: list[list[float]] = [[] for _ in numbers]
        ended = np.zeros(len(numbers), dtype=bool)
        for request in play_episodes(dynamics, choose, seed=5, episodes=numbers):
            assert not ended[request.rows].any()
            for row, reward in zip(request.rows, request.outcome.reward, strict=True):
                together[row].append(float(reward))
            ended[request.rows] = request.outcome.terminated | request.outcome.truncated
        assert ended.all()
        for position, number in enumerate(numbers):
            state: Any = dynamics.start(5, np.array([number]))
            alone, done = [], False
            while not done:
                state, outcome = dynamics.advance(state, weights_of(dynamics, state), 5)
                alone.append(float(outcome.reward[0]))
                done = bool(outcome.terminated[0] or outcome.truncated[0])
            assert together[position] == alone


def test_no_episodes_give_no_requests() -> None:
    no_episodes = np.zeros(0, dtype=np.int64)
    assert not list(play_episodes(toy_dynamics(), weights_of, seed=0, episodes=no_episodes))
