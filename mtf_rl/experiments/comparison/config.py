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
    """Let agents and searches learn in a run's simulator, with one budget and several seeds.

    Finished jobs are kept: the same command goes on where it was stopped.

    Raises:
        ConfigError: if a number is out of range.
        UnknownNameError: if there is no such contestant.
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
    """How many learners are headline ones: the best on tuning users; at least 1."""
    production: str | None = None
    """Fusion weights that serve today, as the contestant production: a JSON file with a weight by
    task name, or 0.4,0.8,... in task order. Without them, uniform weights take their place."""
    contestants: tuple[str, ...] = tuple(name for name in CONTESTANTS if name != PRODUCTION)
    """Contestants by name; your own contestant or agent as module:Name."""
    fractions: tuple[float, ...] = (0.125, 0.25, 0.5)
    """Smaller budgets, as fractions in (0, 1); every contestant learns again with each."""
    sessions: int = 4_000
    """Sessions of final users for each policy and evaluator, at least 2."""
    tuning_sessions: int = 2_000
    """Sessions of tuning users by which the best are named, at least 2."""
    seesaw: bool = True
    """Whether the headlines also learn for watch time alone and for interactions alone."""
    retention: bool = True
    """Whether some also learn over several sessions of a user, with the days between them."""
    reference: bool = True
    """Whether a policy is also trained in the ground truth, as the 100 of the score."""
    rescored: int = 2
    """Other seeds of the scorer under which the policies are evaluated again; 0 for none."""
    jobs: tuple[Path, ...] = ()
    """Files jobs.jsonl of this comparison on other machines: what agrees in run, settings, budget
    and versions is not done again."""
    workers: int = 2
    """Processes, at least 1, with one thread each."""
    out: Path | None = None
    """Folder of the results; by default RUN/comparison."""

    def __post_init__(self) -> None:
        for name, least in (
            ("requests", 1),
            ("seeds", 2),
            ("headline_seeds", self.seeds),
            ("headline_learners", 1),
            ("sessions", 2),
            ("tuning_sessions", 2),
            ("rescored", 0),
            ("workers", 1),
        ):
            check_at_least(name, getattr(self, name), least)
        for fraction in self.fractions:
            if not 0.0 < fraction < 1.0:
                raise ConfigError(f"fractions must be in (0, 1), got {fraction}")
        for name in self.contestants:
            CONTESTANTS.resolve(name)
        if "uniform" not in self.contestants:
            raise ConfigError(
                "--contestants must include 'uniform': scores are measured from it. Add it."
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
        """Where the results are."""
        return self.out or self.run / "comparison"
