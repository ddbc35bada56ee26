"""Fidelity of a simulator: compare its logs with the original log by the same statistics."""

from typing import TYPE_CHECKING

from mtf_rl.core.lazy import lazy_names

if TYPE_CHECKING:
    from mtf_rl.evaluation.fidelity.answered import AnsweredLog, answer_log
    from mtf_rl.evaluation.fidelity.calibration import Reliability, reliability
    from mtf_rl.evaluation.fidelity.comparison import (
        REPLAY,
        ROLLOUT,
        TRUTH_AGAIN,
        Bar,
        DistanceRow,
        FidelityComparison,
        check_bars,
        compare_distances,
        compare_measures,
        replay_distances,
        replay_measures,
        replay_reliabilities,
    )
    from mtf_rl.evaluation.fidelity.curves import FidelityCurve, log_curves, replay_curves
    from mtf_rl.evaluation.fidelity.discriminator import (
        Discrimination,
        Suspect,
        discriminate,
        permuted,
        two_halves,
        weighted_auc,
    )
    from mtf_rl.evaluation.fidelity.distances import (
        GAP,
        PLAY,
        SESSION_LENGTH,
        Distance,
        log_distances,
        sample_distance,
        survival_curve,
    )
    from mtf_rl.evaluation.fidelity.measures import (
        PLACE,
        PLAY_FRACTIONS,
        POSITIONS,
        RATES,
        DayEnds,
        Measure,
        between_std,
        day_ends,
        measure_log,
        next_day_measure,
        position_name,
    )
    from mtf_rl.evaluation.fidelity.report import FidelityReport, ReportTable
    from mtf_rl.evaluation.fidelity.rolled import roll_log
    from mtf_rl.evaluation.fidelity.session_log import SessionLog, sessions_since
    from mtf_rl.evaluation.fidelity.survival import (
        LONGEST,
        SurvivalTally,
        survival_distance,
        survival_tally,
    )
    from mtf_rl.evaluation.fidelity.vectors import (
        PAUSE_FEATURES,
        SessionVectors,
        session_features,
        session_vectors,
    )

__all__ = [
    "GAP",
    "LONGEST",
    "PAUSE_FEATURES",
    "PLACE",
    "PLAY",
    "PLAY_FRACTIONS",
    "POSITIONS",
    "RATES",
    "REPLAY",
    "ROLLOUT",
    "SESSION_LENGTH",
    "TRUTH_AGAIN",
    "AnsweredLog",
    "Bar",
    "DayEnds",
    "Discrimination",
    "Distance",
    "DistanceRow",
    "FidelityComparison",
    "FidelityCurve",
    "FidelityReport",
    "Measure",
    "Reliability",
    "ReportTable",
    "SessionLog",
    "SessionVectors",
    "SurvivalTally",
    "Suspect",
    "answer_log",
    "between_std",
    "check_bars",
    "compare_distances",
    "compare_measures",
    "day_ends",
    "discriminate",
    "log_curves",
    "log_distances",
    "measure_log",
    "next_day_measure",
    "permuted",
    "position_name",
    "reliability",
    "replay_curves",
    "replay_distances",
    "replay_measures",
    "replay_reliabilities",
    "roll_log",
    "sample_distance",
    "session_features",
    "session_vectors",
    "sessions_since",
    "survival_curve",
    "survival_distance",
    "survival_tally",
    "two_halves",
    "weighted_auc",
]

__getattr__ = lazy_names(__name__, __file__)
