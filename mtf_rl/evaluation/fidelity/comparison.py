"""Comparison of a log with the simulator's logs: statistics, distances, calibration, targets."""

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
# Parts of a user model that can be declared rather than fitted.
_LEAVING, _PAUSING = "leaving", "pausing"


@dataclass(frozen=True)
class FidelityComparison:
    """One statistic of the log and of every source that is compared with it."""

    group: str
    name: str
    log: Interval
    others: Mapping[str, float]
    """Value by source. A source is missing if its value equals the log's by construction."""

    def difference(self, source: str) -> float:
        """Value of the source relative to the log, minus 1; NaN if the log's value is 0."""
        return self.others[source] / self.log.mean - 1.0 if self.log.mean != 0.0 else float("nan")


@dataclass(frozen=True)
class DistanceRow:
    """Distance of every source from the log, for one quantity."""

    name: str
    others: Mapping[str, Distance]


@dataclass(frozen=True)
class Bar:
    """A target that was fixed before the comparison, and whether it is met."""

    what: str
    source: str
    found: str
    wanted: str
    met: bool


def compare_measures(
    log: Sequence[Measure], others: Mapping[str, Sequence[Measure]]
) -> list[FidelityComparison]:
    """Every statistic that the log and at least one other source have."""
    values = {
        source: {measure.key: measure.value.mean for measure in measures}
        for source, measures in others.items()
    }
    comparisons = [
        FidelityComparison(
            measure.group,
            measure.name,
            measure.value,
            {
                source: by_key[measure.key]
                for source, by_key in values.items()
                if measure.key in by_key
            },
        )
        for measure in log
    ]
    return [entry for entry in comparisons if entry.others and not np.isnan(entry.log.mean)]


def compare_distances(others: Mapping[str, Sequence[Distance]]) -> list[DistanceRow]:
    """Distances by quantity, in the order of the sources."""
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
    """The statistics of the simulator's responses to the slates of `log`.

    Session lengths come from its probabilities of leaving at the logged requests, and gaps are its
    samples at requests that the log's session continued after. Parts of the model that are
    `declared`, not fitted, are left out.
    """
    simulated = replace(log, impressions=answered.impressions)
    measures = [entry for entry in measure_log(simulated) if entry.group not in (SESSIONS, GAPS)]
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
    """Distances of the distributions of the simulator's responses; see `replay_measures`."""
    simulated = replace(log, impressions=answered.impressions)
    distances = {entry.name: entry for entry in log_distances(log, simulated)}
    del distances[SESSION_LENGTH]
    distances.pop(GAP, None)
    known = ~log.last_requests
    if _PAUSING not in declared and known.any():
        distances[GAP] = sample_distance(GAP, log.gap_seconds[known], answered.pause_seconds[known])
    if _LEAVING not in declared:
        implied = survival_curve(log, answered.leave_chances)
        distances[SESSION_LENGTH] = Distance(
            SESSION_LENGTH, *survival_distance(survival_curve(log), implied)
        )
    return list(distances.values())


def replay_reliabilities(
    log: SessionLog, answered: AnsweredLog, *, declared: tuple[str, ...], seed: int
) -> list[Reliability]:
    """Calibration of every feedback on rows that a ranker selected, and of leaving."""
    rows = log.standard
    reliabilities = [
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
        reliabilities.append(
            reliability(
                _LEAVING, answered.leave_chances[known], log.last_requests[known], seed=seed
            )
        )
    return reliabilities


def check_bars(
    comparisons: Sequence[FidelityComparison],
    distances: Sequence[DistanceRow],
    verdicts: Mapping[str, Discrimination],
    controls: Sequence[Discrimination],
) -> list[Bar]:
    """The targets of the simulator, each for every source that it applies to.

    Args:
        comparisons: statistics of the log and the sources.
        distances: distances of the sources from the log.
        verdicts: results of the discriminator by source.
        controls: results of the discriminator on sessions that it must distinguish from the log's.
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
    # A replay has the log's sessions; only rollouts have sessions of their own.
    source = ROLLOUT if ROLLOUT in verdicts else REPLAY
    bars.append(_below("discriminator: AUC", source, verdicts[source].auc.mean, _AUC_BAR))
    for control in controls:
        name, auc = f"discriminator: AUC, {control.name}", control.auc.mean
        wanted, met = f"above {_CONTROL_BAR:g}", auc > _CONTROL_BAR
        bars.append(Bar(name, "control", f"{auc:.3f}", wanted, met))
    return bars


def _rate_bar(entry: FidelityComparison, source: str) -> Bar:
    """A frequent feedback's rate must be near the log's; a rare one's within the log's interval."""
    value = entry.others[source]
    if entry.name in _SPARSE:
        wanted = f"{entry.log.low:.5f} to {entry.log.high:.5f}"
        return Bar(f"{entry.name}: rate", source, f"{value:.5f}", wanted, entry.log.holds(value))
    difference = entry.difference(source)
    met = bool(abs(difference) <= _RATE_BAR)
    name = f"{entry.name}: difference"
    return Bar(name, source, f"{difference:+.1%}", f"within {_RATE_BAR:.0%}", met)


def _below(what: str, source: str, value: float, bar: float) -> Bar:
    return Bar(what, source, f"{value:.3f}", f"below {bar:g}", value < bar)
