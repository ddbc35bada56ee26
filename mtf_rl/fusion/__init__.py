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
)
from mtf_rl.fusion.formulas import (
    FORMULAS,
    ClickGated,
    FusionFormula,
    LogSum,
    PowerProduct,
    RankSum,
    WeightedSum,
    best_candidates,
    make_formula,
)

__all__ = [
    "ACTION_MAPS",
    "FORMULAS",
    "ActionMap",
    "Box",
    "ClickGated",
    "FusionFormula",
    "LogSum",
    "PowerBias",
    "PowerProduct",
    "RankSum",
    "Residual",
    "Simplex",
    "WeightedSum",
    "best_candidates",
    "check_pair",
    "make_action_map",
    "make_formula",
]
