"""The comparison table of scorers."""

import numpy as np

from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.scorers import ComparedScorer, comparison_table, report_predictions
from tests.scorers.examples import example_rows

ROWS = example_rows(300)
RNG = np.random.default_rng(0)
ONE, TWO = (RNG.random(ROWS.targets.shape).astype(np.float32) for _ in range(2))
SCORERS = {
    "single_task": ComparedScorer(report_predictions(ONE, ONE, ROWS), 1000, 50.0),
    "mmoe": ComparedScorer(report_predictions(TWO, TWO, ROWS), 400, 99.6),
}


def test_table_has_a_line_per_task_and_scorer_and_a_cost_line_per_scorer() -> None:
    cells = [line.strip("| ").split(" | ") for line in comparison_table(SCORERS).splitlines()]
    assert [line[:2] for line in cells[2:18]] == [
        [task, name] for task in KUAIRAND_TASKS.names for name in SCORERS
    ]
    single, mmoe = (SCORERS[name].report["like"] for name in SCORERS)
    assert cells[7][2] == f"{mmoe.auc:.4f}"
    assert cells[7][-1] == f"{mmoe.auc - single.auc:+.4f}"
    assert cells[-2:] == [["single_task", "1000", "50"], ["mmoe", "400", "100"]]


def test_without_single_task_the_difference_is_empty() -> None:
    table = comparison_table({"mmoe": SCORERS["mmoe"]})
    assert "+0." not in table
    assert "-0." not in table
