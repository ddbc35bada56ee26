"""One-step-ahead responses of a simulator to the slates of a log."""

from dataclasses import dataclass, replace

import numpy as np

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray, select_rows
from mtf_rl.core.history import add_pause, advance_history
from mtf_rl.core.randomness import EpisodeRng, Purpose
from mtf_rl.data.impressions import Impressions
from mtf_rl.user_models import FittedUserModel
from mtf_rl.user_models.replay import (
    LoggedRequests,
    first_history,
    group_requests,
    logged_slate,
    session_chunks,
)

__all__ = ["AnsweredLog", "answer_log"]

_ALL = np.iinfo(np.int64).max


@dataclass(frozen=True)
class AnsweredLog:
    """The simulator's responses to logged slates, in the order of the log.

    Each response is to the logged slate after the logged history. The simulator's own responses
    do not enter the history.
    """

    impressions: Impressions  # the log's rows, with the simulator's feedback and play
    chances: FloatArray  # (rows, feedbacks), probabilities; see ResponseModel.chances
    leave_chances: FloatArray  # (requests,), probability of leaving after the logged response
    return_chances: FloatArray  # (requests,), probability to be active on the next day, if left
    pause_seconds: FloatArray  # (requests,), sampled

    def take(self, rows: BoolArray, requests: BoolArray) -> "AnsweredLog":
        """The responses at the rows of a mask (rows,), whose requests are the mask `requests`."""
        return AnsweredLog(
            impressions=select_rows(self.impressions, rows),
            chances=self.chances[rows],
            leave_chances=self.leave_chances[requests],
            return_chances=self.return_chances[requests],
            pause_seconds=self.pause_seconds[requests],
        )


def answer_log(model: FittedUserModel, impressions: Impressions, *, seed: int) -> AnsweredLog:
    """Sample the model's response to every slate of `impressions`, which hold whole sessions.

    Random numbers are a function of (seed, session, request), so a session's responses do not
    depend on the other sessions of the log.
    """
    every_row = np.ones(len(impressions.users), dtype=np.bool_)
    requests = group_requests(impressions, every_row, max_requests=_ALL, max_slate=_ALL)
    answered = AnsweredLog(
        impressions=replace(
            impressions,
            feedback=np.zeros_like(impressions.feedback),
            play_seconds=np.zeros_like(impressions.play_seconds),
        ),
        chances=np.zeros((len(impressions.users), len(model.tasks.feedbacks))),
        leave_chances=np.zeros(len(requests.users)),
        return_chances=np.zeros(len(requests.users)),
        pause_seconds=np.zeros(len(requests.users)),
    )
    for chunk in session_chunks(requests):
        _answer_sessions(model, impressions, requests, chunk, answered, seed)
    return answered


def _answer_sessions(
    model: FittedUserModel,
    impressions: Impressions,
    requests: LoggedRequests,
    chunk: list[IntArray],
    answered: AnsweredLog,
    seed: int,
) -> None:
    """Process a chunk of sessions in parallel and write the responses into `answered`."""
    catalogue = model.catalogue
    history = first_history(requests, chunk[0], catalogue.num_tags, model.rules.schema)
    users = requests.users[chunk[0]]
    state = model.start(users, EpisodeRng(seed, requests.sessions[chunk[0]], np.zeros_like(users)))
    for index in chunk:
        continuing = np.arange(len(index))
        history, state = select_rows(history, continuing), select_rows(state, continuing)
        current = select_rows(requests, index)
        slate, logged = logged_slate(impressions, current)
        rng = EpisodeRng(seed, current.sessions, current.steps)
        prediction = model.predict(slate, history)
        parameters = prediction.logits, prediction.fractions
        sample = model.responses.draw(slate, *parameters, rng, catalogue)
        chances = model.responses.chances(slate, *parameters, logged.watch_seconds, catalogue)
        rows = current.rows[current.mask]
        answered.impressions.feedback[rows] = sample.feedback[current.mask]
        answered.impressions.play_seconds[rows] = sample.watch_seconds[current.mask]
        answered.chances[rows] = chances[current.mask]
        state = model.update_state(state, slate, history, prediction, logged)
        history = advance_history(history, slate, logged, catalogue)
        trace = state.trace
        answered.leave_chances[index] = model.leaving.leave_probability(slate.users, history, trace)
        answered.return_chances[index] = model.returning.return_probabilities(
            slate.users, history, trace
        )[:, 0]
        answered.pause_seconds[index] = model.pausing.pause_seconds(
            history, rng.uniforms(Purpose.PAUSE, 1)[:, 0]
        )
        history = add_pause(history, current.gap_seconds)
