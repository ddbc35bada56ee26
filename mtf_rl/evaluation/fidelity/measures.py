"""Statistics by which two logs are compared, each with a 95 % CI."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray
from mtf_rl.data.impressions import Impressions
from mtf_rl.evaluation.fidelity.session_log import SessionLog
from mtf_rl.evaluation.fidelity.survival import survival_tally
from mtf_rl.evaluation.intervals import Interval, quantile_interval, ratio_interval

__all__ = [
    "BEYOND",
    "GAPS",
    "MEASURES",
    "PLACE",
    "PLAY_FRACTIONS",
    "POSITIONS",
    "RATES",
    "SESSIONS",
    "DayEnds",
    "Measure",
    "between_std",
    "day_ends",
    "gap_figures",
    "measure_log",
    "next_day_measure",
    "position_name",
    "session_figures",
]

RATES, SESSIONS, GAPS = "Rates per video", "Sessions", "Gaps between requests"
PLACE = "Place in the session"
SEED = 0
BRIEF_SECONDS = 3.0
PLAY_FRACTIONS = (0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
GAP_FRACTIONS = (0.1, 0.5, 0.9)
BEYOND = (1, 5, 10, 20, 40)
POSITIONS = ((1, 1), (2, 3), (4, 7), (8, 15), (16, 31), (32, 10_000))
_RESAMPLES = 200
# Joint rates as (given, feedback), for logs that have both.
_JOINT = (
    ("click", "long_view"),
    ("click", "like"),
    ("long_view", "like"),
    ("like", "follow"),
    ("like", "comment"),
    ("long_view", "comment"),
    ("click", "forward"),
    ("click", "hate"),
)


@dataclass(frozen=True)
class Measure:
    """One statistic of a log."""

    group: str
    name: str
    value: Interval

    @property
    def key(self) -> tuple[str, str]:
        """Group and name, which are the same for this statistic in every log."""
        return self.group, self.name


def measure_log(log: SessionLog) -> list[Measure]:
    """All statistics of a log, in the order of `MEASURES`."""
    return [
        Measure(group, name, value)
        for group, figures in MEASURES.items()
        for name, value in figures(log).items()
    ]


def _rates(log: SessionLog) -> dict[str, Interval]:
    """Feedbacks and watch seconds per video that a ranker selected."""
    shown = log.impressions
    rates = {
        name: _rate(log, log.feedback(name), log.standard) for name in log.tasks.feedback_names
    }
    return rates | {"watch, seconds": _rate(log, shown.play_seconds, log.standard)}


def _scenes(log: SessionLog) -> dict[str, Interval]:
    shown, standard = log.impressions, log.standard
    page = log.two_column
    figures = {}
    for scene, rows in (("feed", standard & ~page), ("two-column page", standard & page)):
        for name in log.played_names:
            figures[f"{scene}: {name}"] = _rate(log, log.feedback(name), rows)
        figures[f"{scene}: watch, seconds"] = _rate(log, shown.play_seconds, rows)
    if shown.randomised.any() and not shown.randomised.all():
        for name in log.played_names:
            rate = _rate(log, log.feedback(name), shown.randomised)
            figures[f"random videos: {name}"] = rate
    return figures


def _joint_rates(log: SessionLog) -> dict[str, Interval]:
    names = log.tasks.feedback_names
    pairs = [pair for pair in _JOINT if set(pair) <= set(names)]
    pairs += [pair for pair in log.tasks.chains if pair not in pairs]
    figures = {}
    for given, name in pairs:
        condition = log.standard & (log.feedback(given) > 0)
        figures[f"{name} after {given}"] = _rate(
            log, log.feedback(name).astype(np.float64), condition
        )
    return figures


def _play(log: SessionLog) -> dict[str, Interval]:
    """Play time in the single-column feed, where videos start automatically."""
    shown = log.impressions
    rows = log.standard & ~log.two_column
    play, users = shown.play_seconds[rows], shown.users[rows]
    figures = {
        f"{fraction:.0%} of plays up to, seconds": quantile_interval(play, users, fraction)
        for fraction in PLAY_FRACTIONS
    }
    brief = (shown.play_seconds > 0) & (shown.play_seconds < BRIEF_SECONDS)
    figures["not played"] = _rate(log, shown.play_seconds == 0, rows)
    figures["played under 3 s"] = _rate(log, brief, rows)
    figures["played to the end"] = _rate(
        log, shown.play_seconds >= np.maximum(shown.duration_seconds, 1e-3), rows
    )
    return figures


def _sessions(log: SessionLog) -> dict[str, Interval]:
    return session_figures(log, log.last_requests)


def session_figures(log: SessionLog, left: FloatArray | BoolArray) -> dict[str, Interval]:
    """Statistics of session length.

    Args:
        log: the sessions. Requests whose follow-up the log does not show are not counted.
        left: whether the user left after each request, or the probability of it, (requests,).
    """
    known = log.followed_up
    tally = survival_tally(log.users_of_requests, log.step_of_request, known, left)
    mean, beyond = tally.intervals(BEYOND, SEED)
    figures = {
        "leaves after a request": ratio_interval(
            left * known.astype(np.float64), known.astype(np.float64), log.users_of_requests
        ),
        "requests, mean": mean,
    }
    figures |= {f"more than {step} request{'s'[: step > 1]}": beyond[step] for step in BEYOND}
    return figures


def _gaps(log: SessionLog) -> dict[str, Interval]:
    return gap_figures(log, log.gap_seconds)


def gap_figures(log: SessionLog, gap_seconds: FloatArray) -> dict[str, Interval]:
    """Quantiles of `gap_seconds` (requests,), without the last requests of sessions."""
    known = ~log.last_requests
    gaps, users = gap_seconds[known], log.users_of_requests[known]
    return {
        f"{fraction:.0%} of gaps up to, seconds": quantile_interval(gaps, users, fraction)
        for fraction in GAP_FRACTIONS
    }


def _positions(log: SessionLog) -> dict[str, Interval]:
    shown = log.impressions
    positions = 1 + log.step_of_request[log.request_of_row]
    figures = {}
    quantities = ((log.interest_name, log.interest), ("watch, seconds", shown.play_seconds))
    for name, values in quantities:
        for first, last in POSITIONS:
            rows = log.standard & (positions >= first) & (positions <= last)
            figures[f"{name} in {position_name(first, last)}"] = _rate(log, values, rows)
    return figures


def position_name(first: int, last: int) -> str:
    """A label for the requests `first` to `last` of a session, counted from 1."""
    if first == last:
        return f"request {first}"
    return f"requests {first}-{last}" if last < POSITIONS[-1][1] else f"requests {first} on"


def _spreads(log: SessionLog) -> dict[str, Interval]:
    """Std between users, and between sessions, without the sampling noise of videos."""
    shown, rows = log.impressions, log.standard
    users = shown.users[rows]
    sessions = log.session_of_row[rows]
    click, name = log.interest[rows].astype(np.float64), log.interest_name
    watch = shown.play_seconds[rows].astype(np.float64)
    return {
        f"{name} rate, users' std": between_std(click, users, users),
        "watch seconds, users' std": between_std(watch, users, users),
        f"{name} rate, sessions' std": between_std(click, sessions, users),
    }


def _repetition(log: SessionLog) -> dict[str, Interval]:
    later = log.standard & (log.step_of_request[log.request_of_row] > 0)
    click, name = log.interest, log.interest_name
    return {
        "tag repeats the last request's": _rate(log, log.repeated, later),
        f"{name} on a repeated tag": _rate(log, click, later & log.repeated),
        f"{name} on a fresh tag": _rate(log, click, later & ~log.repeated),
    }


MEASURES: dict[str, Callable[[SessionLog], dict[str, Interval]]] = {
    RATES: _rates,
    "Rates by scene": _scenes,
    "Joint rates": _joint_rates,
    "Play time in the feed": _play,
    SESSIONS: _sessions,
    GAPS: _gaps,
    PLACE: _positions,
    "Spread": _spreads,
    "Tag repetition": _repetition,
}


def _rate(log: SessionLog, values: FloatArray | IntArray | BoolArray, rows: BoolArray) -> Interval:
    """The mean of `values` (rows,) over the rows of a mask (rows,)."""
    selected = rows.astype(np.float64)
    return ratio_interval(values * selected, selected, log.impressions.users)


def between_std(values: FloatArray, groups: IntArray, users: IntArray) -> Interval:
    """The std between groups, corrected for sampling noise within groups.

    With n_g rows in each of G groups, n in all, MSW the variance within groups and MSB the
    variance of means weighted by n_g: (MSB - MSW) / n0, n0 = (n - sum n_g^2 / n) / (G - 1), is
    the variance between groups (one-way random effects by moments; Searle et al. 1992, section
    3.6), clipped at 0. The interval resamples users. It is NaN with fewer than two groups, or if
    no group has two rows.

    Args:
        values: (rows,).
        groups: group of each row, (rows,); all rows of a group belong to one user.
        users: user of each row, (rows,).
    """
    _, members = np.unique(groups, return_inverse=True)
    counts = np.bincount(members).astype(np.float64)  # (groups,)
    sums = np.bincount(members, weights=values)
    squares = np.bincount(members, weights=values**2)
    owner = np.zeros(len(counts), dtype=np.int64)
    owner[members] = users
    _, owner = np.unique(owner, return_inverse=True)
    table = np.stack([np.ones_like(counts), counts, counts**2, sums, squares, sums**2 / counts])
    by_user = np.stack([np.bincount(owner, weights=row) for row in table], axis=1)  # (users, 6)
    rng = np.random.default_rng(SEED)
    size = len(by_user)
    drawn = [by_user[rng.integers(size, size=size)].sum(axis=0) for _ in range(_RESAMPLES)]
    stds = np.array([_std(totals) for totals in drawn])
    point = _std(by_user.sum(axis=0))
    if np.isnan(point) or np.isnan(stds).all():
        return Interval(point, -np.inf, np.inf)
    low, high = np.nanquantile(stds, [0.025, 0.975])
    return Interval(point, float(low), float(high))


def _std(totals: FloatArray) -> float:
    """The std from sums over groups of 1, n, n^2, sum x, sum x^2 and (sum x)^2 / n."""
    groups, rows, squared_rows, total, squares, explained = totals
    if groups < 2 or rows <= groups:
        return float("nan")
    within = (squares - explained) / (rows - groups)
    between = (explained - total**2 / rows) / (groups - 1)
    size = (rows - squared_rows / rows) / (groups - 1)
    return float(np.sqrt(max((between - within) / size, 0.0)))


@dataclass(frozen=True)
class DayEnds:
    """Users' last sessions on some days, and whether the users were active on the next day."""

    users: IntArray  # (day ends,)
    sessions: IntArray  # (day ends,), session numbers of the log
    returned: BoolArray  # (day ends,)


def day_ends(impressions: Impressions, days: IntArray) -> DayEnds:
    """The last session of each user on each of `days`; a session counts for the day it ends on."""
    last_rows = np.append(np.diff(impressions.sessions) != 0, np.ones(1, dtype=np.bool_))
    ends = np.flatnonzero(last_rows)  # (sessions,)
    span = int(impressions.days.max()) + 2
    codes = impressions.users[ends].astype(np.int64) * span + impressions.days[ends]
    last_of_day = np.append(codes[1:] != codes[:-1], np.ones(1, dtype=np.bool_))
    chosen = last_of_day & np.isin(impressions.days[ends], days)
    active = np.unique(impressions.users.astype(np.int64) * span + impressions.days)
    return DayEnds(
        users=impressions.users[ends][chosen],
        sessions=impressions.sessions[ends][chosen],
        returned=np.isin(codes[chosen] + 1, active),
    )


def next_day_measure(ends: DayEnds, returned: FloatArray | BoolArray | None = None) -> Measure:
    """The rate of activity on the next day.

    Args:
        ends: last sessions of days.
        returned: whether the user was active on the next day, or the probability of it, (day
            ends,); the log's own values by default.
    """
    activity = ends.returned if returned is None else returned
    ones = np.ones(len(ends.users))
    return Measure(
        "Return",
        "active on the next day",
        ratio_interval(activity.astype(np.float64), ones, ends.users)
        if len(ends.users)
        else Interval(np.nan, -np.inf, np.inf),
    )
