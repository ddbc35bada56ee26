"""Fitted Q evaluation with a Q function linear in quadratic features, solved in closed form."""

from typing import TYPE_CHECKING

from mtf_rl.core.lazy import lazy_names

if TYPE_CHECKING:
    from mtf_rl.evaluation.least_squares.config import LeastSquaresConfig
    from mtf_rl.evaluation.least_squares.features import QuadraticFeatures
    from mtf_rl.evaluation.least_squares.fixed_point import LeastSquaresQ, least_squares_q
    from mtf_rl.evaluation.least_squares.lstd import (
        LinearFixedPoint,
        TransitionSums,
        solve_lstd_q,
    )
    from mtf_rl.evaluation.least_squares.static_sweep import (
        StaticPolicies,
        StaticPolicyValues,
        static_policies,
    )

__all__ = [
    "LeastSquaresConfig",
    "LeastSquaresQ",
    "LinearFixedPoint",
    "QuadraticFeatures",
    "StaticPolicies",
    "StaticPolicyValues",
    "TransitionSums",
    "least_squares_q",
    "solve_lstd_q",
    "static_policies",
]

__getattr__ = lazy_names(__name__, __file__)
