"""The synthetic world: probabilities, draws, carry-over effects, batch invariance."""

import json
import re
from collections.abc import Callable
from dataclasses import asdict, fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray, select_rows
from mtf_rl.core.errors import ConfigError, ShapeError
from mtf_rl.core.history import VisibleHistory, add_pause, advance_history, start_history
from mtf_rl.core.protocols import GROUND_TRUTH
from mtf_rl.core.randomness import EpisodeRng, hash_words, mix64
from mtf_rl.core.slates import Response, Slate
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.core.videos import NO_TAG
from mtf_rl.user_models import World, WorldConfig, WorldState
from mtf_rl.user_models.world.config import CARRY_OVER_EFFECTS
from mtf_rl.user_models.world.expectations import (
    _capped_mean,
    expected_answers,
    length_terms,
)
from mtf_rl.user_models.world.experience import after_slate, dullness, elapse
from mtf_rl.user_models.world.latent import LatentResponse
from mtf_rl.user_models.world.population import NUM_TAGS
from mtf_rl.user_models.world.responses import Answers, draw_answers

SMALL = WorldConfig(users=60, videos=300, seed=3)
_WORLD = World(SMALL)


@pytest.fixture(scope="module")
def world() -> World:
    return _WORLD


def make_slate(
    world: World, users: IntArray, *, seed: int = 0, tab: int = 1, mask: BoolArray | None = None
) -> Slate:
    rng = np.random.default_rng(seed)
    videos = rng.integers(0, world.config.videos, size=(len(users), 6)).astype(np.int32)
    shown = np.ones(videos.shape, dtype=bool) if mask is None else mask
    return Slate(users=users, videos=videos, mask=shown, tabs=np.full(len(users), tab))


def rng_of(num_envs: int, request: int = 0) -> EpisodeRng:
    return EpisodeRng(5, np.arange(num_envs), np.full(num_envs, request))


def play(
    world: World, num_envs: int, requests: int, *, tab: int = 1
) -> tuple[list[Response], WorldState, VisibleHistory]:
    """Several requests with random slates; no user leaves."""
    users = np.arange(num_envs) % world.config.users
    state = world.start(users, rng_of(num_envs))
    history = start_history(np.full(num_envs, 23.5), NUM_TAGS)
    responses = []
    for request in range(requests):
        slate = make_slate(world, users, seed=request, tab=tab)
        episode_rng = rng_of(num_envs, request)
        response, state = world.respond(state, slate, history, episode_rng)
        responses.append(response)
        history = advance_history(history, slate, response, world.catalogue)
        history = add_pause(history, world.pause_seconds(state, history, episode_rng))
    return responses, state, history


def bored_state(world: World, num_envs: int, boredom: float) -> WorldState:
    state = world.start(np.arange(num_envs), rng_of(num_envs))
    return replace(state, boredom=np.full((num_envs, NUM_TAGS), boredom))


def pairs(world: World, rows: int, tab: int) -> FloatArray:
    rng = np.random.default_rng(1)
    return world.true_probabilities(
        rng.integers(0, world.config.users, rows),
        rng.integers(0, world.config.videos, rows),
        rng.uniform(0, 24, rows),
        np.full(rows, tab),
    )


def test_the_world_is_the_ground_truth_evaluator(world: World) -> None:
    assert world.evaluator == GROUND_TRUTH
    assert world.hour_fractions.shape == (24,)
    np.testing.assert_allclose(world.hour_fractions.sum(), 1.0)


def test_a_world_is_a_function_of_its_config(world: World) -> None:
    again, other = World(SMALL), World(replace(SMALL, seed=4))
    for field in fields(world.users):
        name = field.name
        np.testing.assert_array_equal(getattr(world.users, name), getattr(again.users, name))
        assert (getattr(world.users, name) != getattr(other.users, name)).any()
    np.testing.assert_array_equal(world.videos.vectors, again.videos.vectors)
    assert (world.catalogue.duration_seconds != other.catalogue.duration_seconds).any()


def test_config_round_trips_through_json() -> None:
    config = WorldConfig(users=7, leave_effect=0.0)
    assert WorldConfig(**json.loads(json.dumps(asdict(config)))) == config


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("users", 0, "users must be at least 1, got 0"),
        ("days", -1, "days must be at least 1, got -1"),
        ("boredom", -0.1, "boredom must be in [0, inf), got -0.1"),
        ("taste", float("nan"), "taste must be in [0, inf), got nan"),
    ],
)
def test_config_values_out_of_range_raise_an_error(name: str, value: float, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        WorldConfig(**{name: value})  # type: ignore[arg-type]
    assert str(error.value) == message


@pytest.mark.parametrize("tab", [0, 1])
def test_true_probabilities_are_valid(world: World, tab: int) -> None:
    probabilities = pairs(world, 5000, tab)
    assert probabilities.shape == (5000, len(KUAIRAND_TASKS))
    assert np.isfinite(probabilities).all()
    assert (probabilities >= 0).all()
    assert (probabilities <= 1).all()
    if tab == 1:
        assert (probabilities[:, 1] <= probabilities[:, 0]).all(), "a long view is a valid play"


@pytest.mark.parametrize("tab", [0, 1])
def test_draws_have_the_expected_rates(world: World, tab: int) -> None:
    """Closed forms against sampling: 8 tasks of one pair at a time, within 4.5 standard errors."""
    rng = np.random.default_rng(0)
    draws, liking = 100_000, int(world.users.propensities[:, 0].argmax())
    for user, video in [(0, 5), (liking, 9), (17, 250)]:
        users, videos = np.full(draws, user), np.full(draws, video)
        tabs, hours = np.full(draws, tab), np.full(draws, 12.0)
        prospect = world.latent(users, videos, hours, tabs, np.zeros(draws))
        answers = draw_answers(
            prospect,
            mode=rng.uniform(size=(draws, 2)),
            play=rng.normal(size=draws),
            overrun=rng.normal(size=draws),
            signals=rng.uniform(size=(draws, 5)),
        )
        watch = np.minimum(answers.play_seconds, 120.0) / 120.0
        sampled = np.concatenate([answers.feedback, watch[:, None]], axis=1)
        expected = world.true_probabilities(users[:1], videos[:1], hours[:1], tabs[:1])[0]
        error = np.sqrt(np.maximum(sampled.var(axis=0), expected * (1 - expected) * 0.1) / draws)
        np.testing.assert_array_less(
            np.abs(sampled.mean(axis=0) - expected), 4.5 * error + 1e-5, err_msg=f"{user} {video}"
        )


@pytest.mark.parametrize("tab", [0, 1])
def test_latent_responses_equal_the_documented_equations(world: World, tab: int) -> None:
    """The compiled loop against a naive implementation of docs/world_behaviour.md."""
    rng, config = np.random.default_rng(2), world.config
    users, videos = world.users, world.videos
    appeal_fraction, bait_fraction = (1.0, 0.8, 0.8, 0.5, -0.5), (-0.2, -0.3, 0.7, 0.5, 0.7)
    match_fraction = (0.3, 0.65, 0.68, 0.0, -0.45)
    for _ in range(40):
        u, i, dull = int(rng.integers(60)), int(rng.integers(300)), float(rng.uniform(0, 3))
        one = np.array([u]), np.array([i]), np.array([21.5]), np.array([tab]), np.array([dull])
        prospect = world.latent(*one)
        match = float(users.watch_taste[u] @ videos.vectors[i])
        appeal = float(users.appeal_taste[u] @ videos.vectors[i])
        hour = np.log(0.367 / 0.633) - np.log(0.3787 / 0.6213)
        interest = users.watching[u] + videos.quality[i] + config.taste * match + hour
        interest -= config.boredom * dull
        lure = config.bait * videos.bait[i]
        tap = 1 / (1 + np.exp(-(-3.95 + 0.8 * (interest + lure))))
        watch = 1 / (1 + np.exp(-(-1.80 + interest + lure)))
        actual = (prospect.taps[0], prospect.plays[0], prospect.watches[0])
        np.testing.assert_allclose(
            actual, (tap, tap * 0.956, 1.0) if tab == 0 else (1, 0.994, watch)
        )
        np.testing.assert_allclose(
            prospect.lured, 1 - np.exp(-config.disappointment * videos.bait[i])
        )
        log_duration = np.log(float(world.catalogue.duration_seconds[i]))
        watch_mean = max(1.18 + 0.2 * (log_duration - 4.2) + interest, 0.66)
        np.testing.assert_allclose(prospect.watch_mean, watch_mean)
        np.testing.assert_allclose(prospect.appeal, 0.7 * (appeal + videos.appeal[i]))
        for k in range(5):
            pull = config.appeal * appeal * appeal_fraction[k] + lure * bait_fraction[k]
            pull += config.taste * match * match_fraction[k]
            odds = users.propensities[u, k] * videos.signal_odds[i, k] * np.exp(pull)
            np.testing.assert_allclose(prospect.odds[0, k], odds)


def naive_expectations(
    tap: float,
    play: float,
    watch: float,
    lured: float,
    mean: float,
    seconds: float,
    odds: FloatArray,
    *,
    feed: bool,
) -> list[float]:
    """The equations of docs/world_behaviour.md with SciPy's distributions and plain numbers."""
    skip_law = stats.lognorm(s=0.66, scale=np.exp(0.66))
    watch_law = stats.lognorm(s=1.07, scale=np.exp(mean))
    lured_law = stats.lognorm(s=0.4, scale=np.exp(2.35))
    overrun_law = stats.lognorm(s=1.6, scale=2.0)

    def survives(t: float) -> float:
        watched = (1 - lured) * watch_law.sf(t) + lured * lured_law.sf(t)
        return float((1 - watch) * skip_law.sf(t) + watch * watched)

    def area(law: Callable[[float], float], to: float) -> float:
        points = np.geomspace(1e-3, to, 25)[1:-1].tolist()
        return float(integrate.quad(law, 0.0, to, points=points, limit=400)[0])

    valid, long_view = play * survives(min(7, seconds)), play * survives(min(18, seconds))
    capped = area(survives, min(seconds, 120.0))
    if seconds < 120.0:
        capped += survives(seconds) * area(overrun_law.sf, min(120.0 - seconds, 3 * seconds))
    like_odds = np.array([0.9, 1.4, 13.3, 19.6]) * 1e-3
    other_odds = 1e-3 * np.array(
        [
            [0.04, 0.015, 0.18, 0.24],
            [0, 0, 0.05, 0.36],
            [0, 0.05, 0.72, 1.0],
            [0.48, 0.64, 0.88, 0.48],
        ]
    )
    fractions = np.array([1 - play, play - valid, valid - long_view, long_view])
    like = like_odds * odds[0] / (1 + like_odds * odds[0])
    signals = [float(fractions @ like)]
    for law, own, after in zip(other_odds, odds[1:], (4.0, 4.0, 5.0, 1.0), strict=True):
        o = law * own
        given = like * (o * after / (1 + o * after)) + (1 - like) * (o / (1 + o))
        signals.append(float(fractions @ given))
    return [valid if feed else tap, long_view, *signals, play * capped / 120.0]


@pytest.mark.parametrize("seconds", [4.0, 11.0, 45.0, 119.5, 300.0])
@pytest.mark.parametrize("feed", [True, False])
def test_expectations_equal_the_documented_equations(seconds: float, *, feed: bool) -> None:
    rng = np.random.default_rng(int(seconds))
    odds = rng.gamma(1.0, 3.0, size=5)
    tap, watch, lured, mean = 0.3, float(rng.uniform()), 0.2, 2.9
    play = 0.994 if feed else tap * 0.956
    prospect = LatentResponse(
        taps=np.array([tap]),
        plays=np.array([play]),
        watches=np.array([watch]),
        lured=np.array([lured]),
        watch_mean=np.array([mean]),
        videos=np.array([0]),
        duration_seconds=np.array([seconds]),
        odds=odds[None],
        appeal=np.zeros(1),
        single_column=np.array([feed]),
    )
    actual = expected_answers(prospect, length_terms(np.array([seconds])))[0]
    naive = naive_expectations(tap, play, watch, lured, mean, seconds, odds, feed=feed)
    np.testing.assert_allclose(actual, naive, rtol=1e-6)


def test_indices_out_of_range_raise_an_error(world: World) -> None:
    one = np.array([1])
    with pytest.raises(ShapeError, match=re.escape("users must be indices in [0, 60), got 60")):
        world.true_probabilities(np.array([60]), one, np.array([12.0]), one)
    with pytest.raises(ShapeError, match=re.escape("videos must be indices in [0, 300), got -1")):
        world.true_probabilities(one, np.array([-1]), np.array([12.0]), one)


def test_leaving_and_returning_equal_the_documented_equations(world: World) -> None:
    users = np.arange(20)
    state = replace(
        world.start(users, rng_of(20)), tiredness=np.linspace(0, 30, 20), satisfaction=users / 20
    )
    patience = world.users.patience[users]
    usual = 17.0 * world.users.tiring_sensitivity[users] * world.usual_views[users, 1]
    log_odds = -2.42 - patience - 2.0 * users / 20 + 0.07 * (state.tiredness - usual)
    np.testing.assert_allclose(world.leave_probability(state), 1 / (1 + np.exp(-log_odds)))
    np.testing.assert_allclose(
        world.return_probability(state), 1 / (1 + np.exp(-(3.35 + users / 20)))
    )
    # More active users stay longer and see more videos.
    all_users = world.users
    assert np.corrcoef(all_users.patience, all_users.activity)[0, 1] > 0.8


def test_satisfaction_tiredness_and_boredom_decay_at_their_rates(world: World) -> None:
    state = bored_state(world, 3, 2.0)
    state = replace(state, satisfaction=np.ones(3), tiredness=np.ones(3))
    later = elapse(state, np.full(3, 600.0))
    np.testing.assert_allclose(later.satisfaction, np.exp(-600 / 21_600))
    np.testing.assert_allclose(later.tiredness, np.exp(-600 / 1_500))
    np.testing.assert_allclose(later.boredom, 2.0 * np.exp(-600 / 1_800))


def test_an_untapped_cover_adds_zero_to_the_mean_of_a_slate(world: World) -> None:
    """On the two-column page only taps have a value; the slate's mean is over all covers."""
    users = np.arange(10)
    state, slate = world.start(users, rng_of(10)), make_slate(world, users, tab=0)
    nothing = Answers(np.zeros((10, 6, 7), dtype=np.float32), np.zeros((10, 6)))
    dull = np.zeros((10, 6))
    zeros = np.zeros((10, 6))
    prospect = world.latent(users[:, None], slate.videos, zeros, zeros.astype(int), dull)
    after = after_slate(world.truth, state, slate, prospect, nothing, dull, world.usual_views)
    np.testing.assert_allclose(after.satisfaction, 0.75 * state.satisfaction)


def test_a_pool_equals_a_race_of_exponential_times(world: World) -> None:
    """The compiled race against a naive array implementation."""
    users, visits, pool = np.array([3, 17, 59]), np.array([0, 4, 1]), 25
    retrieval = world.retrieval
    counters = np.arange(1, 301, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    bits = mix64(hash_words(SMALL.seed, 3, users, visits)[:, None] + counters)
    uniforms = ((bits >> np.uint64(41)).astype(np.float64) + 0.5) / 2.0**23
    fractions = retrieval.levels[retrieval.fractions]  # (videos, tags_per_video)
    weights = retrieval.popularity + sum(
        retrieval.tag_affinity[users][:, retrieval.tags[:, k]] * fractions[:, k] for k in range(2)
    )
    times = -np.log(uniforms) * np.exp(-weights)
    first = np.argsort(times, axis=1)[:, :pool]
    pools = retrieval.pools(users, pool, visits=visits)
    np.testing.assert_array_equal(np.sort(pools, axis=1), np.sort(first, axis=1))


@given(mean=st.floats(-1, 5), spread=st.floats(0.3, 2.0), cap=st.floats(0.5, 120.0))
@settings(max_examples=25, deadline=None)
def test_capped_mean_agrees_with_quadrature(mean: float, spread: float, cap: float) -> None:
    law = stats.lognorm(s=spread, scale=np.exp(mean))
    # E[min(X, c)] is the area under the survival function up to c.
    points = np.exp(np.linspace(mean - 6 * spread, mean + 6 * spread, 9))
    inside = points[(points > 0) & (points < cap)]
    expected, _ = integrate.quad(law.sf, 0.0, cap, points=inside, limit=200)
    capped = _capped_mean(mean, spread, cap)
    np.testing.assert_allclose(capped, expected, rtol=1e-6)


def test_plays_follow_the_rules_of_the_feed(world: World) -> None:
    responses, _, _ = play(world, 200, 3)
    for request, response in enumerate(responses):
        videos = make_slate(world, np.arange(200) % 60, seed=request).videos
        duration = world.catalogue.duration_seconds[videos].astype(np.float64)
        seconds = np.rint(1000 * response.watch_seconds.astype(np.float64)) / 1000
        np.testing.assert_allclose(seconds, response.watch_seconds, rtol=1e-6)
        played = seconds > 0
        clicked = KUAIRAND_TASKS["click"].follows(seconds, np.rint(1000 * duration) / 1000) & played
        long_view = (
            KUAIRAND_TASKS["long_view"].follows(seconds, np.rint(1000 * duration) / 1000) & played
        )
        np.testing.assert_array_equal(response.feedback[..., 0], clicked)
        np.testing.assert_array_equal(response.feedback[..., 1], long_view)
        assert clicked.any()
        assert not clicked.all()


def test_two_column_plays_need_a_tap(world: World) -> None:
    response = play(world, 1000, 1, tab=0)[0][0]
    tapped = response.feedback[..., 0] > 0
    assert not (response.watch_seconds[~tapped] > 0).any()
    assert (response.watch_seconds[tapped] > 0).mean() > 0.8
    assert tapped.mean() < 0.3


@pytest.mark.parametrize("size", [1, 7])
def test_responses_do_not_depend_on_the_other_users(world: World, size: int) -> None:
    whole, state, history = play(world, 256, 4)
    fewer, some_state, some_history = play(world, size, 4)
    # Slates are drawn row by row from one stream, so that the first rows agree.
    for request, (many, few) in enumerate(zip(whole, fewer, strict=True)):
        users = np.arange(size) % 60
        shown = make_slate(world, np.arange(256) % 60, seed=request).videos[:size]
        np.testing.assert_array_equal(shown, make_slate(world, users, seed=request).videos)
        np.testing.assert_array_equal(many.feedback[:size], few.feedback)
        np.testing.assert_array_equal(many.watch_seconds[:size], few.watch_seconds)
    for field in fields(state):
        np.testing.assert_array_equal(
            getattr(state, field.name)[:size], getattr(some_state, field.name)
        )
    np.testing.assert_array_equal(history.hours[:size], some_history.hours)
    for method in (world.leave, world.return_days, world.pause_seconds):
        first = method(state, history, rng_of(256, 9))[:size]
        np.testing.assert_array_equal(first, method(some_state, some_history, rng_of(size, 9)))


def test_responses_depend_on_the_random_numbers(world: World) -> None:
    users = np.arange(50)
    slate, history = make_slate(world, users), start_history(np.zeros(50), NUM_TAGS)
    state = world.start(users, rng_of(50))
    first, _ = world.respond(state, slate, history, rng_of(50))
    again, _ = world.respond(state, slate, history, rng_of(50))
    other, _ = world.respond(state, slate, history, rng_of(50, request=1))
    np.testing.assert_array_equal(first.watch_seconds, again.watch_seconds)
    assert (first.watch_seconds != other.watch_seconds).mean() > 0.9


def test_masked_videos_have_no_effect(world: World) -> None:
    users = np.arange(40)
    mask = np.ones((40, 6), dtype=bool)
    mask[:, 4:] = False
    slate = make_slate(world, users, mask=mask)
    changed = slate.videos.copy()
    changed[:, 4:] = (changed[:, 4:] + 11) % world.config.videos
    state, history = world.start(users, rng_of(40)), start_history(np.zeros(40), NUM_TAGS)
    first, after = world.respond(state, slate, history, rng_of(40))
    other, other_after = world.respond(state, replace(slate, videos=changed), history, rng_of(40))
    assert not first.watch_seconds[:, 4:].any()
    assert not first.feedback[:, 4:].any()
    np.testing.assert_array_equal(first.feedback, other.feedback)
    for field in fields(after):
        np.testing.assert_array_equal(getattr(after, field.name), getattr(other_after, field.name))


def test_dullness_is_the_mean_boredom_of_the_tags(world: World) -> None:
    rng = np.random.default_rng(2)
    state = replace(bored_state(world, 30, 0.0), boredom=rng.uniform(size=(30, NUM_TAGS)))
    shown = make_slate(world, np.arange(30)).videos
    result = dullness(world.truth, state, shown)
    for row in range(30):
        for slot in range(6):
            tags = [tag for tag in world.catalogue.tags[shown[row, slot]] if tag != NO_TAG]
            mean = float(np.mean([state.boredom[row, tag] for tag in tags]))
            expected = mean * world.users.boredom_sensitivity[row]
            np.testing.assert_allclose(result[row, slot], expected)


def test_exposure_raises_boredom_and_boredom_decays(world: World) -> None:
    users = np.arange(40)
    state, history = world.start(users, rng_of(40)), start_history(np.zeros(40), NUM_TAGS)
    slate = make_slate(world, users)
    _, after = world.respond(state, slate, history, rng_of(40))
    fractions = (
        world.catalogue.tag_fractions[slate.videos].sum(axis=1) / 6.0
    )  # (num_envs, num_tags)
    np.testing.assert_allclose(after.boredom, fractions, rtol=1e-6)
    later = elapse(after, np.full(40, 600.0))
    faded = after.boredom > 0
    assert (later.boredom[faded] < after.boredom[faded]).all()
    assert (np.abs(later.satisfaction) < np.abs(after.satisfaction)).all()


@given(st.floats(0.0, 5.0), st.floats(0.1, 5.0))
@settings(max_examples=20, deadline=None)
def test_boredom_lowers_every_probability_of_watching(low: float, more: float) -> None:
    world = _WORLD
    slate = make_slate(world, np.arange(30))
    chances = []
    for boredom in (low, low + more):
        state = bored_state(world, 30, boredom)
        dull = dullness(world.truth, state, slate.videos)
        prospect = world.latent(
            state.users[:, None], slate.videos, np.full((30, 1), 9.0), slate.tabs[:, None], dull
        )
        chances.append(world.expected_answers(prospect))
    assert (chances[1][..., [0, 1, 7]] <= chances[0][..., [0, 1, 7]]).all()
    assert (chances[1][..., 0] < chances[0][..., 0]).any()


@given(st.floats(-2, 2), st.floats(0.01, 2), st.floats(0, 30), st.floats(0.1, 30))
@settings(max_examples=30, deadline=None)
def test_satisfied_users_stay_and_return_and_tired_users_leave(
    satisfaction: float, gain: float, tiredness: float, rest: float
) -> None:
    world = _WORLD
    state = world.start(np.arange(20), rng_of(20))
    state = replace(
        state,
        satisfaction=np.full(20, satisfaction),
        tiredness=np.full(20, tiredness + rest),
    )
    happier = replace(state, satisfaction=state.satisfaction + gain)
    fresher = replace(state, tiredness=state.tiredness - rest)
    assert (world.leave_probability(happier) < world.leave_probability(state)).all()
    assert (world.leave_probability(fresher) < world.leave_probability(state)).all()
    assert (world.return_probability(happier) > world.return_probability(state)).all()


def test_usual_tiredness_has_no_effect_on_leaving(world: World) -> None:
    users = np.arange(20)
    state = world.start(users, rng_of(20))
    usual = 17.0 * world.usual_views[users, 1] * world.users.tiring_sensitivity[users]
    stronger = World(replace(SMALL, tiring=1.0))
    at_usual = replace(state, tiredness=usual)
    np.testing.assert_allclose(
        stronger.leave_probability(at_usual), world.leave_probability(at_usual)
    )
    rested = world.leave_probability(replace(state, tiredness=np.zeros(20)))
    assert (rested <= world.leave_probability(at_usual)).all()


def test_satisfaction_equals_a_naive_implementation(world: World) -> None:
    """A row-by-row implementation of the value of a slate (docs/world_behaviour.md)."""
    users = np.arange(60)
    slate, history = make_slate(world, users), start_history(np.zeros(60), NUM_TAGS)
    state = replace(bored_state(world, 60, 0.3), satisfaction=np.full(60, 0.2))
    response, prospect, after = world.respond_and_explain(state, slate, history, rng_of(60))
    usual = world.usual_views  # (users, 2)
    config = world.config
    for row in range(60):
        values = []
        for slot in range(6):
            video, feedback = slate.videos[row, slot], response.feedback[row, slot]
            click, long_view = float(feedback[0]), float(feedback[1])
            regret = float(world.videos.bait[video]) * click * (1 - long_view) - 0.12
            watching = 2.0 * (long_view - usual[row, 1]) - 2.0 * config.regret * regret
            appeal = float(prospect.appeal[row, slot])
            interacting = 2.25 * click * (appeal - 0.44) + (click - usual[row, 0])
            dull = 0.3 * world.users.boredom_sensitivity[row] - 0.7
            care = world.users.care[row]
            values.append((1 - care) * watching + care * interacting - config.monotony * dull)
        expected = 0.2 + 0.25 * (np.mean(values) - 0.2)
        np.testing.assert_allclose(after.satisfaction[row], expected, rtol=1e-6, atol=1e-9)
    excess = np.maximum(response.watch_seconds.astype(np.float64) - 30.0, 0.0).sum(axis=1) / 60.0
    np.testing.assert_allclose(
        after.tiredness, world.users.tiring_sensitivity[users] * excess, rtol=1e-5
    )


def test_without_carry_over_the_past_has_no_effect() -> None:
    config = SMALL.without_carry_over()
    assert {getattr(config, name) for name in CARRY_OVER_EFFECTS} == {0.0}
    world = World(config)
    fresh = world.start(np.arange(30), rng_of(30))
    spent = replace(
        fresh,
        satisfaction=fresh.satisfaction - 3.0,
        tiredness=fresh.tiredness + 60.0,
        boredom=fresh.boredom + 5.0,
    )
    np.testing.assert_array_equal(world.leave_probability(fresh), world.leave_probability(spent))
    np.testing.assert_array_equal(world.return_probability(fresh), world.return_probability(spent))
    slate, history = make_slate(world, np.arange(30)), start_history(np.zeros(30), NUM_TAGS)
    first, _ = world.respond(fresh, slate, history, rng_of(30))
    other, _ = world.respond(spent, slate, history, rng_of(30))
    np.testing.assert_array_equal(first.watch_seconds, other.watch_seconds)
    np.testing.assert_array_equal(first.feedback, other.feedback)


def test_a_strength_of_zero_turns_an_effect_off() -> None:
    plain = World(replace(SMALL, taste=0.0, bait=0.0, disappointment=0.0, appeal=0.0))
    rows = 200
    users, hours, tabs = np.zeros(rows, dtype=int), np.full(rows, 9.0), np.ones(rows, dtype=int)
    prospect = plain.latent(users, np.arange(rows), hours, tabs, np.zeros(rows))
    quality = plain.videos.quality[:rows]
    log_odds = np.log(prospect.watches / (1 - prospect.watches))
    np.testing.assert_allclose(log_odds - log_odds[0], quality - quality[0], atol=1e-9)
    odds = prospect.odds / plain.videos.signal_odds[:rows]
    np.testing.assert_allclose(odds, np.broadcast_to(odds[0], odds.shape), rtol=1e-9)
    assert not prospect.lured.any()


def test_pauses_and_return_days_are_in_range(world: World) -> None:
    _, state, history = play(world, 2000, 2)
    episode_rng = rng_of(2000, 3)
    pause = world.pause_seconds(state, history, episode_rng)
    assert (pause > 0).all()
    assert (pause <= 1800).all()
    days = world.return_days(state, history, episode_rng)
    assert days.min() == 1
    np.testing.assert_allclose(
        (days > 1).mean(), 1 - world.return_probability(state).mean(), atol=0.02
    )
    leaves = world.leave(state, history, episode_rng)
    np.testing.assert_allclose(leaves.mean(), world.leave_probability(state).mean(), atol=0.02)


def test_resuming_restarts_the_clock_and_decays_the_state(world: World) -> None:
    _, state, _ = play(world, 20, 3)
    back = world.resume(state, np.full(20, 86_400.0))
    assert not back.clock_seconds.any()
    assert (back.boredom < 1e-6).all()
    assert (np.abs(back.satisfaction) < np.abs(state.satisfaction)).all()


def test_state_can_be_selected(world: World) -> None:
    state = world.start(np.arange(5), rng_of(5))
    assert select_rows(state, np.array([3, 1])).users.tolist() == [3, 1]


def test_pools_contain_no_video_twice(world: World) -> None:
    pools = world.retrieve(120)
    assert pools.shape == (60, 120)
    assert pools.dtype == np.int32
    assert all(len(set(pool)) == 120 for pool in pools.tolist())
    np.testing.assert_array_equal(pools, World(SMALL).retrieve(120))
    assert (pools[0] != np.sort(pools[0])).any(), "in random order"


def test_pools_do_not_depend_on_the_other_users(world: World) -> None:
    all_users = world.retrieval.pools(np.arange(60), 50)
    np.testing.assert_array_equal(world.retrieval.pools(np.array([7]), 50)[0], all_users[7])
    other_visit = world.retrieval.pools(np.array([7]), 50, visits=1)[0]
    assert set(other_visit.tolist()) != set(all_users[7].tolist())


def test_retrieval_prefers_liked_tags_and_popular_videos(world: World) -> None:
    pools = world.retrieve(60)
    popularity = world.videos.popularity
    assert popularity[pools].mean() > popularity.mean() + 0.5 * popularity.std()
    match = np.einsum("ud,upd->up", world.users.watch_taste, world.videos.vectors[pools])
    assert match.mean() > 0.1


def test_a_pool_larger_than_the_world_raises_an_error(world: World) -> None:
    with pytest.raises(ConfigError, match="pool must be at most the 300 videos of the world, got"):
        world.retrieve(301)
