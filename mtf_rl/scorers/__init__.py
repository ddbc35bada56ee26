"""Multi-task scorers: models that predict a calibrated probability per task for (user, video)."""

from typing import TYPE_CHECKING

from mtf_rl.core.lazy import lazy_names

if TYPE_CHECKING:
    from mtf_rl.scorers.aitm import AITM
    from mtf_rl.scorers.calibration import (
        CALIBRATORS,
        Calibration,
        TabCalibration,
        calibrate_by_tab,
        isotonic,
        platt,
        temperature,
    )
    from mtf_rl.scorers.chains import Chain, NestedPair, nesting_violations
    from mtf_rl.scorers.comparison import ComparedScorer, comparison_table
    from mtf_rl.scorers.configs import (
        AITMConfig,
        CGCConfig,
        ESCM2DRConfig,
        ESCM2IPSConfig,
        ESMMConfig,
        MMoEConfig,
        ModelConfig,
        MultiDRConfig,
        MultiIPWConfig,
        OMoEConfig,
        PLEConfig,
        SharedBottomConfig,
        SingleTaskConfig,
    )
    from mtf_rl.scorers.entire_space import EntireSpace
    from mtf_rl.scorers.evaluation import draw_reliability, evaluate_scorer
    from mtf_rl.scorers.fit_config import ScorerFitConfig
    from mtf_rl.scorers.fitting import FittedScorer, fit_scorer
    from mtf_rl.scorers.losses import (
        CounterfactualRisk,
        OrderPenalty,
        doubly_robust_risk,
        inverse_propensity_risk,
        order_penalty,
        product_logit,
        task_losses,
    )
    from mtf_rl.scorers.mmoe import MMoE
    from mtf_rl.scorers.model import (
        Ensemble,
        ModelLosses,
        Network,
        Outputs,
        ScorerConfig,
        ScorerModel,
    )
    from mtf_rl.scorers.monitors import MONITORS, Monitor
    from mtf_rl.scorers.ple import PLE
    from mtf_rl.scorers.registry import SCORERS, scorer_name
    from mtf_rl.scorers.report import ScorerReport, TaskReport, report_predictions
    from mtf_rl.scorers.rows import LabelledRows, labelled_rows
    from mtf_rl.scorers.score_table import score_pools
    from mtf_rl.scorers.scorer import Scorer
    from mtf_rl.scorers.sharing import SharedBottom, SingleTask
    from mtf_rl.scorers.training import ValidationResult
    from mtf_rl.scorers.watch_heads import WATCH_HEADS, WatchHead
    from mtf_rl.scorers.weightings import (
        WEIGHTINGS,
        DecayingWeights,
        FixedWeights,
        UncertaintyWeights,
        Weighting,
    )

__all__ = [
    "AITM",
    "CALIBRATORS",
    "MONITORS",
    "PLE",
    "SCORERS",
    "WATCH_HEADS",
    "WEIGHTINGS",
    "AITMConfig",
    "CGCConfig",
    "Calibration",
    "Chain",
    "ComparedScorer",
    "CounterfactualRisk",
    "DecayingWeights",
    "ESCM2DRConfig",
    "ESCM2IPSConfig",
    "ESMMConfig",
    "Ensemble",
    "EntireSpace",
    "FittedScorer",
    "FixedWeights",
    "LabelledRows",
    "MMoE",
    "MMoEConfig",
    "ModelConfig",
    "ModelLosses",
    "Monitor",
    "MultiDRConfig",
    "MultiIPWConfig",
    "NestedPair",
    "Network",
    "OMoEConfig",
    "OrderPenalty",
    "Outputs",
    "PLEConfig",
    "Scorer",
    "ScorerConfig",
    "ScorerFitConfig",
    "ScorerModel",
    "ScorerReport",
    "SharedBottom",
    "SharedBottomConfig",
    "SingleTask",
    "SingleTaskConfig",
    "TabCalibration",
    "TaskReport",
    "UncertaintyWeights",
    "ValidationResult",
    "WatchHead",
    "Weighting",
    "calibrate_by_tab",
    "comparison_table",
    "doubly_robust_risk",
    "draw_reliability",
    "evaluate_scorer",
    "fit_scorer",
    "inverse_propensity_risk",
    "isotonic",
    "labelled_rows",
    "nesting_violations",
    "order_penalty",
    "platt",
    "product_logit",
    "report_predictions",
    "score_pools",
    "scorer_name",
    "task_losses",
    "temperature",
]

__getattr__ = lazy_names(__name__, __file__)
