"""Computes the session traces of a log with the fitted response model."""

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
    predicted_logits,
    row_actions,
    start_trace,
)

__all__ = ["fit_traces"]

REQUESTS_AT_ONCE = 4096


def fit_traces(log: ReplayedLog, model: ResponseModel) -> tuple[TraceReader, SessionTrace]:
    """The trace reader with each user's means, and the trace after every request, (requests,).

    Predictions use the model's tables as of the split, as in the simulator. A session's signals
    are relative to its user's means over the other sessions.
    """
    impressions = log.impressions
    rules = model.rules
    prediction = _predictions(log, model)  # (rows, logits)
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
    training = (owners, sessions, prediction[log.train], actions[log.train])
    reader = TraceReader.fit(*training, num_users=log.dataset.num_users, rules=rules)
    others = reader.without(*training)
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


def _predictions(log: ReplayedLog, model: ResponseModel) -> FloatArray:
    """`predicted_logits` of every shown video, (rows, logits)."""
    impressions = log.impressions
    parts = []
    for requests in _parts(len(log.requests.users)):
        first, last = np.searchsorted(log.request_of_row, [requests[0], requests[-1] + 1])
        duration = impressions.duration_seconds[first:last]
        logits = logged_logits(log, model, requests)
        parts.append(predicted_logits(logits, outcome_fractions(logits, duration), model.rules))
    return np.concatenate(parts)


def _walk(
    log: ReplayedLog, rules: AnswerRules, signals: FloatArray, minutes: FloatArray
) -> SessionTrace:
    """Traces (requests,) after each request, computed step by step for all sessions."""
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
    """Spread rows of shown videos over all slate positions, 0 elsewhere: (positions, columns)."""
    positions = np.zeros((slate.mask.size, rows.shape[1]))
    positions[slate.mask.ravel()] = rows
    return positions
