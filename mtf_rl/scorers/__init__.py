"""Multi-task models: (user, video) to a calibrated probability per task."""

from mtf_rl.scorers.calibration import CALIBRATORS, Calibration, platt
from mtf_rl.scorers.evaluation import evaluate_scorer
from mtf_rl.scorers.fitting import Evaluation, FitConfig, FittedScorer, fit_scorer
from mtf_rl.scorers.losses import FixedWeights, TaskLosses, multi_task_loss
from mtf_rl.scorers.mmoe import MMoE, MMoEConfig
from mtf_rl.scorers.model import ScorerConfig, ScorerModel
from mtf_rl.scorers.monitors import MONITORS, Monitor
from mtf_rl.scorers.ple import PLE, PLEConfig
from mtf_rl.scorers.registry import SCORERS, scorer_name
from mtf_rl.scorers.report import ScorerReport, TaskReport, report_predictions
from mtf_rl.scorers.rows import LabelledRows, labelled_rows
from mtf_rl.scorers.score_table import score_pools
from mtf_rl.scorers.scorer import Scorer

__all__ = [
    "CALIBRATORS",
    "MONITORS",
    "PLE",
    "SCORERS",
    "Calibration",
    "Evaluation",
    "FitConfig",
    "FittedScorer",
    "FixedWeights",
    "LabelledRows",
    "MMoE",
    "MMoEConfig",
    "Monitor",
    "PLEConfig",
    "Scorer",
    "ScorerConfig",
    "ScorerModel",
    "ScorerReport",
    "TaskLosses",
    "TaskReport",
    "evaluate_scorer",
    "fit_scorer",
    "labelled_rows",
    "multi_task_loss",
    "platt",
    "report_predictions",
    "score_pools",
    "scorer_name",
]
