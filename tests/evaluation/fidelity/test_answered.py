"""A log answered one step ahead: by hand, and deaf to the simulator's own answers."""

from dataclasses import replace

import numpy as np
import pytest

from mtf_rl.core.arrays import select_rows
from mtf_rl.core.history import add_pause, advance_history, start_history
from mtf_rl.core.randomness import EpisodeRng
from mtf_rl.core.slates import Response, Slate
from mtf_rl.evaluation.fidelity import (
    REPLAY,
    answer_log,
    replay_curves,
    replay_distances,
    replay_measures,
    replay_reliabilities,
)
from mtf_rl.user_models import FittedUserModel
from tests.evaluation.fidelity.examples import lawful_log, random_model


@pytest.fixture(scope="module", name="model")
def fixed_model() -> FittedUserModel:
    return random_model()


def test_a_session_by_hand(model: FittedUserModel) -> None:
    log = lawful_log()
    impressions = log.impressions
    session = int(np.argmax(log.requests_per_session == 4))
    answered = answer_log(model, impressions, seed=5)
    number = impressions.sessions[log.session_of_row == session][0]
    history, state = None, None
    for step in range(4):
        request = log.session_starts[session] + step
        rows = np.flatnonzero(log.request_of_row == request)
        users = impressions.users[rows[:1]]
        rng = EpisodeRng(5, np.array([number]), np.array([step]))
        if history is None:
            hours = (impressions.times_ms[rows[:1]] / 3_600_000 + 8) % 24
            history, state = (
                start_history(hours, model.catalogue.num_tags),
                model.start(users, rng),
            )
        assert state is not None
        slate = Slate(
            users, impressions.videos[rows][None], np.ones((1, len(rows)), bool), np.array([1])
        )
        logged = Response(
            impressions.feedback[rows][None].astype(np.float32),
            impressions.play_seconds[rows][None],
        )
        response, _ = model.respond(state, slate, history, rng)
        np.testing.assert_array_equal(answered.impressions.feedback[rows], response.feedback[0])
        np.testing.assert_array_equal(
            answered.impressions.play_seconds[rows], response.watch_seconds[0]
        )
        state = model.update_state(state, slate, history, model.predict(slate, history), logged)
        history = advance_history(history, slate, logged, model.catalogue)
        leaves = model.leaving.leave_probability(users, history, state.trace)
        assert answered.leave_chances[request] == leaves[0]
        assert answered.pause_seconds[request] == model.pause_seconds(state, history, rng)[0]
        history = add_pause(history, np.nan_to_num(log.gap_seconds[[request]]))


def test_what_the_log_answered_counts_only_afterwards(model: FittedUserModel) -> None:
    log = lawful_log()
    impressions = log.impressions
    changed = replace(impressions, feedback=1 - impressions.feedback)
    first, second = (answer_log(model, rows, seed=0) for rows in (impressions, changed))
    opening = log.step_of_request[log.request_of_row] == 0
    np.testing.assert_array_equal(
        first.impressions.play_seconds[opening], second.impressions.play_seconds[opening]
    )
    assert (first.chances[~opening] != second.chances[~opening]).any()
    assert (first.leave_chances != second.leave_chances).all()


def test_a_session_is_answered_alike_in_any_company(model: FittedUserModel) -> None:
    log = lawful_log()
    whole = answer_log(model, log.impressions, seed=1)
    chosen = np.arange(len(log.session_starts)) % 3 == 0
    rows, requests = chosen[log.session_of_row], chosen[log.session_of_request]
    part = answer_log(model, select_rows(log.impressions, rows), seed=1)
    kept = whole.take(rows, requests)
    np.testing.assert_array_equal(part.impressions.feedback, kept.impressions.feedback)
    np.testing.assert_allclose(part.chances, kept.chances)
    np.testing.assert_allclose(part.leave_chances, kept.leave_chances)


def test_drawn_answers_follow_the_chances(model: FittedUserModel) -> None:
    log = lawful_log()
    answered = answer_log(model, log.impressions, seed=2)
    for column in (0, 1):
        chances = answered.chances[:, column]
        error = np.sqrt((chances * (1 - chances)).sum())
        drawn = answered.impressions.feedback[:, column].sum()
        assert abs(drawn - chances.sum()) < 4.5 * error


def test_declared_parts_are_not_compared(model: FittedUserModel) -> None:
    log = lawful_log()
    answered = answer_log(model, log.impressions, seed=0)
    everything = replay_measures(log, answered, declared=())
    assert {entry.name for entry in everything} >= {"requests, mean", "50% of gaps up to, seconds"}
    rest = replay_measures(log, answered, declared=("leaving", "pausing"))
    assert not {"Sessions", "Gaps between requests"} & {entry.group for entry in rest}
    names = {entry.name for entry in replay_distances(log, answered, declared=("leaving",))}
    assert "requests of a session" not in names
    assert "gap between requests, seconds" in names
    parts = [
        entry.part for entry in replay_reliabilities(log, answered, declared=("leaving",), seed=0)
    ]
    assert parts[:2] == ["click", "long_view"]
    assert "leaving" not in parts
    assert replay_reliabilities(log, answered, declared=(), seed=0)[-1].part == "leaving"
    assert {curve.source for curve in replay_curves(REPLAY, log, answered)} == {REPLAY}
