"""Fits on a small log from a known process: recovery, errors, reproducibility."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray, select_rows
from mtf_rl.core.errors import ConfigError, DataError, LeakageError
from mtf_rl.core.history import VisibleHistory, advance_history, start_history
from mtf_rl.core.randomness import EpisodeRng
from mtf_rl.core.slates import Slate
from mtf_rl.data import SYNTHETIC_PLAN, Dataset, check_disjoint, scorer_half, split_by_time
from mtf_rl.user_models import DeclaredPrior, FittedUserModel, UserModelFitConfig, fit_user_model
from mtf_rl.user_models.fit_log import ReplayedLog
from mtf_rl.user_models.fit_sessions import fit_hazard
from mtf_rl.user_models.fit_torch import reproducible_torch
from mtf_rl.user_models.sessions import FittedLeaving
from mtf_rl.user_models.traces import start_trace
from tests.user_models.examples import NUM_TAGS, Law, small_log

pytestmark = pytest.mark.slow

QUICK = UserModelFitConfig(
    batch_size=256,
    max_epochs=6,
    hidden=32,
    session_hidden=16,
    factors=4,
    session_weight_decay=0.5,
)
NUM_USERS = 200


def fitted(
    dataset: Dataset, config: UserModelFitConfig = QUICK, *, seed: int = 0
) -> FittedUserModel:
    split = split_by_time(dataset.impressions, SYNTHETIC_PLAN)
    half = ~scorer_half(dataset.impressions, seed=seed)
    return fit_user_model(dataset, split, half, config=config)


@pytest.fixture(scope="module", name="dataset")
def log_of_the_law() -> Dataset:
    return small_log(num_users=NUM_USERS, num_days=6)


@pytest.fixture(scope="module", name="model")
def fitted_on_the_law(dataset: Dataset) -> FittedUserModel:
    return fitted(dataset)


def answers(
    model: FittedUserModel, history: Callable[[FloatArray], VisibleHistory] | None = None
) -> tuple[IntArray, BoolArray, BoolArray]:
    """Group of the user, completion and like for many simulated plays in new sessions."""
    rng = np.random.default_rng(0)
    num_envs = 4000
    users = rng.integers(0, NUM_USERS, num_envs)
    videos = rng.integers(0, model.catalogue.num_videos, (num_envs, 4))
    slate = Slate(users, videos, np.ones(videos.shape, dtype=np.bool_), np.ones_like(users))
    make = history or (lambda hours: start_history(hours, NUM_TAGS))
    episode_rng = EpisodeRng(1, np.arange(num_envs), np.zeros(num_envs, dtype=np.int64))
    state = model.start(users, episode_rng)
    response, _ = model.respond(state, slate, make(np.full(num_envs, 9.0)), episode_rng)
    complete = response.watch_seconds >= model.catalogue.duration_seconds[videos]
    return users % 2, complete, response.feedback[..., 2] > 0


def test_completion_and_like_rates_of_each_group_are_recovered(model: FittedUserModel) -> None:
    group, complete, like = answers(model)
    for number, expected in enumerate(Law().complete):
        assert complete[group == number].mean() == pytest.approx(expected, abs=0.04)
    assert like[complete].mean() == pytest.approx(Law().like_complete, abs=0.03)
    assert like[~complete].mean() == pytest.approx(Law().like_else, abs=0.01)


def repeated(hours: FloatArray) -> VisibleHistory:
    """Sessions that have shown all tags many times, so every video has a high overlap."""
    fresh = start_history(hours, NUM_TAGS)
    return replace(fresh, tag_exposure=np.full((len(hours), NUM_TAGS), 0.6, dtype=np.float32))


def test_the_effect_of_repetition_is_recovered(model: FittedUserModel) -> None:
    group, fresh, _ = answers(model)
    _, bored, _ = answers(model, repeated)
    keen = group == 0
    # True rate: 0.6 exp(-1.5 * 0.6) = 0.24 instead of 0.6.
    assert bored[keen].mean() < fresh[keen].mean() - 0.15


def test_repetition_has_no_fitted_effect_if_it_has_no_true_effect() -> None:
    model = fitted(small_log(Law(boredom=0.0), num_users=NUM_USERS, num_days=6))
    group, fresh, _ = answers(model)
    _, repeats, _ = answers(model, repeated)
    keen = group == 0
    assert repeats[keen].mean() == pytest.approx(fresh[keen].mean(), abs=0.08)


def test_leaving_of_each_group_is_recovered(model: FittedUserModel) -> None:
    """Leave probabilities after a simulated first request."""
    assert isinstance(model.leaving, FittedLeaving)
    users = np.tile(np.arange(NUM_USERS), 10)
    videos = np.random.default_rng(0).integers(0, 30, (len(users), 4))
    slate = Slate(users, videos, np.ones(videos.shape, dtype=np.bool_), np.ones_like(users))
    episode_rng = EpisodeRng(3, np.arange(len(users)), np.zeros(len(users), dtype=np.int64))
    history = start_history(np.full(len(users), 9.0), NUM_TAGS)
    response, state = model.respond(model.start(users, episode_rng), slate, history, episode_rng)
    history = advance_history(history, slate, response, model.catalogue)
    hazards = model.leaving.leave_probability(users, history, state.trace)
    for number, expected in enumerate(Law().leave):
        assert hazards[users % 2 == number].mean() == pytest.approx(expected, abs=0.08)


def test_session_effects_of_opposite_sign_are_recovered() -> None:
    """A session feature raises the log-odds of leaving of keen users by 2 and lowers others'.

    Only past behaviour identifies keen users: they complete far more videos.
    """
    law = Law(complete=(0.9, 0.1), boredom=0.0)
    dataset = small_log(law, num_users=NUM_USERS, num_days=6)
    split = split_by_time(dataset.impressions, SYNTHETIC_PLAN)
    log = ReplayedLog.make(dataset, split, np.ones(len(split.train), dtype=np.bool_), QUICK)
    rng = np.random.default_rng(0)
    users = log.requests.users
    sign = np.where(users % 2 == 0, 1.0, -1.0)
    features = rng.normal(size=(len(users), 5))
    events = rng.random(len(users)) < expit(-1.0 + 2.0 * sign * features[:, 3])
    with reproducible_torch(0):
        network = fit_hazard(
            log,
            np.arange(len(users)),
            features,
            events,
            log.train_requests,
            replace(QUICK, max_epochs=20),
        )
    all_users = np.arange(NUM_USERS)
    high, low = np.zeros((2, NUM_USERS, 5))
    high[:, 3], low[:, 3] = 1.0, -1.0
    slope = (network.logits(all_users, high) - network.logits(all_users, low))[:, 0] / 2.0
    assert slope[::2].mean() == pytest.approx(2.0, abs=0.5)
    assert slope[1::2].mean() == pytest.approx(-2.0, abs=0.5)


def test_pauses_and_returns_are_recovered(model: FittedUserModel) -> None:
    many = 4000
    history = start_history(np.full(many, 9.0), NUM_TAGS)
    history = replace(history, requests=np.ones(many, dtype=np.int32))
    episode_rng = EpisodeRng(2, np.arange(many), np.zeros(many, dtype=np.int64))
    state = model.start(np.arange(many) % NUM_USERS, episode_rng)
    pauses = model.pause_seconds(state, history, episode_rng)
    assert np.log(pauses).mean() == pytest.approx(4.0, abs=0.15)
    assert np.log(pauses).std() == pytest.approx(0.5, abs=0.1)
    days = model.return_days(state, history, episode_rng)
    assert (days == 1).mean() == pytest.approx(Law().return_probability, abs=0.08)
    assert (days == 2).sum() / (days >= 2).sum() == pytest.approx(0.7, abs=0.1)


def test_the_report_shows_gains_only_for_real_effects(model: FittedUserModel) -> None:
    gains = {(part.part, part.reference): part.gain for part in model.report.parts}
    assert gains["play outcome", "fractions by duration"] > 0.05
    assert gains["like", "base rate"] > 0.01
    assert gains["leaving", "base rate"] > 0.01
    # Follow never happens; gaps and returns are pure sampling noise.
    assert abs(gains["ln gap", "one log-normal"]) < 0.02
    assert abs(gains["next-day return", "base rate"]) < 0.03


def test_row_keys_contain_only_the_models_own_half(
    model: FittedUserModel, dataset: Dataset
) -> None:
    impressions = dataset.impressions
    split = split_by_time(impressions, SYNTHETIC_PLAN)
    of_scorer = scorer_half(impressions, seed=0)
    expected = impressions.keys[~of_scorer & ~split.test]
    assert np.array_equal(model.row_keys, np.sort(expected))
    check_disjoint(impressions.keys[of_scorer], model.row_keys)
    planted = np.append(impressions.keys[of_scorer], model.row_keys[:1])
    with pytest.raises(LeakageError, match="1 of the same rows"):
        check_disjoint(planted, model.row_keys)


def test_the_other_half_and_the_test_days_have_no_effect_on_the_fit(dataset: Dataset) -> None:
    """Overwrites all feedback outside the half or in the test days."""
    small = replace(QUICK, max_epochs=1)
    impressions = dataset.impressions
    split = split_by_time(impressions, SYNTHETIC_PLAN)
    foreign = scorer_half(impressions, seed=0) | split.test
    changed = replace(
        impressions,
        feedback=np.where(foreign[:, None], 1 - impressions.feedback, impressions.feedback),
        play_seconds=np.where(foreign, 3.0, impressions.play_seconds).astype(np.float32),
    )
    first, second = fitted(dataset, small), fitted(replace(dataset, impressions=changed), small)
    assert same_arrays(first, second)


def same_arrays(first: FittedUserModel, second: FittedUserModel) -> bool:
    one, other = first.responses.to_arrays("r"), second.responses.to_arrays("r")
    equal = all(np.array_equal(one[name], other[name], equal_nan=True) for name in one)
    return equal and first.report == second.report


def test_the_seed_determines_the_model(dataset: Dataset) -> None:
    small = replace(QUICK, max_epochs=1)
    assert same_arrays(fitted(dataset, small), fitted(dataset, small))
    assert not same_arrays(fitted(dataset, small), fitted(dataset, replace(small, seed=1)))


def test_max_rows_drops_whole_sessions(dataset: Dataset) -> None:
    impressions = dataset.impressions
    model = fitted(dataset, replace(QUICK, max_epochs=1, max_rows=2000))
    used = np.isin(impressions.keys, model.row_keys)
    train = split_by_time(impressions, SYNTHETIC_PLAN).train
    assert (used & train).sum() == pytest.approx(2000, rel=0.15)
    available = ~scorer_half(impressions, seed=0) & train
    for session in np.unique(impressions.sessions[used])[:50]:
        rows = (impressions.sessions == session) & available
        assert used[rows].all()


def test_a_log_of_fragments_gets_the_declared_prior() -> None:
    model = fitted(small_log(num_users=100, one_request=True), replace(QUICK, max_epochs=1))
    assert len(model.prior_parts) == 3
    assert "100 % of the log's sessions have only one request" in model.prior_parts[0]
    for part in (model.leaving, model.pausing, model.returning):
        assert isinstance(part, DeclaredPrior)
    history = start_history(np.full(2, 9.0), NUM_TAGS)
    probabilities = model.leaving.leave_probability(np.arange(2), history, start_trace(2))
    np.testing.assert_allclose(probabilities, 0.0738)


def test_prior_always_and_never_are_obeyed(dataset: Dataset) -> None:
    small = replace(QUICK, max_epochs=1)
    asked = fitted(dataset, replace(small, prior="always"))
    assert all("prior=always" in part for part in asked.prior_parts)
    assert len(asked.prior_parts) == 3
    assert fitted(dataset, replace(small, prior="never")).prior_parts == ()
    fragments = small_log(num_users=60, one_request=True)
    with pytest.raises(DataError, match=re.escape("no gaps between requests to fit on")):
        fitted(fragments, replace(small, prior="never"))


def test_the_measured_prior_equals_the_statistics_of_the_rows(dataset: Dataset) -> None:
    model = fitted(dataset, replace(QUICK, max_epochs=1, prior="always"))
    split = split_by_time(dataset.impressions, SYNTHETIC_PLAN)
    rows = ~scorer_half(dataset.impressions, seed=0) & split.train
    impressions = select_rows(dataset.impressions, rows)
    ratio = np.minimum(impressions.play_seconds / impressions.duration_seconds, 1.0)
    mean = np.mean(
        [like + part for like, part in zip(impressions.feedback[:, 2], ratio, strict=True)]
    )
    assert isinstance(model.leaving, DeclaredPrior)
    assert model.leaving.engagement_mean == pytest.approx(mean, rel=1e-5)


def test_an_empty_half_raises_an_error(dataset: Dataset) -> None:
    split = split_by_time(dataset.impressions, SYNTHETIC_PLAN)
    nothing = np.zeros(len(dataset.impressions.users), dtype=np.bool_)
    with pytest.raises(DataError, match="half has no training rows"):
        fit_user_model(dataset, split, nothing, config=QUICK)
    with pytest.raises(DataError, match="half has no validation rows"):
        fit_user_model(dataset, split, split.train, config=QUICK)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("max_rows", 0, "max_rows must be at least 1, got 0"),
        ("learning_rate", 0.0, "learning_rate must be > 0, got 0.0"),
        ("seed", -1, "seed must be >= 0, got -1"),
        ("prior", "maybe", "prior must be auto, always or never, got 'maybe'"),
        ("fragment_fraction", 1.5, "fragment_fraction must be in [0, 1], got 1.5"),
    ],
)
def test_invalid_settings_raise_an_error(field: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        replace(QUICK, **{field: value})


def test_progress_is_reported_by_stage(dataset: Dataset) -> None:
    progress: list[tuple[str, float]] = []
    split = split_by_time(dataset.impressions, SYNTHETIC_PLAN)
    fit_user_model(
        dataset,
        split,
        ~scorer_half(dataset.impressions, seed=0),
        config=replace(QUICK, max_epochs=2),
        on_progress=lambda stage, fraction: progress.append((stage, fraction)),
    )
    stages = list(dict.fromkeys(stage for stage, _ in progress))
    assert stages == ["replay", "responses", "leaving", "pausing", "returning", "done"]
    fractions = [fraction for _, fraction in progress]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
