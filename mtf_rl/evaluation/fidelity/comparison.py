"""A log beside logs that should look like it: figures, distances, calibration, bars."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mtf_rl.evaluation.fidelity.answered import AnsweredLog
from mtf_rl.evaluation.fidelity.calibration import Reliability, reliability
from mtf_rl.evaluation.fidelity.discriminator import Discrimination
from mtf_rl.evaluation.fidelity.distances import (
    GAP,
    SESSION_LENGTH,
    Distance,
    log_distances,
    sample_distance,
    survival_curve,
)
from mtf_rl.evaluation.fidelity.measures import (
    GAPS,
    RATES,
    SESSIONS,
    Measure,
    gap_figures,
    measure_log,
    session_figures,
)
from mtf_rl.evaluation.fidelity.session_log import SessionLog
from mtf_rl.evaluation.fidelity.survival import survival_distance
from mtf_rl.evaluation.intervals import Interval

__all__ = [
    "REPLAY",
    "ROLLOUT",
    "TRUTH_AGAIN",
    "Bar",
    "DistanceRow",
    "FidelityComparison",
    "check_bars",
    "compare_distances",
    "compare_measures",
    "replay_distances",
    "replay_measures",
    "replay_reliabilities",
]

REPLAY = "replay"
ROLLOUT = "rollout"
TRUTH_AGAIN = "truth again"

_SPARSE = ("follow", "comment", "forward", "hate")
_RATE_BAR, _LENGTH_BAR, _AUC_BAR, _CONTROL_BAR = 0.10, 0.05, 0.65, 0.9
# What a user model's parts decide beyond the answers.
_LEAVING, _PAUSING = "leaving", "pausing"


@dataclass(frozen=True)
class FidelityComparison:
    """One figure of the log, and of every source that should match it."""

    group: str
    name: str
    log: Interval
    others: Mapping[str, float]
    """By source; a source is missing where the figure is the log's by construction."""

    def difference(self, source: str) -> float:
        """How far a source is from the log, relative to the log; NaN where the log has 0."""
        return self.others[source] / self.log.mean - 1.0 if self.log.mean != 0.0 else float("nan")


@dataclass(frozen=True)
class DistanceRow:
    """The distances of every source from the log, in one quantity."""

    name: str
    others: Mapping[str, Distance]


@dataclass(frozen=True)
class Bar:
    """A target that was set beforehand, and whether it is met."""

    what: str
    source: str
    found: str
    wanted: str
    met: bool


def compare_measures(
    log: Sequence[Measure], others: Mapping[str, Sequence[Measure]]
) -> list[FidelityComparison]:
    """Every figure that the log and another source have, side by side."""
    found = {
        source: {measure.key: measure.value.mean for measure in measures}
        for source, measures in others.items()
    }
    comparisons = [
        FidelityComparison(
            measure.group,
            measure.name,
            measure.value,
            {
                source: figures[measure.key]
                for source, figures in found.items()
                if measure.key in figures
            },
        )
        for measure in log
    ]
    return [entry for entry in comparisons if entry.others and not np.isnan(entry.log.mean)]


def compare_distances(others: Mapping[str, Sequence[Distance]]) -> list[DistanceRow]:
    """Distances by quantity, in the order in which the sources name them."""
    names = dict.fromkeys(entry.name for distances in others.values() for entry in distances)
    return [
        DistanceRow(
            name,
            {
                source: entry
                for source, distances in others.items()
                for entry in distances
                if entry.name == name
            },
        )
        for name in names
    ]


def replay_measures(
    log: SessionLog, answered: AnsweredLog, *, declared: tuple[str, ...]
) -> list[Measure]:
    """The figures of the simulator's answers to the slates of `log`.

    Sessions are those that its chances of leaving make of the log's requests, gaps those that it
    drew where the log's session went on. Parts that are `declared` and not fitted are left out.
    """
    written = replace(log, impressions=answered.impressions)
    measures = [entry for entry in measure_log(written) if entry.group not in (SESSIONS, GAPS)]
    if _LEAVING not in declared:
        figures = session_figures(log, answered.leave_chances)
        measures += [Measure(SESSIONS, name, value) for name, value in figures.items()]
    if _PAUSING not in declared:
        figures = gap_figures(log, answered.pause_seconds)
        measures += [Measure(GAPS, name, value) for name, value in figures.items()]
    return measures


def replay_distances(
    log: SessionLog, answered: AnsweredLog, *, declared: tuple[str, ...]
) -> list[Distance]:
    """As `replay_measures`, of distributions."""
    written = replace(log, impressions=answered.impressions)
    found = {entry.name: entry for entry in log_distances(log, written)}
    del found[SESSION_LENGTH]
    found.pop(GAP, None)
    known = ~log.last_requests
    if _PAUSING not in declared and known.any():
        found[GAP] = sample_distance(GAP, log.gap_seconds[known], answered.pause_seconds[known])
    if _LEAVING not in declared:
        implied = survival_curve(log, answered.leave_chances)
        found[SESSION_LENGTH] = Distance(
            SESSION_LENGTH, *survival_distance(survival_curve(log), implied)
        )
    return list(found.values())


def replay_reliabilities(
    log: SessionLog, answered: AnsweredLog, *, declared: tuple[str, ...], seed: int
) -> list[Reliability]:
    """Calibration of every feedback on rows that a ranker chose, and of leaving."""
    rows = log.standard
    found = [
        reliability(
            task.name,
            answered.chances[rows, column],
            log.impressions.feedback[rows, column] > 0,
            seed=seed,
        )
        for column, task in enumerate(log.tasks.feedbacks)
    ]
    known = log.followed_up
    if _LEAVING not in declared and known.any():
        found.append(
            reliability(
                _LEAVING, answered.leave_chances[known], log.last_requests[known], seed=seed
            )
        )
    return found


def check_bars(
    comparisons: Sequence[FidelityComparison],
    distances: Sequence[DistanceRow],
    verdicts: Mapping[str, Discrimination],
    controls: Sequence[Discrimination],
) -> list[Bar]:
    """The bars that were set for the simulator, each on every source that it applies to.

    `controls` are comparisons in which the discriminator must see a difference.
    """
    bars = [
        _rate_bar(entry, source)
        for source in (REPLAY, ROLLOUT)
        for entry in comparisons
        if entry.group == RATES and source in entry.others
    ]
    for source in (REPLAY, ROLLOUT):
        lengths = [row.others.get(source) for row in distances if row.name == SESSION_LENGTH]
        bars += [_below("session length: KS", source, d.ks, _LENGTH_BAR) for d in lengths if d]
    # Whole sessions exist in rollouts only: those of a replay are the log's.
    source = ROLLOUT if ROLLOUT in verdicts else REPLAY
    bars.append(_below("discriminator: AUC", source, verdicts[source].auc.mean, _AUC_BAR))
    for control in controls:
        name, auc = f"discriminator: AUC, {control.name}", control.auc.mean
        wanted, met = f"above {_CONTROL_BAR:g}", auc > _CONTROL_BAR
        bars.append(Bar(name, "control", f"{auc:.3f}", wanted, met))
    return bars


def _rate_bar(entry: FidelityComparison, source: str) -> Bar:
    """A common feedback must be near the log's, a sparse one within the log's interval."""
    value = entry.others[source]
    if entry.name in _SPARSE:
        wanted = f"{entry.log.low:.5f} to {entry.log.high:.5f}"
        return Bar(f"{entry.name}: rate", source, f"{value:.5f}", wanted, entry.log.holds(value))
    difference = entry.difference(source)
    met = bool(abs(difference) <= _RATE_BAR)
    name = f"{entry.name}: difference"
    return Bar(name, source, f"{difference:+.1%}", f"within {_RATE_BAR:.0%}", met)


def _below(what: str, source: str, found: float, bar: float) -> Bar:
    return Bar(what, source, f"{found:.3f}", f"below {bar:g}", found < bar)
