from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from typing_extensions import override

from benchmarks.repeated_sessions import RepeatedSessions, SessionReward
from benchmarks.simulator_headroom import (
    DEPENDENT,
    EVALUATORS,
    STATIC,
    UNIFORM,
    EvaluatedPolicy,
    HeadroomComparison,
    fraction_interval,
    fraction_table,
    gain_table,
    level_table,
    loss_table,
    named,
    pair,
    policies_of,
    search_table,
)
from benchmarks.world_headroom import FEATURES, LONG, MYOPIC, Searches
from mtf_rl.agents import ConstantPolicy
from mtf_rl.core.arrays import BoolArray, FloatArray
from mtf_rl.core.history import VisibleHistory
from mtf_rl.core.protocols import GROUND_TRUTH, SIMULATOR, Policy
from mtf_rl.core.randomness import EpisodeRng, Purpose
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.envs import SessionDynamics, ToyUserModel, UserProfiles, toy_dynamics
from mtf_rl.evaluation import Sessions, roll_out

pytestmark = pytest.mark.slow

LIKE = KUAIRAND_TASKS.names.index("like")
SESSIONS = 100
PROFILES = tuple(feature.split("/")[1] for feature in FEATURES if feature.startswith("profile/"))


@dataclass(frozen=True)
class Sated(ToyUserModel):
    """Users who leave the sooner the more they have just liked."""

    @override
    def leave(self, state: None, history: VisibleHistory, episode_rng: EpisodeRng) -> BoolArray:
        liked = history.last[:, LIKE].astype(np.float64)
        return np.asarray(episode_rng.uniforms(Purpose.LEAVE, 1)[:, 0] < 0.02 + 0.9 * liked**3)


def toy(kind: type[ToyUserModel] = ToyUserModel) -> SessionDynamics:
    """The toy, with profiles that have the searched features' names."""
    plain = toy_dynamics()
    felt = plain.user_model
    assert isinstance(felt, ToyUserModel)
    rng = np.random.default_rng(0)
    values = rng.normal(size=(len(plain.users), len(PROFILES))).astype(np.float32)
    return SessionDynamics(
        scores=plain.scores,
        user_model=kind(felt.probabilities, felt.task, felt.hazard),
        catalogue=plain.catalogue,
        profiles=UserProfiles(values, PROFILES),
        users=plain.users,
        config=plain.config,
    )


def searches_in(dynamics: SessionDynamics, cells: Path, trials: int) -> Searches:
    return Searches(lambda: RepeatedSessions.of(dynamics, sessions=SESSIONS, seed=1), trials, cells)


def test_repeated_sessions_are_those_of_the_dynamics_that_they_repeat() -> None:
    dynamics = toy()
    repeated = RepeatedSessions.of(dynamics, sessions=SESSIONS, seed=3)
    policy = ConstantPolicy(KUAIRAND_TASKS.signs)
    played = roll_out(dynamics, policy, seed=3, episodes=np.arange(SESSIONS))
    assert SessionReward(repeated)(policy) == pytest.approx(played.reward.mean(), rel=1e-12)


def test_both_searches_find_the_toy_s_best_weights(tmp_path: Path) -> None:
    # Only likes are felt and nobody leaves for them: long and myopic want the like's weight alone.
    searches = searches_in(toy(), tmp_path, trials=150)
    best = np.where(np.arange(len(KUAIRAND_TASKS)) == LIKE, 1.0, -KUAIRAND_TASKS.signs).astype(
        np.float32
    )
    for kind in (LONG, MYOPIC):
        objective = searches.objective(kind)
        found = searches.lens.policy(searches.static(kind).latent)
        assert objective(found) > 0.97 * objective(ConstantPolicy(best))


def test_where_likes_end_sessions_the_long_search_beats_its_myopic_baseline(tmp_path: Path) -> None:
    # A request of liked videos pays most at once, and is nearly always the last.
    dynamics = toy(Sated)
    policies: dict[str, Policy] = {UNIFORM: ConstantPolicy(KUAIRAND_TASKS.signs)}
    searches = {}
    for evaluator in EVALUATORS:
        searches[evaluator] = searches_in(dynamics, tmp_path / evaluator, trials=60)
        policies |= policies_of(searches[evaluator], evaluator)
    played = {
        name: roll_out(dynamics, policy, seed=2, episodes=np.arange(400))
        for name, policy in policies.items()
    }
    users = next(iter(played.values())).users
    evaluated = EvaluatedPolicy(dict.fromkeys(EVALUATORS, played), users < 10)
    compared = pair(STATIC, SIMULATOR, GROUND_TRUTH)
    assert compared.gain(evaluated, np.ones(400)) > 20.0
    liked = [policies[named(STATIC, kind, SIMULATOR)] for kind in (LONG, MYOPIC)]
    assert liked[0].action[LIKE] < liked[1].action[LIKE]  # type: ignore[attr-defined]
    # One and the same evaluator twice: everything survives, whoever is drawn.
    assert fraction_table(evaluated, 20).count("1.00 [1.00, 1.00]") == 2 * 3
    gains = gain_table(evaluated).splitlines()
    assert len(gains) == 2 + 2 * 2 * 2
    assert gains[2].split("|")[4:] == gains[4].split("|")[4:]
    assert f"| {named(DEPENDENT, LONG, SIMULATOR)} | {UNIFORM} |" in loss_table(evaluated)
    assert len(level_table(evaluated).splitlines()) == 2 + len(policies)
    assert "| ground truth | linear-myopic | 112 |" in search_table(searches)


def sessions_of(reward: list[float], users: list[int]) -> Sessions:
    count = len(reward)
    ones, none = np.ones(count, dtype=np.int64), np.zeros((count, 7))
    return Sessions(
        episodes=np.arange(count),
        users=np.array(users),
        reward=np.array(reward),
        depth=ones,
        visits=ones,
        return_days=np.zeros(count, dtype=np.int64),
        watch_seconds=np.zeros(count),
        feedback=none,
        impressions=ones,
        weights=none,
        weights_spread=none,
    )


def evaluated_by_hand() -> EvaluatedPolicy:
    users = [0, 0, 1]
    rewards: dict[str, dict[str, list[float]]] = {
        SIMULATOR: {"a": [3.0, 5.0, 3.0], "b": [2.0, 4.0, 4.0]},
        GROUND_TRUTH: {"a": [6.0, 8.0, 6.0], "b": [4.0, 6.0, 5.0]},
    }
    return EvaluatedPolicy(
        {
            evaluator: {name: sessions_of(reward, users) for name, reward in found.items()}
            for evaluator, found in rewards.items()
        },
        np.array([True, True, False]),
    )


@pytest.mark.parametrize(
    ("weights", "gain"),
    [([1, 1, 1], 11 / 10 - 1), ([1, 1, 0], 8 / 6 - 1), ([0, 0, 1], 3 / 4 - 1)],
)
def test_a_gain_is_a_ratio_of_sums(weights: list[float], gain: float) -> None:
    compared = HeadroomComparison("a", "b", SIMULATOR)
    assert compared.gain(evaluated_by_hand(), np.array(weights)) == pytest.approx(100 * gain)


def test_a_comparison_over_some_rows_is_in_percent_of_the_second_there() -> None:
    evaluated = evaluated_by_hand()
    cell = HeadroomComparison("a", "b", GROUND_TRUTH).cell(evaluated, evaluated.final)
    assert cell.startswith("+40.00 % [")  # (6 + 8) / (4 + 6)


def test_the_parts_of_a_gain_multiply_to_it() -> None:
    evaluated = evaluated_by_hand()
    played = evaluated.sessions[SIMULATOR]
    longer = replace(played["a"], depth=np.array([2, 2, 2]))
    evaluated = replace(evaluated, sessions={SIMULATOR: {"a": longer, "b": played["b"]}})
    requests, each = HeadroomComparison("a", "b", SIMULATOR).parts(evaluated)
    assert requests == pytest.approx(100.0)  # 2 requests for 1
    assert each == pytest.approx(100.0 * (11 / 20 - 1))


def test_a_fraction_is_one_gain_over_the_other() -> None:
    part, whole = (HeadroomComparison("a", "b", evaluator) for evaluator in EVALUATORS)
    found = fraction_interval(
        evaluated_by_hand(), part, whole, resamples=50, rng=np.random.default_rng(0)
    )
    assert found[0] == pytest.approx((11 / 10 - 1) / (20 / 15 - 1))
    # Samples hold the first user twice, the second twice, or both once.
    assert found[1] <= found[0] <= found[2]


def test_fractions_of_one_another_are_inverse() -> None:
    rng: FloatArray = np.random.default_rng(1).normal(10.0, 1.0, (4, 50))
    users = list(range(50))
    evaluated = EvaluatedPolicy(
        {
            SIMULATOR: {
                "a": sessions_of((rng[0] + 3).tolist(), users),
                "b": sessions_of(rng[1].tolist(), users),
            },
            GROUND_TRUTH: {
                "a": sessions_of((rng[2] + 6).tolist(), users),
                "b": sessions_of(rng[3].tolist(), users),
            },
        },
        np.ones(50, dtype=np.bool_),
    )
    part, whole = (HeadroomComparison("a", "b", evaluator) for evaluator in EVALUATORS)
    there = fraction_interval(evaluated, part, whole, resamples=99, rng=np.random.default_rng(0))
    back = fraction_interval(evaluated, whole, part, resamples=99, rng=np.random.default_rng(0))
    assert there[0] == pytest.approx(1.0 / back[0])
    assert there[1] < 0.5 < there[2]
    assert there[1] == pytest.approx(1.0 / back[2], rel=0.02)
