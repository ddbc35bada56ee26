"""The settings of a comparison."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from mtf_rl.core.errors import ConfigError
from mtf_rl.core.ranges import check_at_least
from mtf_rl.experiments.comparison.contestants import CONTESTANTS, PRODUCTION

__all__ = ["ComparisonConfig"]


@dataclass(frozen=True)
class ComparisonConfig:
    """Compare agents and searches in a run's simulator, over several seeds at an equal budget.

    Finished jobs are kept: to resume a stopped comparison, repeat the command.

    Raises:
        ConfigError: if a number is out of range.
        UnknownNameError: if a contestant is unknown.
    """

    run: tyro.conf.Positional[Path]
    """Folder of a run, whose scores and simulator are used."""
    requests: int = 100_000
    """Budget of each contestant, in simulated requests, at least 1."""
    seeds: int = 3
    """Seeds of every contestant, at least 2."""
    headline_seeds: int = 10
    """Seeds of headline learners, their myopic baselines and the best search, at least `seeds`."""
    headline_learners: int = 2
    """Number of headline learners, the best on tuning users; at least 1."""
    production: str | None = None
    """Fusion weights in production, the reference of all gains: a JSON file with a weight by task
    name, or 0.4,0.8,... in task order. By default the reference is uniform weights."""
    contestants: tuple[str, ...] = tuple(name for name in CONTESTANTS if name != PRODUCTION)
    """Contestants by name; your own contestant or agent as module:Name."""
    fractions: tuple[float, ...] = (0.125, 0.25, 0.5)
    """Smaller budgets, as fractions in (0, 1); every contestant is trained again with each."""
    sessions: int = 4_000
    """Sessions of final users for each policy and evaluator, at least 2."""
    tuning_sessions: int = 2_000
    """Sessions of tuning users on which the headline contestants are selected, at least 2."""
    seesaw: bool = True
    """Whether to train the headline contestants also for watch time only and for interactions
    only."""
    retention: bool = True
    """Whether to train some contestants also over several sessions of a user and the days between
    them."""
    reference: bool = True
    """Whether to train a policy also in the ground truth; it can define a score of 100."""
    rescored: int = 2
    """Number of other scorer seeds with which the policies are evaluated again, at least 0."""
    jobs: tuple[Path, ...] = ()
    """Files jobs.jsonl of this comparison from other machines; jobs with the same run, settings,
    budget and versions are not done again."""
    workers: int = 2
    """Number of processes, at least 1, with one thread each."""
    out: Path | None = None
    """Folder of the results; by default RUN/comparison."""

    def __post_init__(self) -> None:
        for name, minimum in (
            ("requests", 1),
            ("seeds", 2),
            ("headline_seeds", self.seeds),
            ("headline_learners", 1),
            ("sessions", 2),
            ("tuning_sessions", 2),
            ("rescored", 0),
            ("workers", 1),
        ):
            check_at_least(name, getattr(self, name), minimum)
        for fraction in self.fractions:
            if not 0.0 < fraction < 1.0:
                raise ConfigError(f"fractions must be in (0, 1), got {fraction}")
        for name in self.contestants:
            CONTESTANTS.resolve(name)
        if "uniform" not in self.contestants:
            raise ConfigError(
                "--contestants must include 'uniform', which defines a score of 0. Add it."
            )
        if self.production is not None and PRODUCTION not in self.contestants:
            object.__setattr__(self, "contestants", (*self.contestants, PRODUCTION))
        if self.production is None and PRODUCTION in self.contestants:
            raise ConfigError(
                "--contestants includes 'production' and --production gives no weights. Add"
                " --production weights.json."
            )

    @property
    def folder(self) -> Path:
        """Folder of the results."""
        return self.out or self.run / "comparison"
