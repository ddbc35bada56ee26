"""Policies told from logged sessions: estimates, their support, and what to make of them."""

from typing import TYPE_CHECKING

from mtf_rl.core.lazy import lazy_names

if TYPE_CHECKING:
    from mtf_rl.experiments.offline_evaluation.config import (
        OFFLINE_ESTIMATORS,
        RECOMMENDING,
        OfflineConfig,
    )
    from mtf_rl.experiments.offline_evaluation.estimating import evaluate
    from mtf_rl.experiments.offline_evaluation.findings import Finding, OfflineEvaluation
    from mtf_rl.experiments.offline_evaluation.recommending import Recommendation, recommendation_of
    from mtf_rl.experiments.offline_evaluation.reporting import check_free_for_results, report

__all__ = [
    "OFFLINE_ESTIMATORS",
    "RECOMMENDING",
    "Finding",
    "OfflineConfig",
    "OfflineEvaluation",
    "Recommendation",
    "check_free_for_results",
    "evaluate",
    "recommendation_of",
    "report",
]

__getattr__ = lazy_names(__name__, __file__)
