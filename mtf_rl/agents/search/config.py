"""The settings of the searches."""

from dataclasses import dataclass

from mtf_rl.core.errors import ConfigError
from mtf_rl.core.ranges import (
    check_above,
    check_at_least,
    check_choice,
    check_proper_fraction,
)

__all__ = [
    "ACQUISITIONS",
    "LONG_DEPTH",
    "SPACE_NAMES",
    "CemConfig",
    "CmaEsConfig",
    "EsConfig",
    "GpBoConfig",
    "GridConfig",
    "Nsga2Config",
    "RandomSearchConfig",
    "SearchConfig",
    "TpeConfig",
    "min_requests",
]

LONG_DEPTH = 25  # requests of a long but not exceptional session, for estimates of the cost

ACQUISITIONS = ("ei", "ucb")
SPACE_NAMES = ("static", "groups", "schedule", "features", "linear", "network")


@dataclass(frozen=True)
class SearchConfig:
    """Settings shared by all searches.

    Raises:
        ConfigError: if a number is out of range.
        UnknownNameError: if there is no such space.
    """

    sessions_per_trial: int = 32
    """Sessions per block; each point gets one block, promising points get more; at least 2."""
    max_blocks: int = 4
    """Maximum number of blocks for a promising point, at least 1."""
    promising_errors: float = 1.0
    """A point gets the next block if it is less than this many standard errors behind the best
    point, at least 0."""
    finalists: int = 4
    """Number of best points that are evaluated again on tuning users, at least 1."""
    finalist_fraction: float = 0.25
    """Fraction of the budget reserved for the finalists, in (0, 1)."""
    space: str = "static"
    """Search space: static, groups, schedule, features, linear or network."""

    def __post_init__(self) -> None:
        check_at_least("sessions_per_trial", self.sessions_per_trial, 2)
        check_at_least("max_blocks", self.max_blocks, 1)
        check_at_least("promising_errors", self.promising_errors, 0.0)
        check_at_least("finalists", self.finalists, 1)
        if not 0.0 < self.finalist_fraction < 1.0:
            raise ConfigError(f"finalist_fraction must be in (0, 1), got {self.finalist_fraction}")
        check_choice("search space", self.space, SPACE_NAMES)


@dataclass(frozen=True)
class RandomSearchConfig(SearchConfig):
    """Random search has only the shared settings."""


@dataclass(frozen=True)
class GridConfig(SearchConfig):
    """A scan and a grid; blocks are smaller if the budget does not pay for all points.

    Raises:
        ConfigError: if a number is out of range.
    """

    scanned: int = 4
    """Dimensions of the full grid, those with the largest effect in the scan, in [1, 6]."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.scanned <= 6:
            raise ConfigError(f"scanned must be in [1, 6], got {self.scanned}")


@dataclass(frozen=True)
class CmaEsConfig(SearchConfig):
    """CMA-ES.

    Raises:
        ConfigError: if a number is out of range.
    """

    population: int = 0
    """Points per generation, at least 3; 0 for 4 + 3 log(dimensions)."""
    sigma: float = 0.4
    """Initial standard deviation, above 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.population and self.population < 3:
            raise ConfigError(f"population must be 0 or at least 3, got {self.population}")
        check_above("sigma", self.sigma, 0.0)


@dataclass(frozen=True)
class TpeConfig(SearchConfig):
    """Tree-structured Parzen estimators.

    Raises:
        ConfigError: if a number is out of range.
    """

    initial: int = 20
    """Points before the first estimate, including the initial points, at least 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("initial", self.initial, 1)


@dataclass(frozen=True)
class GpBoConfig(SearchConfig):
    """Bayesian optimization with a Gaussian process.

    Raises:
        ConfigError: if a number is out of range.
    """

    initial: int = 16
    """Sobol points before the first estimate, at least 2."""
    acquisition: str = "ei"
    """Acquisition function: ei (expected improvement) or ucb (upper confidence bound)."""
    beta: float = 4.0
    """Beta of ucb: posterior mean plus sqrt(beta) standard deviations, above 0."""
    refit_every: int = 4
    """Points between fits of the kernel, at least 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("initial", self.initial, 2)
        check_above("beta", self.beta, 0.0)
        check_at_least("refit_every", self.refit_every, 1)
        if self.acquisition not in ACQUISITIONS:
            raise ConfigError(
                f"acquisition must be one of {', '.join(ACQUISITIONS)}, got {self.acquisition!r}"
            )


@dataclass(frozen=True)
class Nsga2Config(SearchConfig):
    """NSGA-II for watch time against interactions.

    Raises:
        ConfigError: if a number is out of range.
    """

    population: int = 20
    """Points per generation, at least 4."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("population", self.population, 4)


@dataclass(frozen=True)
class CemConfig(SearchConfig):
    """The cross-entropy method.

    Raises:
        ConfigError: if a number is out of range.
    """

    population: int = 16
    """Points per generation, at least 2."""
    elite_fraction: float = 0.25
    """Fraction of best points to which the next Gaussian is fitted, in (0, 1]."""
    smoothing: float = 0.7
    """Step from the old Gaussian to the fitted one, in (0, 1]; 1 replaces it."""
    std: float = 0.5
    """Initial standard deviation, above 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("population", self.population, 2)
        check_proper_fraction("1 - elite_fraction", 1.0 - self.elite_fraction)
        check_proper_fraction("1 - smoothing", 1.0 - self.smoothing)
        check_above("std", self.std, 0.0)


@dataclass(frozen=True)
class EsConfig(SearchConfig):
    """An evolution strategy over state-dependent policies.

    Raises:
        ConfigError: if a number is out of range.
    """

    space: str = "linear"
    """Search space: static, groups, schedule, features, linear or network."""
    pairs: int = 8
    """Mirrored pairs per generation, at least 1."""
    sigma: float = 0.15
    """Standard deviation of points around the mean, above 0."""
    learning_rate: float = 0.1
    """Adam's learning rate, above 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("pairs", self.pairs, 1)
        check_above("sigma", self.sigma, 0.0)
        check_above("learning_rate", self.learning_rate, 0.0)


def min_requests(config: SearchConfig) -> int:
    """Requests that pay for one point in all blocks plus the finalists' fraction."""
    sessions = config.sessions_per_trial * config.max_blocks
    return int(sessions * LONG_DEPTH / (1.0 - config.finalist_fraction)) + 1
