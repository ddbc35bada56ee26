"""Session traces: hand calculations, a loop over the log, equality of simulator and log."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logit
from typing_extensions import override

from mtf_rl.core.arrays import FloatArray, select_rows
from mtf_rl.core.history import add_pause, advance_history, start_history
from mtf_rl.core.randomness import EpisodeRng
from mtf_rl.core.slates import Response, Slate
from mtf_rl.core.videos import VideoCatalogue
from mtf_rl.data import SYNTHETIC_PLAN, TimePlan, split_by_time
from mtf_rl.user_models import DeclaredPrior, FittedUserModel
from mtf_rl.user_models.answer_rules import KUAIRAND_RULES
from mtf_rl.user_models.fit_config import UserModelFitConfig
from mtf_rl.user_models.fit_log import ReplayedLog
from mtf_rl.user_models.fit_traces import fit_traces
from mtf_rl.user_models.play import NUM_OUTCOMES, allowed_outcomes, outcome_fractions
from mtf_rl.user_models.replay import logged_slate
from mtf_rl.user_models.responses import ResponseModel
from mtf_rl.user_models.traces import (
    NUM_MINUTES,
    TraceReader,
    advance_trace,
    long_minutes,
    predicted_logits,
    row_actions,
    start_trace,
    trace_features,
    usual_strengths,
)
from tests.user_models.examples import random_response_model, small_log

CLICKED, IN_VAIN = (
    KUAIRAND_RULES.trace_signals.index(name) for name in ("click", "clicked_in_vain")
)


def test_a_step_by_hand() -> None:
    trace = start_trace(1)
    signals = np.zeros((1, len(KUAIRAND_RULES.trace_signals)))
    signals[0, CLICKED] = 0.8
    trace = advance_trace(trace, signals, np.array([[3.0, 1.0]]), np.array([0.0]))
    signals[0, CLICKED] = 0.4
    trace = advance_trace(trace, signals, np.array([[2.0, 0.0]]), np.array([1200.0]))
    # 0.25 x 0.8 = 0.2, then 0.2 + 0.25 x (0.4 - 0.2); minutes decay by a factor e in 1200 s.
    assert trace.averages[0, CLICKED] == pytest.approx(0.25)
    np.testing.assert_allclose(trace.minutes, [[3.0 / np.e + 2.0, 1.0 / np.e]], rtol=1e-6)
    features = trace_features(trace)
    assert features.shape == (1, (len(KUAIRAND_RULES.trace_signals) + NUM_MINUTES))
    assert features[0, -1] == pytest.approx(np.log1p(1.0 / np.e))


def test_minutes_by_hand() -> None:
    slate = Slate(
        users=np.array([0]),
        videos=np.array([[0, 1, 2]]),
        mask=np.array([[True, True, False]]),
        tabs=np.array([1]),
    )
    response = Response(np.zeros((1, 3, 7)), np.array([[78.0, 12.0, 999.0]]))
    np.testing.assert_allclose(long_minutes(slate, response), [[1.5, 1.0]])


def test_predicted_logits_against_a_softmax() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(50, KUAIRAND_RULES.num_outputs))
    duration = rng.uniform(20.0, 400.0, 50)
    predictions = predicted_logits(logits, outcome_fractions(logits, duration))
    for row in range(50):
        weights = np.exp(logits[row, :NUM_OUTCOMES]) * allowed_outcomes(duration[row : row + 1])[0]
        # Outcomes from 7 s on and from 18 s on, including "complete".
        expected = logit(np.clip(weights[8:].sum() / weights[6:].sum(), 0.02, 0.98))
        assert predictions[row, -1] == pytest.approx(expected)
    np.testing.assert_array_equal(predictions[:, :-1], logits[:, NUM_OUTCOMES:])


def test_actions_by_hand() -> None:
    feedback = np.zeros((2, 7))
    feedback[0, 0] = 1.0
    actions = row_actions(
        feedback, np.array([8.0, 0.0]), np.array([16.0, 9.0]), np.array([0.1, 0.2])
    )
    np.testing.assert_allclose(actions[:, 7:], [[0.5, 1.0, 0.1], [0.0, 0.0, 0.2]])


def test_the_signals_of_a_users_own_rows_have_mean_zero() -> None:
    """Except for the shrinkage towards the overall mean."""
    rng = np.random.default_rng(0)
    users = np.repeat([0, 1], 4000)
    owners, sessions = np.repeat([0, 1], 40), np.repeat(np.arange(80), 100)
    feedback = (rng.random((8000, 7)) < np.where(users == 0, 0.6, 0.1)[:, None]).astype(float)
    actions = row_actions(feedback, np.full(8000, 5.0), np.full(8000, 9.0), np.zeros(8000))
    prediction = rng.normal(size=(8000, KUAIRAND_RULES.num_interactions + 1)) + users[:, None]
    reader = TraceReader.fit(owners, sessions, prediction, actions, num_users=3)
    slate = Slate(
        users=np.array([0, 1]),
        videos=np.zeros((2, 4000), dtype=np.int64),
        mask=np.ones((2, 4000), dtype=np.bool_),
        tabs=np.ones(2, dtype=np.int64),
    )
    signals = reader.signals(slate, prediction, actions)
    np.testing.assert_allclose(signals[:, [CLICKED, IN_VAIN]], 0.0, atol=0.01)
    np.testing.assert_allclose(signals, 0.0, atol=0.03)
    # A user without rows gets the overall mean.
    np.testing.assert_allclose(reader.usual_predictions[2], prediction.mean(axis=0))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.1, 3.0))
def test_a_click_with_a_higher_predicted_like_gives_a_larger_signal(seed: int, more: float) -> None:
    rng = np.random.default_rng(seed)
    reader = TraceReader(np.zeros((1, 6)), np.zeros((1, len(KUAIRAND_RULES.trace_signals))))
    one = np.zeros(1, dtype=np.int64)
    slate = Slate(one, one[:, None], one[:, None] == 0, one)
    feedback = np.zeros((1, 7))
    prediction = rng.normal(size=(1, 6))
    liked = prediction + more
    column = KUAIRAND_RULES.trace_signals.index("clicked_like_logit")
    for clicked in (0.0, 1.0):
        feedback[0, 0] = clicked
        actions = row_actions(feedback, np.ones(1), np.ones(1), np.zeros(1))
        less, greater = (reader.signals(slate, t, actions)[0, column] for t in (prediction, liked))
        assert greater - less == pytest.approx(more * clicked)


def _drawn(seen: FloatArray, every: FloatArray, strength: float) -> float:
    """A mean shrunk to the overall mean by `strength` rows."""
    return float((seen.sum() + strength * every.mean()) / (len(seen) + strength))


def test_strengths_by_hand() -> None:
    """Two users with two sessions each; sessions have two rows, the last one has one row."""
    owners, sessions = np.array([0, 0, 1, 1, 0]), np.array([0, 0, 1, 1, 2, 2, 3])
    values = np.array([[0.0, 1.0, 1.0, 2.0, 5.0, 7.0, 8.0], np.ones(7)]).T
    # Means 0.5, 1.5 | 6, 8: within (2 x 0.25 + 2 x 1) / 2 = 1.25; between users' means 1 and 7,
    # mean square 4 x 9 = 36, k0 = 4 - 8 / 4 = 2, variance 17.375; 7 / 4 rows per session.
    expected = 1.25 / 17.375 * 1.75
    strengths = usual_strengths(owners, sessions, values)
    # Session 4 has no rows. A constant column gets the minimum strength.
    np.testing.assert_allclose(strengths, [expected, 0.01 * 1.75])


def test_users_with_one_session_give_the_default_strength() -> None:
    np.testing.assert_array_equal(
        usual_strengths(np.arange(3), np.array([0, 0, 1, 2]), np.zeros((4, 2))), [20.0, 20.0]
    )


@pytest.mark.parametrize(("between", "within"), [(1.0, 1.0), (0.5, 2.0), (0.0, 1.0)])
def test_strengths_recover_the_variances_and_minimise_the_error_on_new_sessions(
    between: float, within: float
) -> None:
    rng = np.random.default_rng(7)
    num_users, each, rows = 800, 4, 10
    owners = np.repeat(np.arange(num_users), each)
    level = between * rng.normal(size=num_users)
    means = level[owners] + within * rng.normal(size=len(owners))
    sessions = np.repeat(np.arange(len(owners)), rows)
    values = means[sessions][:, None]
    strength = float(usual_strengths(owners, sessions, values)[0])
    if between > 0.0:
        assert strength == pytest.approx(rows * (within / between) ** 2, rel=0.3)
    else:
        assert strength > 20.0 * rows
    new = level + within * rng.normal(size=num_users)

    def error(drawn_by: float) -> float:
        sums = np.bincount(owners, means) * rows
        usual = (sums + drawn_by * means.mean()) / (each * rows + drawn_by)
        return float(((new - usual) ** 2).mean())

    assert error(strength) < error(strength / 10.0)
    if between > 0.0:
        assert error(strength) < error(strength * 10.0)


def test_means_without_a_session_by_hand() -> None:
    rng = np.random.default_rng(3)
    owners = np.array([0, 0, 1, 1])
    sessions = np.array([0, 0, 1, 2, 2, 1])
    prediction = rng.normal(size=(6, KUAIRAND_RULES.num_interactions + 1))
    actions = row_actions(rng.random((6, 7)), np.ones(6), np.ones(6), np.zeros(6))
    reader = TraceReader.fit(owners, sessions, prediction, actions, num_users=2)
    others = reader.without(owners, sessions, prediction, actions)
    # Without session 0, user 0 has rows 2 and 5; without session 2, user 1 has no rows.
    strength = usual_strengths(owners, sessions, prediction)
    expected = prediction[[2, 5]].sum(axis=0) + strength * prediction.mean(axis=0)
    np.testing.assert_allclose(others.usual_predictions[0], expected / (2.0 + strength))
    np.testing.assert_allclose(others.usual_predictions[2], prediction.mean(axis=0))
    # A session without training rows gets its user's mean over all sessions.
    np.testing.assert_allclose(others.usual_predictions[3], reader.usual_predictions[1])
    np.testing.assert_allclose(others.usual_signals[3], reader.usual_signals[1])


def test_traces_of_a_log_against_a_loop() -> None:
    dataset = small_log(num_users=30, num_days=3)
    split = split_by_time(dataset.impressions, SYNTHETIC_PLAN)
    everything = np.ones(len(dataset.impressions.users), dtype=np.bool_)
    log = ReplayedLog.make(dataset, split, everything, UserModelFitConfig())
    model = random_response_model(30, dataset.catalogue)
    _, traces = fit_traces(log, model)
    requests, impressions = log.requests, log.impressions
    session_of_row = requests.sessions[log.request_of_row][log.train]
    numbers, numbered = np.unique(session_of_row, return_inverse=True)
    owners = np.array([impressions.users[log.train][numbered == n][0] for n in range(len(numbers))])
    trained = impressions.feedback[log.train].astype(float)
    clicks = trained[:, 0]
    strengths = usual_strengths(
        owners, numbered, np.stack([clicks, clicks * (1 - trained[:, 1])], axis=1)
    )
    for session in np.unique(requests.sessions)[:20]:
        averages, minutes, clock = np.zeros(len(KUAIRAND_RULES.trace_signals)), np.zeros(2), 0.0
        for request in np.flatnonzero(requests.sessions == session):
            mine = np.flatnonzero(log.request_of_row == request)
            elapsed = float(log.replayed.before.elapsed_seconds[request])
            feedback = impressions.feedback[mine].astype(float)
            # The user's means are over the training rows of the user's other sessions.
            theirs = log.train & (impressions.users == requests.users[request])
            theirs &= requests.sessions[log.request_of_row] != session
            seen = impressions.feedback[theirs].astype(float)
            every = impressions.feedback[log.train].astype(float)
            usual = {
                CLICKED: _drawn(seen[:, 0], every[:, 0], strengths[0]),
                IN_VAIN: _drawn(
                    seen[:, 0] * (1 - seen[:, 1]), every[:, 0] * (1 - every[:, 1]), strengths[1]
                ),
            }
            clicked = feedback[:, 0].mean() - usual[CLICKED]
            in_vain = (feedback[:, 0] * (1 - feedback[:, 1])).mean() - usual[IN_VAIN]
            averages[CLICKED] += 0.25 * (clicked - averages[CLICKED])
            averages[IN_VAIN] += 0.25 * (in_vain - averages[IN_VAIN])
            played = impressions.play_seconds[mine] / 60.0
            beyond = np.maximum(played - 0.3, 0.0)
            minutes = minutes * np.exp(-(elapsed - clock) / 1200.0) + [played.sum(), beyond.sum()]
            clock = elapsed
            columns = [CLICKED, IN_VAIN]
            fitted_averages = traces.averages[request, columns]
            np.testing.assert_allclose(fitted_averages, averages[columns], atol=1e-5)
            np.testing.assert_allclose(traces.minutes[request], minutes, rtol=1e-4, atol=1e-5)


@dataclass(frozen=True)
class LoggedResponses(ResponseModel):
    """A response model with fitted predictions that returns logged responses."""

    answer: Response | None = None

    @override
    def draw(
        self,
        slate: Slate,
        logits: FloatArray,
        fractions: FloatArray,
        episode_rng: EpisodeRng,
        catalogue: VideoCatalogue,
    ) -> Response:
        assert self.answer is not None
        return self.answer


def test_a_simulated_session_has_the_trace_of_the_logged_session() -> None:
    dataset = small_log(num_users=30, num_days=3)
    impressions, catalogue = dataset.impressions, dataset.catalogue
    split = split_by_time(impressions, TimePlan(validation_days=1, validation_fraction=0.0))
    everything = np.ones(len(impressions.users), dtype=np.bool_)
    log = ReplayedLog.make(dataset, split, everything, UserModelFitConfig())
    thinking = random_response_model(30, catalogue)
    tastes = replace(thinking.network, tastes=log.taste_table, first_tags=log.first_tags)
    thinking = replace(thinking, network=tastes)
    reader, traces = fit_traces(log, thinking)
    # A session after the split: neither the user's means nor their tastes include it.
    early = np.isin(log.requests.sessions, log.requests.sessions[log.train_requests])
    longest = log.requests.sessions[np.argmax(np.where(early, -1, log.requests.steps))]
    session = np.flatnonzero(log.requests.sessions == longest)
    assert len(session) > 3
    model = FittedUserModel(
        responses=thinking,
        traces=reader,
        leaving=DeclaredPrior(),
        pausing=DeclaredPrior(),
        returning=DeclaredPrior(),
        hour_fractions=np.full(24, 1.0 / 24.0),
        catalogue=catalogue,
        row_keys=np.zeros(0, dtype=np.uint64),
    )
    episode_rng = EpisodeRng(0, np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64))
    state = model.start(log.requests.users[session[:1]], episode_rng)
    history = start_history(log.replayed.before.hours[session[:1]], catalogue.num_tags)
    for request in session:
        one = select_rows(log.requests, np.array([request]))
        slate, answer = logged_slate(impressions, one)
        logged = LoggedResponses(**vars(thinking), answer=answer)
        response, state = replace(model, responses=logged).respond(
            state, slate, history, episode_rng
        )
        history = advance_history(history, slate, response, catalogue)
        expected = select_rows(traces, np.array([request]))
        np.testing.assert_allclose(state.trace.averages, expected.averages, atol=1e-5)
        np.testing.assert_allclose(state.trace.minutes, expected.minutes, rtol=1e-5)
        history = add_pause(history, one.gap_seconds)
