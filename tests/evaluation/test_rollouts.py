"""Rollouts: every episode to its end, paired on common random numbers."""

import re
from dataclasses import replace

import numpy as np
import pytest

from mtf_rl.agents import ConstantPolicy
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.envs import RequestBudget, RetentionDynamics, toy_dynamics
from mtf_rl.evaluation import PolicySessions, leaderboard, leaderboard_columns, roll_out

ONLY_LIKE = ConstantPolicy(np.array([-1, -1, 1, -1, -1, -1, 1, -1], dtype=np.float32))
UNIFORM = ConstantPolicy(np.array([1, 1, 1, 1, 1, 1, -1, 1], dtype=np.float32))


def test_numbers_do_not_depend_on_how_many_play_at_once() -> None:
    episodes = np.arange(50)
    wide = roll_out(toy_dynamics(), UNIFORM, seed=1, episodes=episodes)
    narrow = roll_out(toy_dynamics(), UNIFORM, seed=1, episodes=episodes, num_envs=7)
    for name in ("reward", "depth", "feedback", "weights"):
        np.testing.assert_array_equal(getattr(wide, name), getattr(narrow, name))


def test_the_budget_is_charged_for_every_request() -> None:
    budget = RequestBudget()
    sessions = roll_out(toy_dynamics(), UNIFORM, seed=1, episodes=np.arange(30), budget=budget)
    assert budget.used == sessions.requests == sessions.depth.sum()
    assert (sessions.impressions == 2 * sessions.depth).all()


def test_reward_adds_up_to_feedback() -> None:
    sessions = roll_out(toy_dynamics(), UNIFORM, seed=1, episodes=np.arange(30))
    np.testing.assert_allclose(sessions.reward, sessions.feedback[:, 2])


def test_common_random_numbers_narrow_the_interval_of_a_difference() -> None:
    dynamics = toy_dynamics()
    episodes = np.arange(600)
    best = roll_out(dynamics, ONLY_LIKE, seed=1, episodes=episodes)
    uniform = roll_out(dynamics, UNIFORM, seed=1, episodes=episodes)
    stranger = roll_out(dynamics, UNIFORM, seed=2, episodes=episodes)
    np.testing.assert_array_equal(best.users, uniform.users)
    np.testing.assert_array_equal(
        best.depth, uniform.depth
    )  # This toy's users leave by random numbers.
    assert (best.reward - uniform.reward).var() < 0.5 * (best.reward - stranger.reward).var()


def test_the_leaderboard_pairs_and_sorts() -> None:
    dynamics = toy_dynamics()
    played = [
        PolicySessions(name, used, roll_out(dynamics, policy, seed=1, episodes=np.arange(400)))
        for name, used, policy in (("uniform", 0, UNIFORM), ("best", 77, ONLY_LIKE))
    ]
    rows = leaderboard(
        played,
        evaluator="ground_truth",
        best_static="uniform",
        reference="best",
        parameter_names=KUAIRAND_TASKS.names,
    )
    assert [row.policy for row in rows] == ["best", "uniform"]
    assert tuple(rows[0].cells()) == leaderboard_columns(KUAIRAND_TASKS.names)
    assert rows[1].delta_vs_best_static.mean == rows[1].delta_vs_best_static.high == 0.0
    assert rows[0].delta_vs_best_static.low > 0.0
    gain = played[1].sessions.reward.mean() - played[0].sessions.reward.mean()
    assert rows[0].delta_vs_best_static.mean == pytest.approx(gain)
    cells = rows[0].cells()
    assert cells["requests_used"] == 77
    assert cells["users"] == len(np.unique(played[1].sessions.users))
    assert rows[1].cells()["delta_vs_production_mean"] == pytest.approx(-gain)
    assert rows[1].changes.reward.mean == pytest.approx(-gain / rows[0].metrics.reward.mean)
    assert rows[0].cells()["like_rate_delta_vs_production_high"] == 0.0
    low, rate, high = (float(cells[f"like_rate{end}"]) for end in ("_low", "", "_high"))
    assert 0.0 <= low < rate < high
    assert cells["like_rate"] == pytest.approx(
        played[1].sessions.feedback[:, 2].sum() / played[1].sessions.impressions.sum()
    )


def test_unpaired_contestants_are_refused() -> None:
    dynamics = toy_dynamics()
    first = roll_out(dynamics, UNIFORM, seed=1, episodes=np.arange(5))
    other = replace(first, episodes=np.arange(5, 10))
    entries = [PolicySessions("a", 0, first), PolicySessions("b", 0, other)]
    for best_static, reference, message in (
        ("a", "a", "must have the same episodes"),
        ("c", "a", "the best static policy 'c' is not a contestant, got ['a', 'b']"),
        ("a", "production", "the reference 'production' is not a contestant, got ['a', 'b']"),
    ):
        with pytest.raises(ConfigError, match=re.escape(message)):
            leaderboard(
                entries,
                evaluator="simulator",
                best_static=best_static,
                reference=reference,
                parameter_names=KUAIRAND_TASKS.names,
            )


def test_visits_and_return_days_are_those_of_a_naive_loop() -> None:
    """One user's visits after the other, against all side by side."""
    dynamics = RetentionDynamics(toy_dynamics())
    policy = ConstantPolicy(np.full(8, 0.2, dtype=np.float32))
    together = roll_out(dynamics, policy, seed=4, episodes=np.arange(12))
    for episode in range(12):
        state = dynamics.start(4, np.array([episode]))
        reward, depth, visits, days, over = 0.0, 0, 0, 0, False
        while not over:
            action, _ = policy.predict(dynamics.observe(state))
            parameters = dynamics.sessions.action_map.to_parameters(action)
            state, outcome = dynamics.advance(state, parameters, 4)
            reward += float(outcome.reward[0])
            depth += 1
            visits += int(outcome.session_ended[0])
            days += int(outcome.return_days[0])
            over = bool(outcome.terminated[0] or outcome.truncated[0])
        found = (together.depth[episode], together.visits[episode], together.return_days[episode])
        assert found == (depth, visits, days)
        assert together.reward[episode] == pytest.approx(reward)
    assert together.visits.max() > 1
    assert together.return_days.sum() >= together.visits.sum() - 12
