"""The scorer report: ranking and calibration metrics of each task."""

import csv
import io
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.registry import Registry
from mtf_rl.core.tasks import Task, TaskKind
from mtf_rl.scorers.metrics import (
    auc,
    calibration_ratio,
    chance_calibration_error,
    expected_calibration_error,
    grouped_auc,
    log_loss,
    normalised_entropy,
    positive,
)
from mtf_rl.scorers.rows import LabelledRows

__all__ = ["ScorerReport", "TaskReport", "report_predictions"]


@dataclass(frozen=True)
class TaskReport:
    """Metrics of one task on a set of rows; an undefined metric is NaN."""

    task: str
    rows: int
    positives: int  # number of rows that AUC counts as positive: `metrics.positive`
    base_rate: float  # mean target
    auc: float
    gauc: float
    gauc_row_coverage: float
    gauc_user_coverage: float
    log_loss: float  # nats per row, after calibration
    normalised_entropy: float  # after calibration
    calibration_ratio: float  # mean prediction over mean target, after calibration
    ece_uncalibrated: float  # equal-mass bins, before calibration
    ece: float  # the same, after calibration
    ece_of_chance: float  # expected ECE of perfect predictions; NaN for a non-binary task


@dataclass(frozen=True)
class ScorerReport:
    """One `TaskReport` per task, in task order."""

    tasks: tuple[TaskReport, ...]

    def __getitem__(self, task: str) -> TaskReport:
        return Registry("task", {line.task: line for line in self.tasks})[task]

    def to_records(self) -> list[dict[str, Any]]:
        """One mapping per task, ready for JSON; NaN becomes None."""
        return [
            {name: _json_ready(value) for name, value in asdict(task).items()}
            for task in self.tasks
        ]

    def to_csv(self) -> str:
        """The report as CSV: a header line and one line per task."""
        file = io.StringIO()
        writer = csv.DictWriter(
            file, [field.name for field in fields(TaskReport)], lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows(self.to_records())
        return file.getvalue()

    def to_markdown(self) -> str:
        """The report as a Markdown table, with 4 decimals."""
        names = [field.name for field in fields(TaskReport)]
        lines = [" | ".join(names), " | ".join("---" for _ in names)]
        lines += [
            " | ".join(_formatted(value) for value in asdict(task).values()) for task in self.tasks
        ]
        return "".join(f"| {line} |\n" for line in lines)


def report_predictions(
    predictions: FloatArray, uncalibrated: FloatArray, rows: LabelledRows
) -> ScorerReport:
    """Evaluate calibrated and uncalibrated predictions, both (rows, tasks), on labelled `rows`."""
    return ScorerReport(
        tuple(
            _report_task(task, predictions[:, k], uncalibrated[:, k], rows, k)
            for k, task in enumerate(rows.tasks)
        )
    )


def _report_task(
    task: Task, predictions: FloatArray, uncalibrated: FloatArray, rows: LabelledRows, k: int
) -> TaskReport:
    mask = rows.mask[:, k]
    p, y = predictions[mask], rows.targets[mask, k]
    # The chance ECE assumes Bernoulli labels, so it holds for binary tasks only.
    is_binary = task.kind is TaskKind.BINARY
    positives = positive(task, y)
    grouped = grouped_auc(p, positives, rows.users[mask])
    return TaskReport(
        task=task.name,
        rows=len(y),
        positives=int(positives.sum()),
        base_rate=float(y.mean(dtype=np.float64)) if len(y) else np.nan,
        auc=auc(p, positives),
        gauc=grouped.value,
        gauc_row_coverage=grouped.row_coverage,
        gauc_user_coverage=grouped.user_coverage,
        log_loss=log_loss(p, y),
        normalised_entropy=normalised_entropy(p, y),
        calibration_ratio=calibration_ratio(p, y),
        ece_uncalibrated=expected_calibration_error(uncalibrated[mask], y),
        ece=expected_calibration_error(p, y),
        ece_of_chance=chance_calibration_error(p) if is_binary else np.nan,
    )


def _json_ready(value: float | str) -> float | str | None:
    return None if isinstance(value, float) and np.isnan(value) else value


def _formatted(value: float | str) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
