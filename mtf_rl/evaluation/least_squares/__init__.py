"""Fitted Q evaluation where the Q function is linear in quadratic features: no iteration."""

from mtf_rl.evaluation.least_squares.config import LeastSquaresConfig
from mtf_rl.evaluation.least_squares.features import QuadraticFeatures
from mtf_rl.evaluation.least_squares.fixed_point import LeastSquaresQ, least_squares_q
from mtf_rl.evaluation.least_squares.static_policies import (
    StaticPolicies,
    StaticPolicyValues,
    static_policies,
)

__all__ = [
    "LeastSquaresConfig",
    "LeastSquaresQ",
    "QuadraticFeatures",
    "StaticPolicies",
    "StaticPolicyValues",
    "least_squares_q",
    "static_policies",
]
