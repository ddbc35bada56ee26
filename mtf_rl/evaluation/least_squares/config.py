"""Settings of least-squares Q evaluation."""

from dataclasses import dataclass
from typing import Literal, get_args

from mtf_rl.core.errors import ConfigError
from mtf_rl.core.ranges import check_at_least, check_fraction

__all__ = ["LeastSquaresConfig", "ObservationTerms"]

ObservationTerms = Literal["linear", "squares", "products"]


@dataclass(frozen=True)
class LeastSquaresConfig:
    """Function class, discount factor and ridge of Q.

    Raises:
        ConfigError: if a field is out of its range.
    """

    gamma: float = 0.95
    """Discount per request, in [0, 1]; 1 estimates the undiscounted reward of a session."""
    ridge: float = 1e-6
    """Ridge penalty on all coefficients except the constant, added to the mean squared error; at
    least 0."""
    observation_terms: ObservationTerms = "linear"
    """Terms of the observation: linear, linear and squares, or linear and all pairwise products."""

    def __post_init__(self) -> None:
        check_fraction("gamma", self.gamma)
        check_at_least("ridge", self.ridge, 0.0)
        known = get_args(ObservationTerms)
        if self.observation_terms not in known:
            raise ConfigError(
                f"observation_terms must be one of {', '.join(known)},"
                f" got {self.observation_terms!r}"
            )
