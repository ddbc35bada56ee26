"""Comparison of contestants over several seeds, at an equal budget, under both evaluators."""

from typing import TYPE_CHECKING

from mtf_rl.core.lazy import lazy_names

if TYPE_CHECKING:
    from mtf_rl.experiments.comparison.comparing import (
        Comparison,
        compare,
        finished_comparison,
        save_finished_jobs,
    )
    from mtf_rl.experiments.comparison.config import ComparisonConfig
    from mtf_rl.experiments.comparison.contestants import CONTESTANTS, Contestant
    from mtf_rl.experiments.comparison.reporting import page_of, report
    from mtf_rl.experiments.comparison.results import EvaluatedPolicy, Result, Results

__all__ = [
    "CONTESTANTS",
    "Comparison",
    "ComparisonConfig",
    "Contestant",
    "EvaluatedPolicy",
    "Result",
    "Results",
    "compare",
    "finished_comparison",
    "page_of",
    "report",
    "save_finished_jobs",
]

__getattr__ = lazy_names(__name__, __file__)
