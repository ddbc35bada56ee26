"""Sessions of a log, each paired with the next session of the same user."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray, check_shape, select_rows
from mtf_rl.core.errors import DataError
from mtf_rl.core.tasks import KUAIRAND_TASKS, TaskSet
from mtf_rl.data import Impressions

__all__ = [
    "CONTROLS",
    "WATCH_MINUTE",
    "SessionPanel",
    "SessionSummary",
    "session_panel",
]

WATCH_MINUTE = "watch_minute"
CONTROLS = (
    "shown_video",
    "session_number",
    "hour_sine",
    "hour_cosine",
    "half_day_sine",
    "half_day_cosine",
)

NOTHING_FOLLOWS = "the last session of its user in the log"
CUT_AFTER = "the next session may continue after the end of the log"
CUT_BEFORE = "the session may have begun before the start of the log"


@dataclass(frozen=True)
class SessionSummary:
    """Numbers of kept and excluded sessions; sessions = kept + left out."""

    sessions: int
    kept: int
    left_out: Mapping[str, int]
    """Number of excluded sessions by reason."""

    def __post_init__(self) -> None:
        accounted = self.kept + sum(self.left_out.values())
        assert self.sessions == accounted, f"{self.sessions} != {accounted} sessions"


@dataclass(frozen=True)
class SessionPanel:
    """Inputs and controls of sessions, and the outcome in the next session of the same user.

    Sessions of a user are in order of time.

    Raises:
        ShapeError: if the arrays differ in the number of sessions.
    """

    users: IntArray  # (sessions,)
    inputs: FloatArray  # (sessions, inputs) float64: counts of feedbacks, minutes of play
    controls: FloatArray  # (sessions, controls) float64
    outcome: FloatArray  # (sessions,) float64: minutes of play in the next session
    account: SessionSummary
    tasks: TaskSet = KUAIRAND_TASKS
    """Tasks of the log."""

    def __post_init__(self) -> None:
        sessions = len(self.users)
        expected = (sessions, len(self.input_names))
        check_shape("inputs", self.inputs, "sessions, inputs", expected)
        check_shape("controls", self.controls, "sessions, controls", (sessions, len(CONTROLS)))
        check_shape("outcome", self.outcome, "sessions", (sessions,))

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs: the feedbacks, then `watch_minute`."""
        return (*self.tasks.feedback_names, WATCH_MINUTE)

    def select(self, kept: BoolArray, reason: str) -> "SessionPanel":
        """The sessions of the mask `kept` (sessions,); the others are left out for `reason`."""
        left_out = {**self.account.left_out, reason: int((~kept).sum())}
        account = SessionSummary(self.account.sessions, int(kept.sum()), left_out)
        return replace(select_rows(self, kept), account=account)


def session_panel(
    impressions: Impressions, *, session_gap_minutes: float, tasks: TaskSet = KUAIRAND_TASKS
) -> SessionPanel:
    """All sessions with a complete next session of the same user in the log.

    Inputs are the session's count of each feedback and its minutes of play. Controls are the number
    of videos shown, the index of the session among those of its user, and two harmonics of the
    hour at which it began. A session within the gap of the start or the end of the log may be
    incomplete, so it is excluded as an input at the start and as an outcome at the end.

    Args:
        impressions: rows of the log.
        session_gap_minutes: gap between sessions, in minutes.
        tasks: tasks of the log.

    Raises:
        DataError: if no session remains.
    """
    times_ms, gap_ms = impressions.times_ms, session_gap_minutes * 60_000
    _, first = np.unique(impressions.sessions, return_index=True)  # (sessions,) rows
    last = np.append(first[1:], len(impressions.sessions)) - 1
    users = impressions.users[first]
    minutes = np.add.reduceat(impressions.play_seconds.astype(np.float64), first) / 60.0
    follows = np.append(users[1:] == users[:-1], False)
    runs_into_end = times_ms[last] > times_ms.max() - gap_ms
    unfit = {
        NOTHING_FOLLOWS: ~follows,
        CUT_AFTER: np.append(runs_into_end[1:], False),
        CUT_BEFORE: times_ms[first] < times_ms.min() + gap_ms,
    }
    kept = np.ones(len(first), dtype=np.bool_)
    left_out = {}
    for reason, mask in unfit.items():
        left_out[reason] = int((kept & mask).sum())
        kept &= ~mask
    if not kept.any():
        raise DataError(
            f"none of the log's {len(first)} sessions has a complete next session of the same"
            " user; give a longer log"
        )
    counts = np.add.reduceat(
        impressions.feedback.astype(np.int64), first, axis=0
    )  # (sessions, feedbacks)
    return SessionPanel(
        users=users[kept],
        inputs=np.column_stack([counts, minutes])[kept],
        controls=_controls(impressions, first, last)[kept],
        outcome=np.append(minutes[1:], 0.0)[kept],
        account=SessionSummary(len(first), int(kept.sum()), left_out),
        tasks=tasks,
    )


def _controls(impressions: Impressions, first: IntArray, last: IntArray) -> FloatArray:
    """Controls in the order of `CONTROLS`, (sessions, controls).

    `first` and `last` are the sessions' first and last rows.
    """
    _, starts, counts = np.unique(impressions.users[first], return_index=True, return_counts=True)
    number = np.arange(len(first)) - np.repeat(starts, counts)
    angle = impressions.hours[first] * (2.0 * np.pi / 24.0)
    harmonics = np.sin(angle), np.cos(angle), np.sin(2.0 * angle), np.cos(2.0 * angle)
    return np.column_stack([last - first + 1, number, *harmonics])
