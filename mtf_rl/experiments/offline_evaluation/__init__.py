"""Policies told from logged sessions: estimates, their support, and what to make of them."""

from mtf_rl.experiments.offline_evaluation.config import (
    OFFLINE_ESTIMATORS,
    RECOMMENDED,
    OfflineConfig,
)
from mtf_rl.experiments.offline_evaluation.estimating import Finding, OfflineEvaluation, evaluate
from mtf_rl.experiments.offline_evaluation.recommending import Recommendation, recommendation_of
from mtf_rl.experiments.offline_evaluation.reporting import report

__all__ = [
    "OFFLINE_ESTIMATORS",
    "RECOMMENDED",
    "Finding",
    "OfflineConfig",
    "OfflineEvaluation",
    "Recommendation",
    "evaluate",
    "recommendation_of",
    "report",
]
