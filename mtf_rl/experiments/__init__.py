"""Experiments: the only layer that assembles data, scores, environments, agents and run folders."""

from typing import TYPE_CHECKING

from mtf_rl.core.lazy import lazy_names

if TYPE_CHECKING:
    from mtf_rl.experiments.policy_evaluation import PolicyComparison, evaluate_policy

__all__ = ["PolicyComparison", "evaluate_policy"]

__getattr__ = lazy_names(__name__, __file__)
