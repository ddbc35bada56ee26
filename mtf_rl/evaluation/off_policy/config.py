"""Settings of the linear model of Q and density ratios."""

from dataclasses import dataclass

from mtf_rl.core.ranges import check_above, check_fraction
from mtf_rl.evaluation.least_squares.config import ObservationTerms

__all__ = ["ModelConfig"]


@dataclass(frozen=True)
class ModelConfig:
    """What Q and visits may look like.

    Raises:
        ConfigError: if a number is out of range.
    """

    gamma: float = 1.0
    """Discount per request, in [0, 1]; 1 is the project's value J."""
    ridge: float = 1e-2
    """Weight of squared coefficients (not the constant's) beside the mean squared error, above
    0."""
    observation_terms: ObservationTerms = "squares"
    """Terms of the observation alone in Q: linear, squares too, or all products of two too."""
    crossed: bool = False
    """Whether every observed number also meets the action in Q."""
    draws: int = 8
    """Actions drawn of a stochastic target for its expectation, at least 1."""
    bound: float = 10.0
    """Largest weight of `clipped_dr`, above 0."""

    def __post_init__(self) -> None:
        check_fraction("gamma", self.gamma)
        check_above("ridge", self.ridge, 0.0)
        check_above("draws", self.draws, 0)
        check_above("bound", self.bound, 0.0)
