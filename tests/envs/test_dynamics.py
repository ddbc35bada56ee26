"""Session dynamics without Gymnasium."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mtf_rl.core.errors import ConfigError, ShapeError, UnknownNameError
from mtf_rl.core.slates import Response
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.envs import (
    REWARDS,
    BudgetExceededError,
    RequestBudget,
    SessionConfig,
    SessionDynamics,
    SessionState,
    play_episodes,
    toy_dynamics,
)


@pytest.fixture(name="dynamics")
def toy() -> SessionDynamics:
    return toy_dynamics()


def play(dynamics: SessionDynamics, episodes: list[int], seed: int = 3) -> list[list[Any]]:
    """Observations, slates and rewards of each episode, with fixed weights."""
    weights = np.linspace(0.1, 1.0, len(KUAIRAND_TASKS), dtype=np.float32)
    logs: list[list[Any]] = [[] for _ in episodes]
    for request in play_episodes(
        dynamics,
        lambda state, rows: np.tile(weights, (len(rows), 1)),
        seed=seed,
        episodes=np.array(episodes),
    ):
        observation, outcome = dynamics.observe(request.state), request.outcome
        for position, row in enumerate(request.rows):
            logs[row].append(
                (
                    observation[position].tobytes(),
                    outcome.slate.videos[position].tolist(),
                    outcome.reward[position],
                )
            )
    return logs


def test_an_episode_does_not_depend_on_the_other_episodes(dynamics: SessionDynamics) -> None:
    together = play(dynamics, list(range(9)))
    assert play(dynamics, [4])[0] == together[4]
    assert play(dynamics, [8, 2, 4])[1] == together[2]
    assert play(dynamics, [4], seed=5)[0] != together[4]


def test_the_slate_has_the_candidates_with_the_highest_scores(dynamics: SessionDynamics) -> None:
    state = dynamics.start(0, np.arange(12))
    weights = np.random.default_rng(0).uniform(size=(12, len(KUAIRAND_TASKS))).astype(np.float32)
    _, outcome = dynamics.advance(state, weights, 0)
    betas = dynamics.scores.base_rates
    for row in range(12):
        candidates = state.candidates[row]
        assert len(set(candidates.tolist())) == dynamics.config.candidates
        scores = dynamics.scores.scores[state.users[row], candidates]
        fused = [
            sum(
                float(w) * np.log(float(p) + b)
                for w, p, b in zip(weights[row], s, betas, strict=True)
            )
            for s in scores
        ]
        best = candidates[np.argsort(fused)[::-1][: dynamics.config.slate]]
        expected = dynamics.scores.videos[state.users[row], best]
        assert outcome.slate.videos[row].tolist() == expected.tolist()


def test_candidates_are_drawn_uniformly(dynamics: SessionDynamics) -> None:
    state = dynamics.start(1, np.arange(3000))
    fractions = np.bincount(state.candidates.ravel(), minlength=60) / 3000
    assert np.abs(fractions - 1 / 3).max() < 5 * np.sqrt(1 / 3 * 2 / 3 / 3000)


def test_the_mean_depth_follows_from_the_hazard_and_max_requests(
    dynamics: SessionDynamics,
) -> None:
    depths = np.array([len(log) for log in play(dynamics, list(range(4000)))])
    # Hazard 0.2 per request, truncation at 20: sum of 0.8^t for t = 0..19.
    expected = (1 - 0.8**20) / 0.2
    assert abs(depths.mean() - expected) < 5 * depths.std() / np.sqrt(4000)
    assert depths.max() == 20


def test_an_ended_session_is_either_terminated_or_truncated() -> None:
    dynamics = toy_dynamics(hazard=0.5)
    short = SessionDynamics(
        scores=dynamics.scores,
        user_model=dynamics.user_model,
        catalogue=dynamics.catalogue,
        profiles=_profiles(dynamics),
        users=dynamics.users,
        config=replace(dynamics.config, max_requests=1),
    )
    state = short.start(0, np.arange(400))
    _, outcome = short.advance(state, np.ones((400, len(KUAIRAND_TASKS)), dtype=np.float32), 0)
    assert (outcome.terminated ^ outcome.truncated).all()
    assert 0.4 < outcome.terminated.mean() < 0.6


def _profiles(dynamics: SessionDynamics) -> Any:
    from mtf_rl.envs import UserProfiles

    return UserProfiles(np.zeros((20, 1), dtype=np.float32), ("constant",))


def test_the_observation_does_not_depend_on_the_hidden_state(dynamics: SessionDynamics) -> None:
    state = dynamics.start(0, np.arange(5))
    changed: SessionState = replace(state, hidden=np.full((5, 3), 1e9))
    assert dynamics.observe(state).tobytes() == dynamics.observe(changed).tobytes()


def test_the_observation_matches_its_layout(dynamics: SessionDynamics) -> None:
    state = dynamics.start(0, np.arange(6))
    observation = dynamics.observe(state)
    layout = dynamics.layout
    assert observation.shape == (6, layout.size)
    assert observation.dtype == np.float32
    logits = dynamics._predictions.logits[state.users[:, None], state.candidates]
    block = observation[:, layout.block("candidates")]
    np.testing.assert_allclose(block[:, :8], logits.mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(block[:, 8:16], logits.std(axis=1), rtol=1e-4)
    upper = np.sort(logits, axis=1)[:, int(0.9 * 19)]
    np.testing.assert_array_equal(block[:, 16:], upper)
    assert layout.names[layout.block("session").start] == "session/log_requests"
    with pytest.raises(KeyError):
        layout.block("hidden")


def test_registered_rewards_equal_hand_computed_values() -> None:
    feedback = np.zeros((1, 2, 7), dtype=np.float32)
    feedback[0, 0] = [1, 1, 1, 1, 1, 1, 0]
    feedback[0, 1, 6] = 1
    response = Response(feedback, np.array([[90.0, 30.0]], dtype=np.float32))
    # 2 minutes + like 1 + follow 5 + comment 3 + forward 5 - hate 5.
    assert REWARDS["engagement"].on(KUAIRAND_TASKS)(response).tolist() == [11.0]
    assert REWARDS["watch_time"].on(KUAIRAND_TASKS)(response).tolist() == [2.0]
    assert REWARDS["interaction"].on(KUAIRAND_TASKS)(response).tolist() == [9.0]


def test_invalid_settings_are_refused(dynamics: SessionDynamics) -> None:
    with pytest.raises(ConfigError, match=re.escape("candidates must be at least the slate of 6")):
        SessionConfig(candidates=5)
    with pytest.raises(UnknownNameError, match=re.escape("Unknown reward 'engagment'. Did you")):
        SessionConfig(reward="engagment")
    with pytest.raises(ConfigError, match=re.escape("max_requests must be at least 1, got 0")):
        SessionConfig(max_requests=0)
    state = dynamics.start(0, np.arange(2))
    with pytest.raises(ShapeError, match=re.escape("= (2, 8), got (2, 7)")):
        dynamics.advance(state, np.ones((2, 7), dtype=np.float32), 0)
    with pytest.raises(ConfigError, match=re.escape("at most the pool of 60, got 61")):
        SessionDynamics(
            scores=dynamics.scores,
            user_model=dynamics.user_model,
            catalogue=dynamics.catalogue,
            profiles=_profiles(dynamics),
            users=dynamics.users,
            config=SessionConfig(candidates=61),
        )


def test_a_budget_refuses_requests_beyond_its_limit() -> None:
    charges: list[int] = []
    budget = RequestBudget(10, on_spend=charges.append)
    budget.spend(7)
    with pytest.raises(BudgetExceededError, match=re.escape("4 more requests would exceed the")):
        budget.spend(4)
    assert budget.used == 7
    assert budget.left == 3
    assert charges == [7]
    assert RequestBudget().left == float("inf")
    with pytest.raises(ConfigError, match=re.escape("at least 0 requests, got -1")):
        RequestBudget(-1)
