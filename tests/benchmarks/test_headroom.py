import numpy as np
import pytest
from cmaes import CMA

from benchmarks.repeated_sessions import (
    MyopicReward,
    RepeatedSessions,
    SessionReward,
)
from benchmarks.world_headroom import (
    FEATURES,
    REQUIRED,
    Lens,
    Parts,
    RandomWeights,
    Requirement,
    comparison_table,
    search,
)
from mtf_rl.agents import ConstantPolicy
from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.data import ScoreTable, UserGroup
from mtf_rl.envs import SessionState, UserProfiles, play_episodes
from mtf_rl.evaluation import roll_out
from mtf_rl.user_models import World, WorldConfig

SESSIONS = 60
CONFIG = WorldConfig(users=40, videos=400, seed=5)
PROFILES = tuple(feature.split("/")[1] for feature in FEATURES if feature.startswith("profile/"))
UNIFORM = ConstantPolicy(KUAIRAND_TASKS.signs)
LIKES = ConstantPolicy(
    np.where(np.arange(len(KUAIRAND_TASKS)) == 2, 1.0, -KUAIRAND_TASKS.signs).astype(np.float32)
)


def parts_of(world: World) -> Parts:
    users, pool = world.config.users, 120
    videos = world.retrieve(pool)
    rows = np.repeat(np.arange(users), pool)
    truth = world.true_probabilities(
        rows, videos.ravel(), np.full(len(rows), 20.0), np.ones(len(rows), dtype=np.int64)
    )
    scores = truth.reshape(users, pool, len(KUAIRAND_TASKS)).astype(np.float32)
    rng = np.random.default_rng(0)
    return Parts(
        scores=ScoreTable(
            scores=scores,
            videos=videos,
            base_rates=scores.reshape(-1, len(KUAIRAND_TASKS)).mean(axis=0, dtype=np.float64),
            hours=np.full(users, 20, dtype=np.int8),
            tabs=np.ones(users, dtype=np.int16),
            scorer_keys=np.zeros(0, dtype=np.uint64),
        ),
        profiles=UserProfiles(rng.normal(size=(users, len(PROFILES))).astype(np.float32), PROFILES),
        groups=np.where(np.arange(users) < 30, UserGroup.LEARN, UserGroup.FINAL),
        degrees=np.arange(users) % 2,
        degree_names=("low", "high"),
    )


@pytest.fixture(scope="module")
def world() -> World:
    return World(CONFIG)


@pytest.fixture(scope="module")
def parts(world: World) -> Parts:
    return parts_of(world)


@pytest.fixture(scope="module")
def repeated(world: World, parts: Parts) -> RepeatedSessions:
    return parts.repeated(world, UserGroup.LEARN, SESSIONS)


@pytest.fixture(scope="module")
def myopic(repeated: RepeatedSessions) -> MyopicReward:
    return MyopicReward(repeated, np.random.default_rng(0))


@pytest.fixture(scope="module")
def lens(repeated: RepeatedSessions, myopic: MyopicReward) -> Lens:
    return Lens.of(myopic.observations, repeated.layout.names)


def latent(seed: int) -> FloatArray:
    return np.random.default_rng(seed).normal(size=len(KUAIRAND_TASKS) * (1 + len(FEATURES)))


@pytest.mark.parametrize("seed", [0, 1])
def test_repeated_sessions_are_those_of_the_plain_dynamics(
    seed: int, world: World, parts: Parts, repeated: RepeatedSessions, lens: Lens
) -> None:
    plain = parts.dynamics(world, UserGroup.LEARN)
    for policy in (lens.policy(latent(seed)), lens.policy(latent(seed)[: len(KUAIRAND_TASKS)])):
        expected = roll_out(plain, policy, seed=repeated.seed, episodes=np.arange(SESSIONS))
        objective = SessionReward(repeated)
        assert objective(policy) == pytest.approx(expected.reward.mean(), rel=1e-12)
        assert objective.requests == expected.requests


def test_a_degree_of_activity_serves_its_users_only(world: World, parts: Parts) -> None:
    repeated = parts.repeated(world, UserGroup.LEARN, 10, degree=1)
    assert set(repeated.users) == set(range(1, 30, 2))


def test_without_carry_over_the_objectives_rank_policies_alike(parts: Parts) -> None:
    # Then nobody's session is longer for what was shown: per request, both count the same rewards,
    # but for the hour, which moves with the time watched.
    repeated = parts.repeated(World(CONFIG.without_carry_over()), UserGroup.LEARN, SESSIONS)
    myopic = MyopicReward(repeated, np.random.default_rng(0))
    lengths = set()
    for policy in (UNIFORM, LIKES):
        objective = SessionReward(repeated)
        per_request = objective(policy) * SESSIONS / len(myopic.observations)
        lengths.add(objective.requests)
        assert per_request == pytest.approx(myopic(policy), rel=0.02)
    assert lengths == {len(myopic.observations)}
    assert myopic(LIKES) != pytest.approx(myopic(UNIFORM), rel=0.02)


def test_the_myopic_reward_leaves_the_recorded_sessions_as_they_were(
    world: World, parts: Parts, repeated: RepeatedSessions, myopic: MyopicReward
) -> None:
    plain, rng = parts.dynamics(world, UserGroup.LEARN), np.random.default_rng(0)
    rewards: list[float] = []

    def choose(state: SessionState, rows: IntArray) -> FloatArray:
        likes = plain.action_map.to_parameters(np.tile(LIKES.action, (len(rows), 1)))
        rewards.extend(plain.advance(state, likes, repeated.seed)[1].reward.tolist())
        weights = rng.uniform(size=(len(rows), len(KUAIRAND_TASKS))) * KUAIRAND_TASKS.signs
        return weights.astype(np.float32)

    for _ in play_episodes(plain, choose, seed=repeated.seed, episodes=np.arange(SESSIONS)):
        pass
    assert myopic(LIKES) == pytest.approx(np.mean(rewards), rel=1e-9)


def test_the_oracle_shows_what_a_loop_finds_best(world: World, parts: Parts) -> None:
    oracle = parts.oracle(world, UserGroup.LEARN)
    state = oracle.start(0, np.arange(3))
    _, outcome = oracle.advance(state, np.zeros((3, len(KUAIRAND_TASKS)), dtype=np.float32), 0)
    for row in range(3):
        user = int(state.users[row])
        worth = {}
        for video in parts.scores.videos[user, state.candidates[row]]:
            expected = world.true_probabilities(
                np.array([user]),
                np.array([video]),
                state.history.hours[row : row + 1],
                np.ones(1, int),
            )[0]
            _, _, like, follow, comment, forward, hate, watch = expected
            worth[int(video)] = (
                2.0 * watch + like + 5.0 * follow + 3.0 * comment + 5.0 * forward - 5.0 * hate
            )
        best = sorted(worth, key=lambda video: -worth[video])[:6]
        assert outcome.slate.videos[row].tolist() == best


def test_the_oracle_earns_more_at_once_than_uniform_weights(world: World, parts: Parts) -> None:
    episodes, rewards = np.arange(4_000), []
    for dynamics in (parts.oracle(world, UserGroup.LEARN), parts.dynamics(world, UserGroup.LEARN)):
        weights = np.tile(KUAIRAND_TASKS.signs, (len(episodes), 1))
        _, outcome = dynamics.advance(dynamics.start(1, episodes), weights, 1)
        rewards.append(outcome.reward.mean())
    assert rewards[0] > 1.03 * rewards[1]


def test_a_linear_policy_without_slopes_is_static(lens: Lens, myopic: MyopicReward) -> None:
    flat = np.concatenate(
        [latent(0)[: len(KUAIRAND_TASKS)], np.zeros(len(KUAIRAND_TASKS) * len(FEATURES))]
    )
    observations = myopic.observations[:5]
    static, _ = lens.policy(flat[: len(KUAIRAND_TASKS)]).predict(observations)
    linear, _ = lens.policy(flat).predict(observations)
    np.testing.assert_allclose(linear, static, rtol=1e-6)


def test_a_slope_moves_its_task_with_its_feature_alone(lens: Lens, myopic: MyopicReward) -> None:
    slopes = np.zeros((len(KUAIRAND_TASKS), len(FEATURES)))
    slopes[3, 2] = 1.0
    policy = lens.policy(np.concatenate([np.zeros(len(KUAIRAND_TASKS)), slopes.ravel()]))
    action, _ = policy.predict(myopic.observations)
    column = myopic.observations[:, lens.columns[2]].astype(np.float64)
    expected = np.tanh((column - column.mean()) / column.std())
    np.testing.assert_allclose(action[:, 3], expected, atol=1e-4)
    assert not action[:, [0, 1, 2, 4, 5, 6, 7]].any()


class Bowl:
    """Largest, 10, where the constant action is (.5, ..., .5)."""

    def __init__(self) -> None:
        self.requests = 0

    def __call__(self, policy: ConstantPolicy) -> float:
        self.requests += 7
        return 10.0 - float(np.sum((policy.action - 0.5) ** 2))


def test_the_search_climbs_to_a_known_optimum(lens: Lens) -> None:
    optimizer = CMA(np.zeros(len(KUAIRAND_TASKS)), 0.5, seed=1, population_size=10)
    found = search(Bowl(), lens.policy, optimizer, 405)  # type: ignore[arg-type]
    assert len(found.best) == 400
    assert found.requests == 7 * 400
    np.testing.assert_allclose(np.tanh(found.latent), 0.5, atol=0.1)
    assert np.all(np.diff(found.best) >= 0)
    assert found.best[-1] > 9.99
    assert found.late_gain == pytest.approx(found.best[399] / found.best[266] - 1.0)


def test_random_weights_fill_the_box() -> None:
    actions, _ = RandomWeights(np.random.default_rng(0)).predict(np.zeros((500, 3), np.float32))
    assert actions.shape == (500, len(KUAIRAND_TASKS))
    assert actions.min() < -0.95
    assert actions.max() > 0.95


@pytest.mark.parametrize(
    ("found", "met"), [((5.1, 0.2, 10.0), True), ((5.1, -0.2, 10.4), False), ((4.9, 3, 7), False)]
)
def test_a_requirement_bounds_mean_and_interval(
    *, found: tuple[float, float, float], met: bool
) -> None:
    assert Requirement("", mean=5.0, low=0.0).met(*found) is met


def test_the_table_counts_the_seeds_that_meet_a_requirement() -> None:
    values = {name: [6.0, 1.0, 11.0] for _, name in REQUIRED}
    others = ("random weights / uniform", "static per activity group / best static")
    values |= {name: [0.0, -1.0, 1.0] for name in others}
    values |= {"one-step oracle / best static": [0, 0, 0], "best static / myopic static": [0, 0, 0]}
    worse = {**values, "state-dependent / best static": [6.0, -1.0, 13.0]}
    table = comparison_table(
        {(100, "default"): {"comparisons": values}, (101, "default"): {"comparisons": worse}}
    )
    line = next(row for row in table.splitlines() if "state-dependent / best static" in row)
    assert line.endswith("| +6.00 % [+1.00, +11.00] | +6.00 % [-1.00, +13.00] | 1 of 2 |")
