"""Retention dynamics and environments: episodes of several sessions."""

import re
from dataclasses import dataclass, replace

import numpy as np
import pytest
from typing_extensions import override

from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.history import VisibleHistory
from mtf_rl.core.randomness import EpisodeRng
from mtf_rl.envs import (
    FusionRetentionEnv,
    FusionRetentionVectorEnv,
    RetentionConfig,
    RetentionDynamics,
    SessionDynamics,
    ToyUserModel,
    play_episodes,
    toy_dynamics,
)
from mtf_rl.evaluation import roll_out
from mtf_rl.experiments.environments import demo_dynamics

WEIGHTS = np.linspace(0.1, 1.0, 8, dtype=np.float32)


@dataclass(frozen=True)
class SlowReturns(ToyUserModel):
    """The days away equal the number of requests in the session."""

    @override
    def return_days(self, state: None, history: VisibleHistory, rng: EpisodeRng) -> IntArray:
        return np.asarray(history.requests, dtype=np.int64)


def slow_toy(hazard: float = 0.4) -> SessionDynamics:
    dynamics = toy_dynamics(hazard=hazard)
    model = dynamics.user_model
    assert isinstance(model, ToyUserModel)
    return dynamics.answered_by(SlowReturns(model.probabilities, model.task, model.hazard))


def play(dynamics: RetentionDynamics, episodes: list[int], seed: int = 3) -> list[list[bytes]]:
    """Observations, slates and rewards of each episode, with fixed weights."""
    logs: list[list[bytes]] = [[] for _ in episodes]
    for request in play_episodes(
        dynamics,
        lambda state, rows: np.tile(WEIGHTS, (len(rows), 1)),
        seed=seed,
        episodes=np.array(episodes),
    ):
        observation, outcome = dynamics.observe(request.state), request.outcome
        for position, row in enumerate(request.rows):
            parts = (
                observation[position],
                outcome.slate.videos[position],
                outcome.reward[position],
            )
            logs[row].append(b"".join(np.asarray(part).tobytes() for part in parts))
    return logs


@pytest.mark.parametrize("sessions", [slow_toy(), demo_dynamics()], ids=["toy", "world"])
def test_an_episode_does_not_depend_on_the_other_episodes(sessions: SessionDynamics) -> None:
    dynamics = RetentionDynamics(sessions, RetentionConfig(max_sessions=3))
    together = play(dynamics, list(range(9)))
    assert play(dynamics, [4])[0] == together[4]
    assert play(dynamics, [8, 2, 4])[1] == together[2]
    assert play(dynamics, [4], seed=5)[0] != together[4]


def test_the_first_session_equals_that_of_the_session_environment() -> None:
    sessions = slow_toy()
    retention = RetentionDynamics(sessions)
    state, retention_state = sessions.start(7, np.arange(20)), retention.start(7, np.arange(20))
    parameters = np.tile(WEIGHTS, (20, 1))
    for _ in range(3):
        state, outcome = sessions.advance(state, parameters, 7)
        retention_state, result = retention.advance(retention_state, parameters, 7)
        ended = outcome.terminated | outcome.truncated
        np.testing.assert_array_equal(result.session_ended, ended)
        np.testing.assert_array_equal(result.slate.videos, outcome.slate.videos)
        np.testing.assert_array_equal(result.reward, outcome.reward - result.return_days)
        active = np.flatnonzero(~ended)
        state = sessions.select(state, active)
        retention_state = retention.select(retention_state, active)
        parameters = parameters[active]


def test_days_away_reduce_the_reward_and_are_observed() -> None:
    dynamics = RetentionDynamics(slow_toy(hazard=1.0), RetentionConfig(return_cost=0.5))
    state = dynamics.start(0, np.arange(4))
    assert (dynamics.observe(state)[:, dynamics.layout.block("visits")] == 0.0).all()
    state, outcome = dynamics.advance(state, np.tile(WEIGHTS, (4, 1)), 0)
    # Every session has one request, so every user is away for one day.
    assert outcome.session_ended.all()
    assert outcome.return_days.tolist() == [1, 1, 1, 1]
    likes = outcome.response.feedback[:, :, 2].sum(axis=1)
    np.testing.assert_allclose(outcome.reward, likes - 0.5)
    visits = dynamics.observe(state)[:, dynamics.layout.block("visits")]
    np.testing.assert_allclose(visits[0], np.log1p([1, 1, 1, 0.0]), rtol=1e-6)
    assert (state.current.history.requests == 0).all()
    assert (state.current.served == 1).all()


def test_an_episode_ends_after_its_last_session_or_when_the_user_is_lost() -> None:
    dynamics = RetentionDynamics(
        slow_toy(hazard=0.3), RetentionConfig(max_sessions=4, lost_after_days=5)
    )
    env = FusionRetentionVectorEnv(dynamics, 64)
    env.reset(seed=1)
    reasons: list[str] = []
    for _ in range(60):
        _, _, terminated, truncated, infos = env.step(np.zeros((64, 8), np.float32))
        reason = infos["end_reason"]
        np.testing.assert_array_equal(terminated, reason == "lost")
        np.testing.assert_array_equal(truncated, reason == "max_sessions")
        assert (infos["return_days"][terminated] > 5).all()
        assert infos["session_ended"][terminated | truncated].all()
        reasons += reason[reason != ""].tolist()
    assert set(reasons) == {"lost", "max_sessions"}


def test_rollouts_of_several_sessions_do_not_depend_on_num_envs() -> None:
    dynamics = RetentionDynamics(slow_toy(), RetentionConfig(max_sessions=3))

    class Fixed:
        def predict(
            self,
            observation: FloatArray,
            state: None = None,
            episode_start: None = None,
            deterministic: bool = False,  # noqa: FBT001, FBT002
        ) -> tuple[FloatArray, None]:
            return np.tile(WEIGHTS, (len(observation), 1)), None

    wide = roll_out(dynamics, Fixed(), seed=1, episodes=np.arange(40))
    narrow = roll_out(dynamics, Fixed(), seed=1, episodes=np.arange(40), num_envs=7)
    np.testing.assert_array_equal(wide.reward, narrow.reward)
    # The days away equal the number of requests, and each costs 1.
    np.testing.assert_allclose(wide.reward, wide.feedback[:, 2] - wide.depth, atol=1e-5)


def test_in_the_synthetic_world_satisfaction_carries_over_and_tiredness_decays() -> None:
    sessions = demo_dynamics()
    dynamics = RetentionDynamics(sessions)
    state = dynamics.start(0, np.arange(200))
    ended = np.zeros(200, dtype=np.bool_)
    tiredness, satisfaction, later_satisfaction = np.zeros(200), np.zeros(200), np.zeros(200)
    while not ended.all():
        previous = state
        state, outcome = dynamics.advance(state, np.tile(WEIGHTS, (200, 1)), 0)
        first = outcome.session_ended & ~ended
        tiredness[first] = previous.current.hidden.tiredness[first]
        satisfaction[first] = previous.current.hidden.satisfaction[first]
        later_satisfaction[first] = state.current.hidden.satisfaction[first]
        assert (state.current.hidden.tiredness[first] < 0.01 + 0.1 * tiredness[first]).all()
        ended |= first
    # Satisfaction at return has decayed, but correlates with that of the last session.
    assert tiredness.max() > 1.0
    assert np.corrcoef(satisfaction, later_satisfaction)[0, 1] > 0.5
    assert np.abs(later_satisfaction).max() < np.abs(satisfaction).max()


def test_invalid_settings_and_steps_after_the_end_are_refused() -> None:
    with pytest.raises(ConfigError, match=re.escape("max_sessions must be at least 1, got 0")):
        RetentionConfig(max_sessions=0)
    with pytest.raises(ConfigError, match=re.escape("return_cost must be at least 0, got -1")):
        RetentionConfig(return_cost=-1)
    with pytest.raises(ConfigError, match=re.escape("lost_after_days must be at least 1, got 0")):
        RetentionConfig(lost_after_days=0)
    env = FusionRetentionEnv(RetentionDynamics(slow_toy(hazard=1.0), RetentionConfig(1)))
    env.reset(seed=0)
    assert env.step(np.zeros(8, np.float32))[3]
    with pytest.raises(ConfigError, match=re.escape("the episode has ended; call reset()")):
        env.step(np.zeros(8, np.float32))


def test_the_observation_does_not_depend_on_the_hidden_state() -> None:
    dynamics = RetentionDynamics(demo_dynamics())
    state = dynamics.start(0, np.arange(5))
    hidden = replace(state.current.hidden, satisfaction=np.full(5, 9.0))
    changed = replace(state, current=replace(state.current, hidden=hidden))
    assert dynamics.observe(state).tobytes() == dynamics.observe(changed).tobytes()
