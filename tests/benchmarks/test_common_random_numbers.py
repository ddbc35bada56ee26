from dataclasses import dataclass

import numpy as np
import pytest
from typing_extensions import override

from benchmarks.common_random_numbers import (
    MARKS,
    Variances,
    check_batches,
    fingerprints,
    rewards_up_to,
    saving_cell,
)
from mtf_rl.agents import ConstantPolicy
from mtf_rl.core.history import VisibleHistory
from mtf_rl.core.randomness import EpisodeRng
from mtf_rl.core.slates import Response, Slate
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.envs import FusionSessionVectorEnv, SessionDynamics, ToyUserModel, toy_dynamics
from mtf_rl.evaluation import roll_out

UNIFORM = ConstantPolicy(KUAIRAND_TASKS.signs)
LIKE = KUAIRAND_TASKS.names.index("like")
LIKES = ConstantPolicy(
    np.where(np.arange(len(KUAIRAND_TASKS)) == LIKE, 1.0, -KUAIRAND_TASKS.signs).astype(np.float32)
)
EPISODES = np.arange(300)


def test_the_saving_of_noise_that_two_policies_share_is_known() -> None:
    # Common part of variance 3, own parts of variance 1: (4 + 4) / (1 + 1) = 4.
    rng = np.random.default_rng(0)
    common, common_anew = rng.normal(0.0, np.sqrt(3.0), (2, 100_000))
    own = rng.normal(size=(3, 100_000))
    found = Variances.of(common + own[0], common + own[1], common_anew + own[2])
    assert found.common == pytest.approx(2.0, rel=0.02)
    assert found.independent == pytest.approx(8.0, rel=0.02)
    assert found.saving == pytest.approx(4.0, rel=0.03)


def test_a_worked_saving() -> None:
    # Differences 1, -1, 0: variance 1. Variances of (1, 2, 3) and (2, 2, 5): 1 and 3.
    first, second, anew = np.array([[1.0, 2.0, 3.0], [0.0, 3.0, 3.0], [2.0, 2.0, 5.0]])
    found = Variances.of(first, second, anew)
    assert (found.common, found.independent, found.saving) == pytest.approx((1.0, 4.0, 4.0))


def test_identical_policies_differ_only_without_common_random_numbers() -> None:
    dynamics = toy_dynamics()
    ours = rewards_up_to(dynamics, UNIFORM, seed=0, episodes=EPISODES)[:, -1]
    anew = rewards_up_to(dynamics, UNIFORM, seed=1, episodes=EPISODES)[:, -1]
    found = Variances.of(ours, ours, anew)
    assert found.common == 0.0
    assert found.independent > 0.0
    assert found.saving == np.inf


def test_sessions_of_equal_length_save_what_other_lengths_would_cost() -> None:
    # In the toy nobody leaves for what was shown, so that common random numbers keeps lengths
    # alike.
    dynamics = toy_dynamics()
    ours = rewards_up_to(dynamics, UNIFORM, seed=0, episodes=EPISODES)
    theirs = rewards_up_to(dynamics, LIKES, seed=0, episodes=EPISODES)
    anew = rewards_up_to(dynamics, LIKES, seed=1, episodes=EPISODES)
    for column in range(len(MARKS) + 1):
        found = Variances.of(ours[:, column], theirs[:, column], anew[:, column])
        assert found.saving > 1.2
    cell = saving_cell(
        ours[:, -1], theirs[:, -1], anew[:, -1], resamples=50, rng=np.random.default_rng(0)
    )
    assert cell.startswith(f"{found.saving:.1f} (")


def test_rewards_up_to_a_request_are_those_of_rollouts_cut_there() -> None:
    dynamics = toy_dynamics()
    found = rewards_up_to(dynamics, LIKES, seed=0, episodes=EPISODES)
    whole = roll_out(dynamics, LIKES, seed=0, episodes=EPISODES)
    np.testing.assert_allclose(found[:, -1], whole.reward)
    np.testing.assert_allclose(found[whole.depth == 1, 0], whole.reward[whole.depth == 1])
    within = whole.depth <= MARKS[1]
    np.testing.assert_allclose(found[within, 1], whole.reward[within])
    assert np.all(np.diff(found, axis=1) >= 0.0)  # Likes are worth something.
    state = dynamics.start(0, EPISODES)
    actions, _ = LIKES.predict(np.zeros((len(EPISODES), 1), dtype=np.float32))
    _, outcome = dynamics.advance(state, dynamics.action_map.to_parameters(actions), 0)
    np.testing.assert_array_equal(found[:, 0], outcome.reward)


def test_episodes_do_not_depend_on_how_many_are_played() -> None:
    lines = check_batches(toy_dynamics(users=5), 30)
    assert [line.split(" | ")[0] for line in lines] == ["| FusionSession", "| FusionRetention"]


@dataclass(frozen=True)
class Crowded(ToyUserModel):
    """Users who like more when others are served beside them."""

    @override
    def respond(
        self, state: None, slate: Slate, history: VisibleHistory, episode_rng: EpisodeRng
    ) -> tuple[Response, None]:
        response, _ = super().respond(state, slate, history, episode_rng)
        return Response(response.feedback, response.watch_seconds + len(slate.users)), None


def test_a_user_model_that_sees_its_neighbours_is_caught() -> None:
    plain = toy_dynamics(users=5)
    felt = plain.user_model
    assert isinstance(felt, ToyUserModel)
    crowded: SessionDynamics = plain.answered_by(
        Crowded(felt.probabilities, felt.task, felt.hazard)
    )
    with pytest.raises(AssertionError, match="FusionSession depends on num_envs"):
        check_batches(crowded, 20)


def test_fingerprints_tell_seeds_apart() -> None:
    dynamics = toy_dynamics(users=5)
    found = [
        fingerprints(FusionSessionVectorEnv(dynamics, 4), episodes=10, seed=seed)
        for seed in (0, 0, 1)
    ]
    assert found[0] == found[1]
    assert not set(found[0]) & set(found[2])
