"""Batch datasets of a run: a behaviour policy rolled out, and written with its densities."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from mtf_rl.agents import (
    BehaviourPolicy,
    BoundedUniform,
    Mixture,
    TruncatedGaussian,
    UniformRandom,
    collect,
)
from mtf_rl.core.errors import ConfigError, RunFolderError
from mtf_rl.core.protocols import SIMULATOR, SYNTHETIC_TRUTH, Policy
from mtf_rl.core.ranges import check_above, check_at_least, check_seed
from mtf_rl.core.registry import Registry
from mtf_rl.data import BatchDataset, UserGroup
from mtf_rl.evaluation import mean_interval
from mtf_rl.experiments.assembly import Assembly
from mtf_rl.experiments.command_line import settings_of_run
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.judging import load_entries
from mtf_rl.experiments.run_folder import open_run_folder

__all__ = ["BEHAVIOURS", "CollectConfig", "collect_batch"]

_JUDGES = {"simulator": SIMULATOR, "world": SYNTHETIC_TRUTH}


@dataclass(frozen=True)
class CollectConfig:
    """Roll a behaviour policy on a run's learning users, and write the batch dataset.

    Raises:
        ConfigError: if a number is out of range, or the judge unknown.
        UnknownNameError: if there is no such behaviour.
    """

    run: tyro.conf.Positional[Path]
    """Folder of a run with a policy in it."""
    behaviour: str = "mix"
    """uniform_random, truncated_gaussian, bounded_uniform, or mix: one of the first two, session by
    session."""
    requests: int = 100_000
    """Requests at least; the last session is kept whole."""
    judge: str = "simulator"
    """Who answers: simulator, or world for the truth of a synthetic log (logging, not learning)."""
    base: str = "uniform"
    """The run's policy around which actions are drawn."""
    deviation: float = 0.2
    """Deviation of truncated_gaussian, in units of the action, above 0."""
    radius: float = 0.15
    """Radius of bounded_uniform, in units of the action, above 0."""
    seed: int = 0
    """Seed of the sessions' luck and of the behaviour's."""
    out: Path | None = None
    """The Parquet file; by default RUN/data/batch-BEHAVIOUR-JUDGE-SEED.parquet."""

    def __post_init__(self) -> None:
        check_at_least("requests", self.requests, 1)
        check_above("deviation", self.deviation, 0.0)
        check_above("radius", self.radius, 0.0)
        check_seed("seed", self.seed)
        BEHAVIOURS[self.behaviour]
        if self.judge not in _JUDGES:
            raise ConfigError(f"judge must be one of {', '.join(_JUDGES)}, got {self.judge!r}")

    @property
    def path(self) -> Path:
        """The file to write."""
        name = f"batch-{self.behaviour}-{self.judge}-{self.seed}.parquet"
        return self.out or self.run / "data" / name


_Maker = Callable[[Policy, int, CollectConfig], BehaviourPolicy]


def _mix(base: Policy, width: int, config: CollectConfig) -> BehaviourPolicy:
    near = TruncatedGaussian(base, config.deviation)
    return Mixture((UniformRandom(width), near), (1.0, 1.0))


BEHAVIOURS: Registry[_Maker] = Registry(
    "behaviour",
    {
        "uniform_random": lambda base, width, config: UniformRandom(width),
        "truncated_gaussian": lambda base, width, config: TruncatedGaussian(base, config.deviation),
        "bounded_uniform": lambda base, width, config: BoundedUniform(base, config.radius),
        "mix": _mix,
    },
)


def collect_batch(config: CollectConfig, terminal: Terminal) -> Path:
    """Collect and write a batch dataset.

    Args:
        config: which run, which behaviour, how much.
        terminal: told what was collected.

    Returns:
        The file.

    Raises:
        RunFolderError: if the file is there already, or the folder is no run's.
        ConfigError: if the run has no such base policy, or no such judge.
    """
    if config.path.exists():
        raise RunFolderError(f"{config.path} is there already; choose another --out, or remove it")
    run = open_run_folder(config.run)
    session = settings_of_run(run).run.session
    entries = load_entries(run.policies)
    if config.base not in entries:
        raise ConfigError(f"base must be one of {', '.join(entries)}, got {config.base!r}")
    assembly = Assembly.load(run.data, run.simulator)
    dynamics = assembly.dynamics(session, UserGroup.LEARN, _JUDGES[config.judge])
    base = entries[config.base].policy
    behaviour = BEHAVIOURS[config.behaviour](base, dynamics.num_parameters, config)
    with terminal.progress("requests", config.requests) as bar:
        batch = collect(
            dynamics, behaviour, requests=config.requests, seed=config.seed, progress=bar
        )
    batch.save(config.path)
    terminal.say(_summary(batch))
    terminal.say(f"Written to {config.path}.")
    return config.path


def _summary(batch: BatchDataset) -> str:
    """What was collected, in a sentence."""
    _, sessions = np.unique(batch.sessions, return_inverse=True)
    rewards = np.bincount(sessions, batch.rewards).astype(np.float64)
    interval = mean_interval(rewards, np.arange(len(rewards)))
    followed = np.bincount(batch.behaviours, minlength=len(batch.behaviour_names))
    shares = ", ".join(
        f"{name} {share:.0%}"
        for name, share in zip(batch.behaviour_names, followed / followed.sum(), strict=True)
    )
    return (
        f"{len(batch.rewards)} requests of {len(rewards)} sessions, answered by {batch.judge};"
        f" reward of a session {interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}];"
        f" requests by behaviour: {shares}; log density of an action from"
        f" {batch.log_densities.min():.2f} to {batch.log_densities.max():.2f}"
    )
