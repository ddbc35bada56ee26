"""Formulas that turn per-task scores into one ranking score."""

from mtf_rl.fusion.action_maps import ACTION_MAPS, ActionMap, Box, check_pair, uniform_weights
from mtf_rl.fusion.formulas import (
    FORMULAS,
    FusionFormula,
    LogSum,
    WeightedSum,
    best_candidates,
    make_formula,
)

__all__ = [
    "ACTION_MAPS",
    "FORMULAS",
    "ActionMap",
    "Box",
    "FusionFormula",
    "LogSum",
    "WeightedSum",
    "best_candidates",
    "check_pair",
    "make_formula",
    "uniform_weights",
]
