"""Off-policy evaluation of policies on logged sessions: estimates, support, recommendation."""

from typing import TYPE_CHECKING

from mtf_rl.core.lazy import lazy_names

if TYPE_CHECKING:
    from mtf_rl.experiments.offline_evaluation.config import OfflineConfig
    from mtf_rl.experiments.offline_evaluation.estimating import evaluate
    from mtf_rl.experiments.offline_evaluation.estimators import (
        OFFLINE_ESTIMATORS,
        RECOMMENDING,
        NetworkEstimator,
        OfflineEstimator,
        SimulatorEstimator,
    )
    from mtf_rl.experiments.offline_evaluation.findings import Finding, OfflineEvaluation
    from mtf_rl.experiments.offline_evaluation.recommending import (
        Recommendation,
        Refusal,
        recommendation_of,
    )
    from mtf_rl.experiments.offline_evaluation.reporting import (
        answer_of,
        check_free_for_results,
        report,
    )

__all__ = [
    "OFFLINE_ESTIMATORS",
    "RECOMMENDING",
    "Finding",
    "NetworkEstimator",
    "OfflineConfig",
    "OfflineEstimator",
    "OfflineEvaluation",
    "Recommendation",
    "Refusal",
    "SimulatorEstimator",
    "answer_of",
    "check_free_for_results",
    "evaluate",
    "recommendation_of",
    "report",
]

__getattr__ = lazy_names(__name__, __file__)
