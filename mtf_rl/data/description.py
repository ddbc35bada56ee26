"""Summary statistics of a log, and the limits set by missing data."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtf_rl.data.dataset import Dataset
from mtf_rl.data.impressions import Impressions
from mtf_rl.data.labels import base_rates
from mtf_rl.data.schema import FileKind

__all__ = ["Description", "describe", "single_request_fraction"]

_PERCENTILES = (10, 25, 50, 75, 90, 99)
_FRAGMENTED = 0.5


@dataclass(frozen=True)
class TabRates:
    """Row count and label rates of one tab, or of all tabs."""

    tab: str
    rows: int
    rates: Mapping[str, float]
    """Mean label of each task."""


@dataclass(frozen=True)
class Quantiles:
    """Count, mean and percentiles of a quantity."""

    count: int
    mean: float
    percentiles: Mapping[str, float]


@dataclass(frozen=True)
class Description:
    """Summary of a log that `prepare` prints and writes."""

    files: tuple[Mapping[str, Any], ...]
    rows_read: int
    rows_kept: int
    dropped: Mapping[str, int]
    repaired: Mapping[str, int]
    random_rows: int
    users: int
    users_in_log: int
    users_without_features: int
    videos: int
    videos_in_log: int
    videos_without_features: int
    durations_from_log: int
    durations_from_median: int
    first_day: str
    last_day: str
    tabs: tuple[TabRates, ...]
    requests: int
    rows_per_request: Quantiles
    sessions: int
    requests_per_session: Quantiles
    single_request_fraction: float
    gap_seconds: Quantiles
    """Seconds between consecutive requests of a session."""
    watch_seconds: Quantiles
    zero_watch_fraction: float
    limits: tuple[str, ...]
    """Missing data and its consequences, one sentence each."""

    def to_json(self) -> dict[str, Any]:
        """A JSON document of all fields."""
        return asdict(self)

    def to_markdown(self) -> str:
        """A Markdown page."""
        sections = [
            ("Files", _table(("file", "kind", "rows", "ignored columns"), self._file_rows())),
            ("Rows", _table(("what", "count"), self._count_rows())),
            ("Rates by tab", _table(("tab", "rows", *self.tabs[0].rates), self._rate_rows())),
            ("Requests and sessions", _table(_QUANTILE_HEADER, self._quantile_rows())),
            ("Missing data", "\n".join(f"- {limit}" for limit in self.limits) or "None."),
        ]
        body = "\n\n".join(f"## {title}\n\n{text}" for title, text in sections)
        return f"# Data, {self.first_day} to {self.last_day}\n\n{body}\n"

    def _file_rows(self) -> list[tuple[str, ...]]:
        return [
            (file["name"], file["kind"], f"{file['rows']:,}", ", ".join(file["ignored_columns"]))
            for file in self.files
        ]

    def _count_rows(self) -> list[tuple[str, ...]]:
        counts = {
            "rows read": self.rows_read,
            **{f"dropped: {reason}": rows for reason, rows in self.dropped.items()},
            "rows kept": self.rows_kept,
            **{f"kept, repaired: {reason}": rows for reason, rows in self.repaired.items()},
            "kept, random exposures": self.random_rows,
            "users": self.users,
            "users in the log": self.users_in_log,
            "users without features": self.users_without_features,
            "videos": self.videos,
            "videos in the log": self.videos_in_log,
            "videos without features": self.videos_without_features,
            "durations filled from the log": self.durations_from_log,
            "durations filled with the median": self.durations_from_median,
        }
        return [(name, f"{count:,}") for name, count in counts.items()]

    def _rate_rows(self) -> list[tuple[str, ...]]:
        return [
            (line.tab, f"{line.rows:,}", *(f"{rate:.4f}" for rate in line.rates.values()))
            for line in self.tabs
        ]

    def _quantile_rows(self) -> list[tuple[str, ...]]:
        quantities = {
            "rows per request": self.rows_per_request,
            "requests per session": self.requests_per_session,
            "gap in a session, s": self.gap_seconds,
            "watch time per row, s": self.watch_seconds,
        }
        return [
            (name, f"{q.count:,}", f"{q.mean:.2f}", *(f"{v:.1f}" for v in q.percentiles.values()))
            for name, q in quantities.items()
        ]


_QUANTILE_HEADER = ("what", "count", "mean", *(f"p{number}" for number in _PERCENTILES))


def describe(dataset: Dataset) -> Description:
    """Compute the summary of a dataset."""
    impressions, account = dataset.impressions, dataset.account
    request_rows = np.flatnonzero(np.diff(impressions.requests, prepend=-1))  # first row of each
    session_of = impressions.sessions[request_rows]
    gaps_ms = np.diff(impressions.times_ms[request_rows])[np.diff(session_of) == 0]
    play_seconds = impressions.play_seconds
    first_day, last_day = (
        str(np.datetime64(int(day), "D"))
        for day in (impressions.days.min(), impressions.days.max())
    )
    return Description(
        files=tuple(asdict(file) for file in dataset.files),
        rows_read=account.rows_read,
        rows_kept=account.rows_kept,
        dropped=account.dropped,
        repaired=account.repaired,
        random_rows=int(impressions.randomised.sum()),
        users=dataset.num_users,
        users_in_log=len(np.unique(impressions.users)),
        users_without_features=int((~dataset.users.known).sum()),
        videos=dataset.num_videos,
        videos_in_log=len(np.unique(impressions.videos)),
        videos_without_features=int((~dataset.videos.known).sum()),
        durations_from_log=dataset.duration_fills.from_log,
        durations_from_median=dataset.duration_fills.from_median,
        first_day=first_day,
        last_day=last_day,
        tabs=_tab_rates(dataset),
        requests=len(request_rows),
        rows_per_request=_quantiles(np.diff([*request_rows, len(play_seconds)])),
        sessions=len(np.unique(session_of)),
        requests_per_session=_quantiles(np.unique(session_of, return_counts=True)[1]),
        single_request_fraction=single_request_fraction(impressions),
        gap_seconds=_quantiles(gaps_ms / 1000.0),
        watch_seconds=_quantiles(play_seconds),
        zero_watch_fraction=float((play_seconds == 0).mean()),
        limits=tuple(_limits(dataset)),
    )


def single_request_fraction(impressions: Impressions) -> float:
    """The fraction of sessions with a single request; above 0.5, sessions count as fragments.

    It is 87 % in KuaiRand-Pure, which has 0.45 % of the videos that a user saw.
    """
    first_rows = np.flatnonzero(np.diff(impressions.requests, prepend=-1))
    _, requests = np.unique(impressions.sessions[first_rows], return_counts=True)
    return float((requests == 1).mean())


def _limits(dataset: Dataset) -> list[str]:
    limits = []
    if not dataset.impressions.randomised.any():
        limits.append(
            "No random exposures: every evaluation on the log depends on the logging policy."
        )
    if dataset.impressions.randomised.all():
        limits.append("Random exposures only: the log has no rows of the regular feed.")
    fraction = single_request_fraction(dataset.impressions)
    if fraction > _FRAGMENTED:
        limits.append(
            f"Sessions are fragments ({fraction:.0%} have one request): models of leaving and"
            " return cannot be fitted, so a declared prior is used."
        )
    if not dataset.has_file(FileKind.USER_FEATURES):
        limits.append("No user features: inputs are user ids and past feedback only.")
    if not dataset.has_file(FileKind.VIDEO_FEATURES_BASIC):
        limits.append("No video features: no tags, authors or ages; durations come from the log.")
    if dataset.has_file(FileKind.VIDEO_FEATURES_STATISTIC):
        limits.append(
            "The video statistics file is not used: it averages over the whole month, including"
            " the test days."
        )
    return limits


def _tab_rates(dataset: Dataset) -> tuple[TabRates, ...]:
    impressions, tasks = dataset.impressions, dataset.tasks
    masks = {"all": np.ones(len(impressions.tabs), dtype=np.bool_)}
    masks |= {str(tab): impressions.tabs == tab for tab in np.unique(impressions.tabs)}
    return tuple(
        TabRates(
            tab,
            int(rows.sum()),
            dict(zip(tasks.names, base_rates(impressions, rows, tasks).tolist(), strict=True)),
        )
        for tab, rows in masks.items()
    )


def _quantiles(values: NDArray[Any]) -> Quantiles:
    """Mean and percentiles; zeros if there are no values."""
    measured = values if len(values) else np.zeros(1)
    points = np.percentile(measured, _PERCENTILES)
    named = {f"p{number}": float(v) for number, v in zip(_PERCENTILES, points, strict=True)}
    return Quantiles(len(values), float(np.mean(measured, dtype=np.float64)), named)


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
