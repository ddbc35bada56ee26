"""Fitted Q evaluation where the Q function is linear in quadratic features: no iteration."""

from mtf_rl.evaluation.least_squares.config import LeastSquaresConfig
from mtf_rl.evaluation.least_squares.features import QuadraticFeatures
from mtf_rl.evaluation.least_squares.fixed_point import LeastSquaresQ, least_squares_q
from mtf_rl.evaluation.least_squares.lstd import (
    LinearFixedPoint,
    TransitionSums,
    solve_lstd_q,
)
from mtf_rl.evaluation.least_squares.static_policies import (
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
