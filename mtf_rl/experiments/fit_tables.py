"""Reports of fitted scorers and user models, as typed tables."""

from mtf_rl.experiments.tables import Column, Table
from mtf_rl.scorers import ScorerReport
from mtf_rl.user_models.reports import FitReport

__all__ = ["scorer_table", "user_model_table"]


def scorer_table(report: ScorerReport) -> Table:
    """Quality of each task's predictions on the test rows."""
    return Table(
        "Predictions on test rows",
        (
            Column("task"),
            Column("rows"),
            Column("positives"),
            Column("base rate", decimals=4),
            Column("AUC", decimals=3),
            Column("GAUC", decimals=3),
            Column("log loss", decimals=4),
            Column("normalised entropy", decimals=3),
            Column("calibration ratio", decimals=3),
            Column("ECE", decimals=4),
            Column("ECE by sampling noise", decimals=4),
        ),
        tuple(
            (
                task.task,
                task.rows,
                task.positives,
                task.base_rate,
                task.auc,
                task.gauc,
                task.log_loss,
                task.normalised_entropy,
                task.calibration_ratio,
                task.ece,
                task.ece_of_chance,
            )
            for task in report.tasks
        ),
        "Log loss, entropy, ratio and ECE are after calibration. A calibrated scorer would have the"
        " ECE by sampling noise. All measures: scorer/report.csv.",
    )


def user_model_table(report: FitReport) -> Table:
    """Log likelihood of each part of the simulator on validation rows, against references."""
    return Table(
        "Parts of the simulator on validation rows",
        (
            Column("part"),
            Column("reference"),
            Column("rows"),
            Column("log likelihood", decimals=4),
            Column("of the reference", decimals=4),
            Column("gain", decimals=4, signed=True),
        ),
        tuple(
            (
                part.part,
                part.reference,
                part.observations,
                part.log_likelihood,
                part.reference_log_likelihood,
                part.gain,
            )
            for part in report.parts
        ),
        "Log likelihood in nats per row. Gains are slightly optimistic, because the same rows"
        " select the stopping point of the fits.",
    )
