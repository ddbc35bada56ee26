"""Treatment of session starts and ends in the value of a policy."""

from dataclasses import replace

import numpy as np

from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.errors import DataError
from mtf_rl.data.transitions import Transitions

__all__ = ["check_starts", "check_value_exists", "end_at_cut"]


def end_at_cut(transitions: Transitions) -> Transitions:
    """The same rows, terminated at the last request of every session, left or cut.

    The session reward J sums rewards up to `max_requests`. In `Transitions`, a cut session
    bootstraps as if the user had stayed, so a fitted value includes reward after the cut. This
    function removes that reward, as far as the observation shows how near the cut is.
    """
    rows = np.arange(len(transitions))
    order = np.lexsort((transitions.requests, transitions.sessions))
    sessions = transitions.sessions[order]
    last = rows[order][np.append(sessions[1:] != sessions[:-1], True)]
    return replace(transitions, terminated=np.isin(rows, last), is_checked=True)


def check_value_exists(transitions: Transitions, gamma: float) -> None:
    """Refuse an undiscounted value of sessions that never end.

    Raises:
        DataError: if gamma is 1 and no row is terminated.
    """
    if gamma == 1.0 and not transitions.terminated.any():
        raise DataError(
            "gamma = 1 needs sessions that end, but none of the"
            f" {len(transitions)} rows is terminated; use gamma < 1, or end_at_cut(transitions)"
        )


def check_starts(first_observations: FloatArray) -> None:
    """Refuse a mean over zero sessions.

    Raises:
        DataError: if first observations (sessions, obs_dim) have no row.
    """
    if len(first_observations) == 0:
        raise DataError("a value needs the first observation of at least one session, got none")
