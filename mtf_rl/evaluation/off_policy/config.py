"""Settings of the linear model of Q and density ratios."""

from dataclasses import dataclass

from mtf_rl.core.ranges import check_above, check_fraction
from mtf_rl.evaluation.least_squares.config import ObservationTerms

__all__ = ["ModelConfig"]


@dataclass(frozen=True)
class ModelConfig:
    """The function classes of Q and of state-action density ratios, and constants of estimators.

    Raises:
        ConfigError: if a number is out of range.
    """

    gamma: float = 1.0
    """Discount factor per request, in [0, 1]; 1 gives the undiscounted session reward J."""
    ridge: float = 1e-2
    """Ridge penalty on all coefficients except the constant, added to the mean squared error;
    above 0."""
    observation_terms: ObservationTerms = "squares"
    """Terms of the observation in Q: linear, linear and squares, or linear and all pairwise
    products."""
    crossed: bool = False
    """Whether Q has interactions between every observation feature and the action."""
    draws: int = 8
    """Actions sampled from a stochastic target to compute its expectation, at least 1."""
    bound: float = 10.0
    """Maximum importance weight of `clipped_dr`, above 0."""

    def __post_init__(self) -> None:
        check_fraction("gamma", self.gamma)
        check_above("ridge", self.ridge, 0.0)
        check_above("draws", self.draws, 0)
        check_above("bound", self.bound, 0.0)
