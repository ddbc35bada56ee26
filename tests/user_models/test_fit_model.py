"""Inference of the fitted user model: rules, masks, batches, files, naive implementations."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtf_rl import user_models
from mtf_rl.core.arrays import select_rows
from mtf_rl.core.errors import ArtifactError
from mtf_rl.core.files import load_json, save_json
from mtf_rl.core.history import tag_overlap
from mtf_rl.core.randomness import EpisodeRng
from mtf_rl.core.slates import Slate
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.user_models import DeclaredPrior, FitReport, FittedUserModel, PartReport
from mtf_rl.user_models.answer_rules import KUAIRAND_RULES
from mtf_rl.user_models.play import NUM_OUTCOMES, allowed_outcomes, play_outcomes
from mtf_rl.user_models.responses import Unranked, request_features, row_features
from mtf_rl.user_models.sessions import FittedLeaving, FittedPausing, FittedReturning
from mtf_rl.user_models.traces import start_trace
from tests.user_models.examples import (
    random_history,
    random_response_model,
    random_session_network,
    random_trace_reader,
    small_catalogue,
)

USERS = 40


@pytest.fixture(scope="module", name="model")
def random_model() -> FittedUserModel:
    catalogue = small_catalogue()
    gaps = np.exp(np.random.default_rng(3).normal(4.0, 1.0, 500))
    return FittedUserModel(
        responses=random_response_model(USERS, catalogue),
        traces=random_trace_reader(USERS),
        leaving=FittedLeaving(random_session_network(USERS, seed=1)),
        pausing=FittedPausing.fit(random_history(500), gaps),
        returning=FittedReturning(random_session_network(USERS, seed=2), np.asarray(0.5)),
        hour_fractions=np.full(24, 1.0 / 24.0),
        catalogue=catalogue,
        row_keys=np.arange(7, dtype=np.uint64),
        prior_parts=("a part is declared",),
        report=FitReport((PartReport("like", 10, -0.1, "base rate", -0.2),)),
    )


def slates(num_envs: int, *, tab: int = 1, slate: int = 6, seed: int = 0) -> Slate:
    rng = np.random.default_rng(seed)
    return Slate(
        users=rng.integers(0, USERS, num_envs),
        videos=rng.integers(0, small_catalogue().num_videos, (num_envs, slate)).astype(np.int32),
        mask=rng.random((num_envs, slate)) < 0.9,
        tabs=np.full(num_envs, tab),
    )


def rng_of(num_envs: int, seed: int = 5) -> EpisodeRng:
    return EpisodeRng(seed, np.arange(num_envs), np.zeros(num_envs, dtype=np.int64))


@pytest.mark.parametrize("batch", [1, 7, 256])
def test_responses_do_not_depend_on_the_batch(model: FittedUserModel, batch: int) -> None:
    num_envs = 300
    slate, history, episode_rng = slates(num_envs), random_history(num_envs), rng_of(num_envs)
    state = model.start(slate.users, episode_rng)
    whole, after = model.respond(state, slate, history, episode_rng)
    left = model.leave(after, history, episode_rng)
    pauses = model.pause_seconds(after, history, episode_rng)
    days = model.return_days(after, history, episode_rng)
    for first in range(0, num_envs, batch):
        rows = np.arange(first, min(first + batch, num_envs))
        part = select_rows(state, rows)
        its_rng, its_history = select_rows(episode_rng, rows), select_rows(history, rows)
        answer, part = model.respond(part, select_rows(slate, rows), its_history, its_rng)
        assert np.array_equal(answer.feedback, whole.feedback[rows])
        assert np.array_equal(answer.watch_seconds, whole.watch_seconds[rows])
        assert np.array_equal(model.leave(part, its_history, its_rng), left[rows])
        assert np.array_equal(model.pause_seconds(part, its_history, its_rng), pauses[rows])
        assert np.array_equal(model.return_days(part, its_history, its_rng), days[rows])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31))
def test_single_column_responses_obey_the_play_rules(model: FittedUserModel, seed: int) -> None:
    slate, history = slates(50, seed=seed), random_history(50)
    response, _ = model.respond(
        model.start(slate.users, rng_of(50)), slate, history, rng_of(50, seed)
    )
    duration = model.catalogue.duration_seconds[slate.videos]
    play, shown = response.watch_seconds, slate.mask
    assert np.array_equal(
        response.feedback[..., 0] > 0, KUAIRAND_TASKS["click"].follows(play, duration) & shown
    )
    assert np.array_equal(
        response.feedback[..., 1] > 0, KUAIRAND_TASKS["long_view"].follows(play, duration) & shown
    )
    assert not response.feedback[~shown].any()
    assert not play[~shown].any()
    assert np.isin(response.feedback, (0.0, 1.0)).all()


def test_two_column_clicks_are_taps(model: FittedUserModel) -> None:
    slate = replace(slates(4000, tab=0), mask=np.ones((4000, 6), dtype=np.bool_))
    response, _ = model.respond(
        model.start(slate.users, rng_of(4000)), slate, random_history(4000), rng_of(4000)
    )
    played, clicked = response.watch_seconds > 0, response.feedback[..., 0] > 0
    assert clicked[played].all()
    assert clicked[~played].mean() == pytest.approx(0.3, abs=0.03)  # the model's unplayed_click


def test_response_logits_against_a_loop(model: FittedUserModel) -> None:
    tabs = np.array([1, 0, 4, 0, 1])
    slate, history = replace(slates(5), tabs=tabs), random_history(5)
    overlap = tag_overlap(history, slate.videos, model.catalogue)
    batched = model.responses.logits(slate, history, overlap).reshape(5, 6, -1)
    network = model.responses.network
    session = np.clip(request_features(history, slate.tabs), -5.0, 5.0)
    for env in range(5):
        for position in range(6):
            user, video = slate.users[env], slate.videos[env, position]
            hidden = network.user_part[user] + network.video_part[video]
            hidden = hidden + session[env] @ network.session_weights
            extra = [5.0 * overlap[env, position], np.log(position + 1.0)]
            tastes = network.tastes[user, network.first_tags[video]]
            products = network.user_factors[user] * network.video_factors[video]
            hidden = hidden + np.array([*extra, *tastes, *products]) @ network.row_weights
            logits = np.maximum(hidden, 0.0) @ network.output_weights + network.output_bias
            logits = logits + model.responses.scene_shifts[1 if tabs[env] == 0 else 0]
            np.testing.assert_allclose(batched[env, position], logits, atol=2e-6)


def test_the_unranked_correction_equals_plain_arithmetic(model: FittedUserModel) -> None:
    """One position for all videos, a session fraction, and a contrast to the usual logits."""
    slate, history = slates(5), random_history(5)
    overlap = tag_overlap(history, slate.videos, model.catalogue)
    usual = np.random.default_rng(8).normal(size=(len(model.responses.network.user_part), 19))
    values = Unranked(np.asarray(20.0), np.asarray(0.25), np.asarray(1.5), usual)
    unranked = replace(model.responses, unranked=values)
    session, rows = request_features(history, slate.tabs), row_features(overlap)
    clock = [name.endswith(("_sin", "_cos")) for name in KUAIRAND_RULES.history_names]
    kept = np.append(clock, [True, True, True])  # hour and scene are not scaled
    session[:, ~kept] *= 0.25  # the usual session's features are 0 here
    rows[..., 0] *= 0.25
    rows[..., 1] = np.log(21.0)
    logits = model.responses.network.logits(slate.users, slate.videos, session, rows)
    of_users = np.repeat(usual[slate.users], 6, axis=0)
    shifts = np.repeat(model.responses.scene_shifts[(slate.tabs == 0).astype(int)], 6, axis=0)
    expected = of_users + 1.5 * (logits - of_users) + shifts
    np.testing.assert_allclose(unranked.logits(slate, history, overlap), expected, atol=2e-6)
    logged = model.responses.logits(slate, history, overlap)
    np.testing.assert_array_equal(unranked.as_logged().logits(slate, history, overlap), logged)


def test_ranked_slates_get_responses_without_the_correction(model: FittedUserModel) -> None:
    values = replace(model.responses.unranked, position=np.asarray(20.0), contrast=np.asarray(1.5))
    simulator = replace(model, responses=replace(model.responses, unranked=values))
    slate, history = slates(6), random_history(6)
    half = replace(slate, ranked=np.arange(6) < 3)
    mixed, plain, logged = (
        simulator.predict(half, history),
        simulator.predict(slate, history),
        model.predict(slate, history),
    )
    np.testing.assert_array_equal(mixed.logits[:18], logged.logits[:18])
    np.testing.assert_array_equal(mixed.logits[18:], plain.logits[18:])
    assert (plain.logits != logged.logits).any()
    # The trace uses the same predictions for ranked and unranked slates.
    np.testing.assert_array_equal(mixed.trace_logits, plain.trace_logits)


def test_row_features_by_hand() -> None:
    features = row_features(np.array([[0.2, 0.0]]))
    np.testing.assert_allclose(features, [[[1.0, 0.0], [0.0, np.log(2.0)]]])


def test_response_frequencies_equal_the_probabilities_of_the_network(
    model: FittedUserModel,
) -> None:
    """One user, video and history, many draws: frequencies against softmax and sigmoids."""
    tries = 40_000
    one = slates(1)
    slate = Slate(
        np.repeat(one.users, tries),
        np.repeat(one.videos[:, :1], tries, axis=0),
        np.ones((tries, 1), dtype=np.bool_),
        np.repeat(one.tabs, tries),
    )
    history = select_rows(random_history(1), np.zeros(tries, dtype=np.int64))
    state = model.start(slate.users, rng_of(tries))
    response, _ = model.respond(state, slate, history, rng_of(tries))
    duration = model.catalogue.duration_seconds[slate.videos[:, 0]]
    play = response.watch_seconds[:, 0]
    logits = model.responses.logits(
        slate, history, tag_overlap(history, slate.videos, model.catalogue)
    )
    weights = np.exp(logits[0, :NUM_OUTCOMES]) * allowed_outcomes(duration[:1])[0]
    fractions = np.bincount(play_outcomes(play, duration), minlength=NUM_OUTCOMES) / tries
    np.testing.assert_allclose(fractions, weights / weights.sum(), atol=0.01)
    interactions = model.responses.interaction_logits(logits, play, duration)
    expected = (1.0 / (1.0 + np.exp(-interactions))).mean(axis=0)
    np.testing.assert_allclose(response.feedback[:, 0, 2:].mean(axis=0), expected, atol=0.01)


def test_return_day_frequencies_equal_the_hazards(model: FittedUserModel) -> None:
    tries = 40_000
    history = select_rows(random_history(1), np.zeros(tries, dtype=np.int64))
    users = np.zeros(tries, dtype=np.int64)
    days = model.return_days(model.start(users, rng_of(tries)), history, rng_of(tries))
    one = np.zeros(1, dtype=np.int64)
    next_day = model.returning.return_probabilities(one, select_rows(history, one), start_trace(1))
    assert days.min() == 1
    assert (days == 1).mean() == pytest.approx(next_day[0, 0], abs=0.01)
    for day in (2, 3):  # each later day has its hazard of 0.5
        assert (days == day).sum() / (days >= day).sum() == pytest.approx(0.5, abs=0.02)


def test_leaving_frequency_equals_the_hazard(model: FittedUserModel) -> None:
    tries = 20_000
    history = select_rows(random_history(1), np.zeros(tries, dtype=np.int64))
    users = np.full(tries, 3)
    left = model.leave(model.start(users, rng_of(tries)), history, rng_of(tries))
    one = np.zeros(1, dtype=np.int64)
    hazard = model.leaving.leave_probability(users[:1], select_rows(history, one), start_trace(1))
    assert left.mean() == pytest.approx(hazard, abs=0.01)


def test_pauses_stay_in_bounds_and_increase_with_the_uniforms(model: FittedUserModel) -> None:
    history = random_history(200)
    low = model.pausing.pause_seconds(history, np.full(200, 0.2))
    high = model.pausing.pause_seconds(history, np.full(200, 0.8))
    assert np.all(low < high)
    for extreme in (1e-12, 1.0 - 1e-12):
        pauses = model.pausing.pause_seconds(history, np.full(200, extreme))
        assert np.all((pauses >= 1.0) & (pauses <= 1800.0))


@pytest.mark.parametrize("declared", [False, True])
def test_a_saved_and_loaded_model_gives_the_same_responses(
    model: FittedUserModel, *, declared: bool, tmp_path: Path
) -> None:
    if declared:
        model = replace(model, leaving=DeclaredPrior(leave_tilt=0.4), returning=DeclaredPrior())
    model.save(tmp_path / "simulator")
    loaded = FittedUserModel.load(tmp_path / "simulator")
    slate, history, episode_rng = slates(50), random_history(50), rng_of(50)
    fresh = model.start(slate.users, episode_rng)
    (first, state), (again, other) = (
        one.respond(fresh, slate, history, episode_rng) for one in (model, loaded)
    )
    assert np.array_equal(state.trace.averages, other.trace.averages)
    assert np.array_equal(first.feedback, again.feedback)
    assert np.array_equal(first.watch_seconds, again.watch_seconds)
    for method in ("leave", "pause_seconds", "return_days"):
        answers = [getattr(one, method)(state, history, episode_rng) for one in (model, loaded)]
        assert np.array_equal(*answers)
    assert np.array_equal(loaded.row_keys, model.row_keys)
    assert np.array_equal(loaded.hour_fractions, model.hour_fractions)
    assert (loaded.prior_parts, loaded.report) == (model.prior_parts, model.report)
    assert isinstance(loaded.leaving, DeclaredPrior) == declared


def test_a_corrupt_or_foreign_artifact_raises_an_error(
    model: FittedUserModel, tmp_path: Path
) -> None:
    model.save(tmp_path)
    document = load_json(tmp_path / "user_model.json")
    save_json(tmp_path / "user_model.json", document | {"format": 99})
    with pytest.raises(ArtifactError, match=re.escape("must have format 5")):
        FittedUserModel.load(tmp_path)
    del document["prior_parts"]
    save_json(tmp_path / "user_model.json", document)
    with pytest.raises(ArtifactError, match=re.escape("KeyError: 'prior_parts'")):
        FittedUserModel.load(tmp_path)
    (tmp_path / "user_model.npz").write_bytes(b"torn")
    with pytest.raises(ArtifactError, match="cannot be read"):
        FittedUserModel.load(tmp_path)
    with pytest.raises(ArtifactError, match="No file"):
        FittedUserModel.load(tmp_path / "nowhere")


def test_inference_imports_no_torch() -> None:
    code = "import sys, mtf_rl.user_models; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unknown_attribute_raises_an_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'fit_usr_model'"):
        user_models.fit_usr_model  # noqa: B018


@pytest.mark.parametrize("tab", [0, 1])
def test_chances_equal_the_frequencies_of_draws(model: FittedUserModel, tab: int) -> None:
    shown = select_rows(slates(1, tab=tab), np.zeros(4000, dtype=np.int64))
    history = select_rows(random_history(1), np.zeros(4000, dtype=np.int64))
    episode_rng = EpisodeRng(0, np.arange(4000), np.zeros(4000, dtype=np.int64))
    prediction = model.predict(shown, history)
    opinion = prediction.logits, prediction.fractions
    drawn = model.responses.draw(shown, *opinion, episode_rng, model.catalogue)
    chances = model.responses.chances(shown, *opinion, drawn.watch_seconds, model.catalogue)
    # Interaction probabilities are conditional on the drawn play, so they agree on average.
    seen = shown.mask[0]
    expected, frequencies = (x.mean(axis=0)[seen] for x in (chances, drawn.feedback))  # (shown, 7)
    error = np.sqrt(expected * (1.0 - expected) / 4000)
    assert (np.abs(frequencies - expected) < 4.5 * error + 1e-9).all()


def test_update_state_with_the_drawn_response_equals_respond(model: FittedUserModel) -> None:
    shown, history = slates(30), random_history(30)
    episode_rng = EpisodeRng(0, np.arange(30), np.zeros(30, dtype=np.int64))
    state = model.start(shown.users, episode_rng)
    response, after = model.respond(state, shown, history, episode_rng)
    again = model.update_state(state, shown, history, model.predict(shown, history), response)
    np.testing.assert_array_equal(again.trace.averages, after.trace.averages)
    np.testing.assert_array_equal(again.trace.minutes, after.trace.minutes)
