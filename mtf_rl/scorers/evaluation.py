"""Evaluation of a fitted scorer on labelled rows."""

from mtf_rl.scorers.pictures import reliability_picture
from mtf_rl.scorers.report import ScorerReport, report_predictions
from mtf_rl.scorers.rows import LabelledRows
from mtf_rl.scorers.scorer import Scorer, sigmoid

__all__ = ["draw_reliability", "evaluate_scorer"]


def evaluate_scorer(scorer: Scorer, rows: LabelledRows) -> ScorerReport:
    """Ranking and calibration metrics of `scorer` on `rows`, per task."""
    logits = scorer.logits(rows.features)
    return report_predictions(scorer.calibrated(logits, rows.features), sigmoid(logits), rows)


def draw_reliability(scorer: Scorer, rows: LabelledRows) -> bytes:
    """A PNG reliability diagram of `scorer` on `rows`, before and after calibration."""
    logits = scorer.logits(rows.features)
    return reliability_picture(scorer.calibrated(logits, rows.features), sigmoid(logits), rows)
