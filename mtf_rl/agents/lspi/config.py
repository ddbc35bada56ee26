"""The settings of least-squares policy iteration."""

import math
from dataclasses import dataclass

from mtf_rl.core.errors import ConfigError
from mtf_rl.core.ranges import check_above, check_at_least, check_fraction, check_proper_fraction

__all__ = ["MIN_REQUESTS_OF_ROUND", "LSPIConfig", "min_requests"]

MIN_REQUESTS_OF_ROUND = 100


@dataclass(frozen=True)
class LSPIConfig:
    """Least-squares policy iteration.

    Raises:
        ConfigError: if a number is out of range.
    """

    gamma: float = 0.95
    """Discount per request, in [0, 1]; 0 makes the learner myopic."""
    features: tuple[str, ...] | None = None
    """Observed numbers that the weights depend on, by name; None for the place in the session, the
    user's like rate and how many the user follows, as far as they are observed."""
    rounds: int = 8
    """Times that sessions are collected and the policy is improved, at least 1."""
    first_fraction: float = 0.25
    """Fraction of the requests to learn from that the first round takes, with uniformly random
    actions, in (0, 1); all of them if there is one round."""
    std: float = 0.4
    """Of the Gaussian around the policy that later rounds explore with, above 0."""
    random_fraction: float = 0.2
    """Fraction of later rounds' sessions with uniformly random actions, in (0, 1)."""
    iterations: int = 6
    """Times that the policy is evaluated and improved in a round, at least 1."""
    ridge: float = 1e-3
    """Weight of squared coefficients (not the constant's) beside the mean squared error, above
    0."""
    caution: float = 2.0
    """Standard errors of its gain that a policy has to be worth, at least 0."""
    squashing: float = 1e-2
    """Weight of the squares of what goes into tanh, at least 0."""
    finalist_fraction: float = 0.25
    """Fraction of the budget kept to choose between the rounds' policies, in (0, 1)."""

    def __post_init__(self) -> None:
        check_fraction("gamma", self.gamma)
        check_at_least("rounds", self.rounds, 1)
        check_above("deviation", self.std, 0.0)
        check_at_least("iterations", self.iterations, 1)
        check_above("ridge", self.ridge, 0.0)
        check_at_least("caution", self.caution, 0.0)
        check_at_least("squashing", self.squashing, 0.0)
        for name in ("first_fraction", "random_fraction", "finalist_fraction"):
            fraction = getattr(self, name)
            check_proper_fraction(name, fraction)
            check_above(name, fraction, 0.0)
        if self.features is not None and len(set(self.features)) < len(self.features):
            raise ConfigError(f"features must differ from each other, got {self.features}")


def min_requests(config: LSPIConfig) -> int:
    """A budget that pays for some rows in every round."""
    fractions = [config.first_fraction, (1.0 - config.first_fraction) / max(1, config.rounds - 1)]
    requests = (MIN_REQUESTS_OF_ROUND + 1) / (min(fractions) * (1.0 - config.finalist_fraction))
    return math.ceil(requests)
