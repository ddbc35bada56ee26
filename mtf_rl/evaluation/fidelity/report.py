"""The results of a fidelity run, as records and as a Markdown page."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mtf_rl.evaluation.fidelity.calibration import Reliability
from mtf_rl.evaluation.fidelity.comparison import (
    REPLAY,
    ROLLOUT,
    TRUTH_AGAIN,
    Bar,
    DistanceRow,
    FidelityComparison,
)
from mtf_rl.evaluation.fidelity.curves import FidelityCurve
from mtf_rl.evaluation.fidelity.discriminator import Discrimination
from mtf_rl.user_models import FitReport

__all__ = ["FidelityReport", "ReportTable"]

LOG = "log"
_ORDER = (REPLAY, ROLLOUT, TRUTH_AGAIN)


@dataclass(frozen=True)
class ReportTable:
    """A table of the report."""

    title: str
    columns: list[str]
    rows: list[list[str]]

    def to_markdown(self) -> str:
        """The title and the table."""
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return f"## {self.title}\n\n{body}\n"


@dataclass(frozen=True)
class FidelityReport:
    """Comparison of a simulator with its log, on held-out days."""

    head: tuple[str, ...]
    """What was compared, one sentence each."""
    bars: tuple[Bar, ...]
    comparisons: tuple[FidelityComparison, ...]
    distances: tuple[DistanceRow, ...]
    verdicts: tuple[Discrimination, ...]
    reliabilities: tuple[Reliability, ...]
    fit: FitReport
    notes: tuple[str, ...]
    """Limits of the comparison on this log, one sentence each."""
    curves: tuple[FidelityCurve, ...]

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources that are compared with the log, in the order of the columns."""
        present = {source for entry in self.comparisons for source in entry.others}
        return tuple(source for source in _ORDER if source in present)

    def tables(self) -> Iterator[ReportTable]:
        """All tables, in reading order."""
        yield ReportTable(
            "Bars",
            ["what", "of", "found", "wanted", "met"],
            [
                [bar.what, bar.source, bar.found, bar.wanted, "yes" if bar.met else "NO"]
                for bar in self.bars
            ],
        )
        for group in dict.fromkeys(entry.group for entry in self.comparisons):
            chosen = [entry for entry in self.comparisons if entry.group == group]
            yield self._comparison_table(group, chosen)
        yield self._distance_table()
        yield ReportTable(
            "Discriminator",
            ["the log's sessions against", "sessions", "AUC", "95 %"],
            [
                [
                    verdict.name,
                    f"{verdict.sessions[0]} + {verdict.sessions[1]}",
                    f"{verdict.auc.mean:.3f}",
                    f"[{verdict.auc.low:.3f}, {verdict.auc.high:.3f}]",
                ]
                for verdict in self.verdicts
            ],
        )
        yield ReportTable(
            "Features that distinguish the sessions",
            ["feature", "of", "AUC lost without it", "log's mean", "its mean"],
            [
                [
                    suspect.feature,
                    verdict.name,
                    f"{suspect.cost:.3f}",
                    _number(suspect.log_mean),
                    _number(suspect.other_mean),
                ]
                for verdict in self.verdicts
                for suspect in verdict.suspects
            ],
        )
        yield ReportTable(
            "Calibration on the held-out log",
            ["part", "observations", "log likelihood", "constant's", "gain", "ECE", "by chance"],
            [
                [
                    entry.part,
                    f"{entry.observations:,}",
                    f"{entry.log_likelihood:.5f}",
                    f"{entry.base_log_likelihood:.5f}",
                    f"{entry.gain:+.5f}",
                    f"{entry.ece:.5f}",
                    f"{entry.ece_of_chance:.5f}",
                ]
                for entry in self.reliabilities
            ],
        )

    def _comparison_table(self, group: str, chosen: Sequence[FidelityComparison]) -> ReportTable:
        """A table of one group; a star marks values outside the log's interval."""
        present = [s for s in self.sources if any(s in entry.others for entry in chosen)]
        columns = ["figure", LOG, "95 %"]
        for source in present:
            columns += [source, "differs"]
        rows = []
        for entry in chosen:
            row = [entry.name, _number(entry.log.mean), _limits(entry)]
            for source in present:
                if source not in entry.others:
                    row += ["", ""]
                    continue
                value = entry.others[source]
                star = "" if entry.log.holds(value) or np.isnan(value) else " *"
                difference = entry.difference(source)
                row += [
                    _number(value),
                    ("" if np.isnan(difference) else f"{difference:+.1%}") + star,
                ]
            rows.append(row)
        return ReportTable(group, columns, rows)

    def _distance_table(self) -> ReportTable:
        columns = ["distribution of"]
        for source in self.sources:
            columns += [f"{source}, KS", "W1"]
        rows = []
        for entry in self.distances:
            row = [entry.name]
            for source in self.sources:
                distance = entry.others.get(source)
                row += (
                    ["", ""]
                    if distance is None
                    else [f"{distance.ks:.3f}", _number(distance.wasserstein)]
                )
            rows.append(row)
        return ReportTable("Distances from the log", columns, rows)

    def to_markdown(self) -> str:
        """The page `fidelity.md`."""
        parts = ["# Fidelity of the simulator\n", *(f"{line}\n" for line in self.head)]
        key = "".join(f"*{source}*: {_KEY[source]}. " for source in self.sources)
        parts.append(
            f"*log*: the held-out sessions, with a 95 % CI clustered by user. {key}A star marks"
            " values outside the log's CI.\n"
        )
        parts += [table.to_markdown() for table in self.tables()]
        parts.append("## The fit's own report, on validation rows\n")
        parts.append(self.fit.to_markdown() + "\n")
        if self.notes:
            parts.append("## What this log cannot support\n")
            parts.append("\n".join(f"- {note}" for note in self.notes) + "\n")
        return "\n".join(parts)

    def records(self) -> list[dict[str, Any]]:
        """The comparisons as rows of equal keys."""
        return [
            {
                "group": entry.group,
                "name": entry.name,
                "log": entry.log.mean,
                "log_low": entry.log.low,
                "log_high": entry.log.high,
            }
            | {
                source.replace(" ", "_"): entry.others.get(source, float("nan"))
                for source in self.sources
            }
            for entry in self.comparisons
        ]

    def to_json(self) -> dict[str, Any]:
        """The whole report as JSON values, rounded to nine digits; NaN becomes null."""
        document = {
            "head": list(self.head),
            "bars": [asdict(bar) for bar in self.bars],
            "comparisons": [asdict(entry) for entry in self.comparisons],
            "distances": [asdict(entry) for entry in self.distances],
            "discriminator": [asdict(verdict) for verdict in self.verdicts],
            "calibration": [asdict(entry) for entry in self.reliabilities],
            "fit": self.fit.to_json(),
            "notes": list(self.notes),
            "curves": [asdict(curve) for curve in self.curves],
        }
        return _plain(document)  # type: ignore[no-any-return]


_KEY = {
    REPLAY: "the simulator answers the logged slates, one step ahead, with the logged history",
    ROLLOUT: "the synthetic world's rankers serve the simulator",
    TRUTH_AGAIN: "these rankers serve the synthetic world with other random numbers, which gives"
    " the sampling noise",
}


def _number(value: float) -> str:
    if np.isnan(value):
        return "-"
    return f"{value:.5f}" if abs(value) < 0.01 else f"{value:.4g}"


def _limits(entry: FidelityComparison) -> str:
    if not np.isfinite(entry.log.low):
        return "-"
    return f"{_number(entry.log.low)} to {_number(entry.log.high)}"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, float):
        # Rounded, because the last digits of matrix products depend on the number of threads.
        return float(f"{value:.9g}") if np.isfinite(value) else None
    return value
