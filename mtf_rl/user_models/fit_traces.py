"""The traces that logged sessions left, read with the fitted responses."""

from dataclasses import fields

import numpy as np

from mtf_rl.core.arrays import FloatArray, IntArray, select_rows
from mtf_rl.core.slates import Response, Slate
from mtf_rl.user_models.answer_rules import AnswerRules
from mtf_rl.user_models.calibration import logged_logits
from mtf_rl.user_models.fit_log import ReplayedLog
from mtf_rl.user_models.play import outcome_fractions
from mtf_rl.user_models.replay import logged_slate, session_chunks
from mtf_rl.user_models.responses import ResponseModel
from mtf_rl.user_models.traces import (
    NUM_MINUTES,
    SessionTrace,
    TraceReader,
    advance_trace,
    long_minutes,
    row_actions,
    start_trace,
    thoughts_of,
)

__all__ = ["fit_traces"]

REQUESTS_AT_ONCE = 4096


def fit_traces(log: ReplayedLog, model: ResponseModel) -> tuple[TraceReader, SessionTrace]:
    """What is usual for each user, and the trace after every logged request, (requests,).

    Responses are those of the model as it runs, with its tables as of the split, as in the
    simulator. What is usual for a session's user is what their other sessions say.
    """
    impressions = log.impressions
    rules = model.rules
    prediction = _thoughts(log, model)  # (rows, thoughts)
    actions = row_actions(
        impressions.feedback.astype(np.float64),
        impressions.play_seconds,
        impressions.duration_seconds,
        log.replayed.overlap[log.request_of_row, log.position_of_row],
        rules,
    )
    _, first_requests, session_of_request = np.unique(
        log.requests.sessions, return_index=True, return_inverse=True
    )
    owners = log.requests.users[first_requests]  # (sessions,)
    sessions = session_of_request[log.request_of_row[log.train]]  # (training rows,)
    known = (owners, sessions, prediction[log.train], actions[log.train])
    reader = TraceReader.fit(*known, num_users=log.dataset.num_users, rules=rules)
    others = reader.without(*known)
    signals = np.empty((len(log.requests.users), reader.usual_signals.shape[1]))
    minutes = np.empty((len(signals), NUM_MINUTES))
    for requests in _parts(len(signals)):
        slate, response = _logged(log, requests)
        first, last = np.searchsorted(log.request_of_row, [requests[0], requests[-1] + 1])
        usual = others.of(session_of_request[requests])
        signals[requests] = usual.signals_by_row(
            slate,
            _on_slates(prediction[first:last], slate),
            _on_slates(actions[first:last], slate),
        )
        minutes[requests] = long_minutes(slate, response, rules)
    return reader, _walk(log, rules, signals, minutes)


def _thoughts(log: ReplayedLog, model: ResponseModel) -> FloatArray:
    """What the model thought of every shown video, (rows, thoughts)."""
    impressions = log.impressions
    parts = []
    for requests in _parts(len(log.requests.users)):
        first, last = np.searchsorted(log.request_of_row, [requests[0], requests[-1] + 1])
        duration = impressions.duration_seconds[first:last]
        logits = logged_logits(log, model, requests)
        parts.append(thoughts_of(logits, outcome_fractions(logits, duration), model.rules))
    return np.concatenate(parts)


def _walk(
    log: ReplayedLog, rules: AnswerRules, signals: FloatArray, minutes: FloatArray
) -> SessionTrace:
    """Traces (requests,) after each request, one request of all sessions at a time."""
    traces = start_trace(len(signals), rules)
    for chunk in session_chunks(log.requests):
        trace = start_trace(len(chunk[0]), rules)
        for requests in chunk:
            trace = select_rows(trace, np.arange(len(requests)))
            elapsed = log.replayed.before.elapsed_seconds[requests]
            trace = advance_trace(trace, signals[requests], minutes[requests], elapsed)
            for field in fields(SessionTrace):
                getattr(traces, field.name)[requests] = getattr(trace, field.name)
    return traces


def _logged(log: ReplayedLog, requests: IntArray) -> tuple[Slate, Response]:
    return logged_slate(log.dataset.impressions, select_rows(log.requests, requests))


def _parts(count: int) -> list[IntArray]:
    return np.split(np.arange(count), range(REQUESTS_AT_ONCE, count, REQUESTS_AT_ONCE))


def _on_slates(rows: FloatArray, slate: Slate) -> FloatArray:
    """Rows of the shown places to all places, (num_envs * slate, columns), others 0."""
    positions = np.zeros((slate.mask.size, rows.shape[1]))
    positions[slate.mask.ravel()] = rows
    return positions
