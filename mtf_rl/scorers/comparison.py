"""Comparison table of scorers, with single-task models as the reference for negative transfer."""

from collections.abc import Mapping
from dataclasses import dataclass

from mtf_rl.scorers.report import ScorerReport

__all__ = ["ComparedScorer", "comparison_table"]

REFERENCE = "single_task"
METRICS = ("auc", "gauc", "gauc_row_coverage", "log_loss", "normalised_entropy", "ece")


@dataclass(frozen=True)
class ComparedScorer:
    """A fitted scorer's report on the test rows, its size and its fitting speed."""

    report: ScorerReport
    parameters: int
    rows_per_second: float  # training rows divided by the time of the whole fit


def comparison_table(scorers: Mapping[str, ComparedScorer]) -> str:
    """Markdown tables: one line per task and scorer, then one line per scorer for its cost.

    The last column is the difference in AUC to `single_task`, if that is among the scorers. Below
    0, sharing has hurt the task (negative transfer). Differences of 0.001 from a single seed are
    sampling noise.
    """
    header = ["task", "scorer", *METRICS, "auc - single_task"]
    lines = [header, ["---"] * len(header)]
    tasks = [line.task for scorer in list(scorers.values())[:1] for line in scorer.report.tasks]
    for task in tasks:
        for name, scorer in scorers.items():
            cells = [f"{getattr(scorer.report[task], metric):.4f}" for metric in METRICS]
            lines.append([task, name, *cells, _auc_difference(scorers, name, task)])
    cost = [["scorer", "parameters", "training rows per second"], ["---"] * 3]
    for name, scorer in scorers.items():
        cost.append([name, str(scorer.parameters), f"{scorer.rows_per_second:.0f}"])
    return "\n".join([*map(_line, lines), "", *map(_line, cost)]) + "\n"


def _auc_difference(scorers: Mapping[str, ComparedScorer], name: str, task: str) -> str:
    if REFERENCE not in scorers or name == REFERENCE:
        return ""
    difference = scorers[name].report[task].auc - scorers[REFERENCE].report[task].auc
    return f"{difference:+.4f}"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
