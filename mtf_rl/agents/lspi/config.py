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
    """Discount factor per request, in [0, 1]; 0 makes the learner myopic."""
    features: tuple[str, ...] | None = None
    """Names of the observed numbers that the weights depend on; None for the requests served, the
    user's like rate and the number of users followed, if they are observed."""
    rounds: int = 8
    """Rounds of collecting sessions and improving the policy, at least 1."""
    first_fraction: float = 0.25
    """Fraction of the learning requests used by the first round, which has uniformly random
    actions, in (0, 1); with one round, all requests."""
    std: float = 0.4
    """Standard deviation of the exploration around the policy in later rounds, above 0."""
    random_fraction: float = 0.2
    """Fraction of sessions with uniformly random actions in later rounds, in (0, 1)."""
    iterations: int = 6
    """Iterations of policy evaluation and improvement per round, at least 1."""
    ridge: float = 1e-3
    """Ridge penalty on the critic's coefficients, except the constant's, above 0."""
    caution: float = 2.0
    """Standard errors subtracted from a policy's estimated gain, at least 0."""
    squashing: float = 1e-2
    """Weight of the penalty on squared inputs of the policy's tanh, at least 0."""
    finalist_fraction: float = 0.25
    """Fraction of the budget reserved for selecting among the rounds' policies, in (0, 1)."""

    def __post_init__(self) -> None:
        check_fraction("gamma", self.gamma)
        check_at_least("rounds", self.rounds, 1)
        check_above("std", self.std, 0.0)
        check_at_least("iterations", self.iterations, 1)
        check_above("ridge", self.ridge, 0.0)
        check_at_least("caution", self.caution, 0.0)
        check_at_least("squashing", self.squashing, 0.0)
        for name in ("first_fraction", "random_fraction", "finalist_fraction"):
            fraction = getattr(self, name)
            check_proper_fraction(name, fraction)
            check_above(name, fraction, 0.0)
        if self.features is not None and len(set(self.features)) < len(self.features):
            raise ConfigError(f"features must be unique, got {self.features}")


def min_requests(config: LSPIConfig) -> int:
    """Requests that pay for at least `MIN_REQUESTS_OF_ROUND` in every round."""
    fractions = [config.first_fraction, (1.0 - config.first_fraction) / max(1, config.rounds - 1)]
    requests = (MIN_REQUESTS_OF_ROUND + 1) / (min(fractions) * (1.0 - config.finalist_fraction))
    return math.ceil(requests)
