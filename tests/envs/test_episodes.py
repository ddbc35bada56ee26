"""Episodes to their ends, against a loop that plays one episode after the other."""

from typing import Any

import numpy as np

from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.envs import RetentionDynamics, play_episodes, toy_dynamics


def weights_of(dynamics: Any, state: Any) -> FloatArray:
    """Weights that depend on what is observed, so that every row must get its own."""
    seen = dynamics.observe(state)
    moved: FloatArray = np.tanh(seen[:, :1]) * dynamics.sessions.formula.tasks.signs
    return moved.astype(np.float32)


def test_every_episode_ends_as_in_a_naive_loop() -> None:
    both: list[Any] = [toy_dynamics(), RetentionDynamics(toy_dynamics())]
    for dynamics in both:
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
            alone, over = [], False
            while not over:
                state, outcome = dynamics.advance(state, weights_of(dynamics, state), 5)
                alone.append(float(outcome.reward[0]))
                over = bool(outcome.terminated[0] or outcome.truncated[0])
            assert together[position] == alone


def test_no_episode_is_no_request() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    assert not list(play_episodes(toy_dynamics(), weights_of, seed=0, episodes=nothing))
