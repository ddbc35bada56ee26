"""Formulas that turn per-task scores into one ranking score."""

from mtf_rl.fusion.action_maps import (
    ACTION_MAPS,
    ActionMap,
    Box,
    PowerBias,
    Residual,
    Simplex,
    check_pair,
    make_action_map,
    maps_that_fit,
)
from mtf_rl.fusion.arithmetic import best_candidates, weighted_sum
from mtf_rl.fusion.config import FusionConfig
from mtf_rl.fusion.formulas import (
    FORMULAS,
    ClickGated,
    FusionFormula,
    LogSum,
    PowerProduct,
    RankSum,
    WeightedSum,
    WeightFormula,
    formula_named,
    make_formula,
)

__all__ = [
    "ACTION_MAPS",
    "FORMULAS",
    "ActionMap",
    "Box",
    "ClickGated",
    "FusionConfig",
    "FusionFormula",
    "LogSum",
    "PowerBias",
    "PowerProduct",
    "RankSum",
    "Residual",
    "Simplex",
    "WeightFormula",
    "WeightedSum",
    "best_candidates",
    "check_pair",
    "formula_named",
    "make_action_map",
    "make_formula",
    "maps_that_fit",
    "weighted_sum",
]
