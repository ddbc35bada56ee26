"""The scorer report: metrics per task and its output formats."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.scorers import report_predictions
from tests.scorers.examples import example_rows

ROWS = example_rows(500)
RNG = np.random.default_rng(0)
PREDICTIONS = RNG.uniform(0.05, 0.95, size=(500, 8)).astype(np.float32)
UNCALIBRATED = np.full((500, 8), 0.9, dtype=np.float32)
REPORT = report_predictions(PREDICTIONS, UNCALIBRATED, ROWS)


def test_report_has_a_row_per_task_in_task_order() -> None:
    assert tuple(task.task for task in REPORT.tasks) == KUAIRAND_TASKS.names


def test_report_agrees_with_scikit_learn() -> None:
    for k, task in enumerate(KUAIRAND_TASKS.names[:7]):
        y = ROWS.targets[:, k]
        assert REPORT[task].positives == y.sum()
        assert REPORT[task].base_rate == pytest.approx(y.mean())
        assert REPORT[task].auc == pytest.approx(roc_auc_score(y, PREDICTIONS[:, k]))
        expected = log_loss(y, PREDICTIONS[:, k].astype(float))
        assert REPORT[task].log_loss == pytest.approx(expected, rel=1e-5)
        assert REPORT[task].ece_uncalibrated == pytest.approx(abs(0.9 - y.mean()), abs=1e-6)


def test_watch_auc_uses_eighteen_seconds_and_its_calibration_the_fraction() -> None:
    y = ROWS.targets[:, 7]
    assert REPORT["watch"].auc == pytest.approx(roc_auc_score(y >= 0.15, PREDICTIONS[:, 7]))
    assert REPORT["watch"].base_rate == pytest.approx(y.mean())
    assert REPORT["watch"].positives == (y >= 0.15).sum()


def test_report_uses_only_the_sample_space() -> None:
    mask = ROWS.mask.copy()
    mask[100:, 3] = False
    first = report_predictions(PREDICTIONS, UNCALIBRATED, replace(ROWS, mask=mask))
    assert first["follow"].rows == 100
    assert first["follow"].auc == pytest.approx(
        roc_auc_score(ROWS.targets[:100, 3], PREDICTIONS[:100, 3])
    )


def test_a_task_without_positives_has_nan_metrics() -> None:
    targets = ROWS.targets.copy()
    targets[:, 3] = 0.0
    report = report_predictions(PREDICTIONS, UNCALIBRATED, replace(ROWS, targets=targets))
    follow = report["follow"]
    assert np.isnan([follow.auc, follow.gauc, follow.normalised_entropy]).all()
    record = report.to_records()[3]
    assert record["auc"] is None
    json.dumps(report.to_records(), allow_nan=False)


def test_csv_reads_back() -> None:
    lines = list(csv.DictReader(io.StringIO(REPORT.to_csv())))
    assert [line["task"] for line in lines] == list(KUAIRAND_TASKS.names)
    assert float(lines[2]["gauc"]) == pytest.approx(REPORT["like"].gauc)


def test_markdown_is_a_table() -> None:
    lines = REPORT.to_markdown().splitlines()
    assert len(lines) == 2 + 8
    assert len({line.count("|") for line in lines}) == 1
    assert f"{REPORT['click'].auc:.4f}" in lines[2]
