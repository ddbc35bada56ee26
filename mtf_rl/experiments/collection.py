"""Batch datasets of a run: a behaviour policy rolled out, and written with its densities."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mtf_rl.agents import (
    BehaviourPolicy,
    BoundedUniform,
    ConstantPolicy,
    FusionSetting,
    Mixture,
    TruncatedGaussian,
    UniformRandom,
    collect,
    setting_of,
)
from mtf_rl.core.errors import ConfigError, RunFolderError
from mtf_rl.core.protocols import Policy
from mtf_rl.core.registry import Registry
from mtf_rl.data import BatchDataset, UserGroup
from mtf_rl.envs import RequestBudget, SessionDynamics
from mtf_rl.evaluation import mean_interval
from mtf_rl.experiments.assembly import Assembly
from mtf_rl.experiments.command_line import settings_of_run
from mtf_rl.experiments.command_settings import CollectConfig
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.run_evaluation import load_entries
from mtf_rl.experiments.run_folder import open_run_folder

__all__ = [
    "BEHAVIOURS",
    "CollectConfig",
    "ExplorationStd",
    "batch_for",
    "collect_batch",
    "describe_batch",
    "refuse_another_run",
    "refuse_other_base_rates",
]

_RATES_APART = float(np.log(1.25))


@dataclass(frozen=True)
class ExplorationStd:
    """How far from a base policy's action a behaviour explores, in units of the action."""

    std: float = 0.2
    """Of a truncated Gaussian."""
    radius: float = 0.15
    """Of a bounded uniform draw."""


_Maker = Callable[[Policy, int, ExplorationStd], BehaviourPolicy]


def _mix(base: Policy, width: int, spread: ExplorationStd) -> BehaviourPolicy:
    near = TruncatedGaussian(base, spread.std)
    return Mixture((UniformRandom(width), near), (1.0, 1.0))


BEHAVIOURS: Registry[_Maker] = Registry(
    "behaviour",
    {
        "uniform_random": lambda base, width, spread: UniformRandom(width),
        "truncated_gaussian": lambda base, width, spread: TruncatedGaussian(base, spread.std),
        "bounded_uniform": lambda base, width, spread: BoundedUniform(base, spread.radius),
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
        ConfigError: if the run has no such base policy, or no such evaluator.
    """
    if config.path.exists():
        raise RunFolderError(f"{config.path} is there already; choose another --out, or remove it")
    run = open_run_folder(config.run)
    session = settings_of_run(run).run.session
    entries = load_entries(run.policies)
    if config.base not in entries:
        raise ConfigError(f"base must be one of {', '.join(entries)}, got {config.base!r}")
    assembly = Assembly.load(run.data, run.simulator)
    dynamics = assembly.dynamics(session, UserGroup.LEARN, config.evaluator)
    base = entries[config.base].policy
    behaviour = BEHAVIOURS[config.behaviour](
        base, dynamics.action_dim, ExplorationStd(config.std, config.radius)
    )
    with terminal.progress("requests", config.requests) as bar:
        batch = collect(
            dynamics, behaviour, requests=config.requests, seed=config.seed, progress=bar
        )
    batch.save(config.path)
    terminal.say(describe_batch(batch))
    terminal.say(f"Written to {config.path}.")
    return config.path


def batch_for(
    learning: SessionDynamics,
    given: Path | None,
    *,
    budget: RequestBudget,
    seed: int,
    keep_at: Path,
) -> BatchDataset:
    """The batch dataset that an agent learns from: the given one, or one collected and kept.

    Without one, the default mix around uniform weights is played in the simulator for the whole
    budget.

    Args:
        learning: sessions of the users who are learnt from, whose spaces the dataset must share.
        given: the file, if there is one.
        budget: charged with what is collected.
        seed: of the collected sessions' random numbers.
        keep_at: file that a collected dataset is written to, and read from if it is there.

    Raises:
        ConfigError: if the given dataset has other observations or parameters.
        ArtifactError: if the file is missing or torn.
    """
    if given is not None:
        batch = BatchDataset.load(given)
        refuse_another_run(given, batch, learning)
        return batch
    requests = budget.limit or 0
    if keep_at.exists():
        budget.spend(requests)
        return BatchDataset.load(keep_at)
    uniform = learning.formula.parameters_of(learning.formula.tasks.signs)
    base = ConstantPolicy(learning.action_map.to_action(uniform))
    behaviour = BEHAVIOURS["mix"](base, learning.action_dim, ExplorationStd())
    batch = collect(learning, behaviour, requests=requests, seed=seed, budget=budget)
    batch.save(keep_at)
    return batch


def refuse_another_run(path: Path, batch: BatchDataset, dynamics: SessionDynamics) -> None:
    """Refuse a batch whose observations, parameters or rewards are not those of some sessions.

    An action of another formula or map is another ranking; another reward, another goal.

    Raises:
        ConfigError: naming the first difference.
    """
    for name, mine, expected in (
        ("observations", batch.observation_names, dynamics.layout.names),
        ("parameters", batch.parameter_names, dynamics.formula.parameter_names),
    ):
        if mine != expected:
            raise ConfigError(
                f"{path} has other {name} than this run's sessions:"
                f" {_first_difference(mine, expected)}. Collect one with the same data,"
                f" formula and tasks"
            )
    for name, expected in setting_of(dynamics).items():
        mine = (batch.setting or {}).get(name, expected)
        if mine != expected and name != "base_rates":  # which may lie a little apart: below
            raise ConfigError(
                f"{path} was logged with {name} {mine!r}, this run has {expected!r}. Give the run"
                f" the log's (--session.{name.replace('_', '-')}), or collect another batch"
            )
    refuse_other_base_rates("this run", FusionSetting.of(dynamics), batch)


def refuse_other_base_rates(what: str, setting: FusionSetting, batch: BatchDataset) -> None:
    """Refuse a log of other base rates where the formula is shifted by them.

    Rates less than a quarter apart are let pass: as much may lie between a rare feedback's on two
    days, and log(p + beta) moves by less than 0.23. A log that does not tell its rates is taken to
    have those of the setting.

    Raises:
        ConfigError: naming the task whose rates differ most.
    """
    told = (batch.setting or {}).get("base_rates", setting.base_rates)
    logged = replace(setting, base_rates=tuple(told))
    if logged.make_formula() == setting.make_formula():
        return
    mine, theirs = np.array(setting.base_rates), np.array(logged.base_rates)
    apart = np.abs(np.log(np.maximum(mine, 1e-6) / np.maximum(theirs, 1e-6)))
    if apart.max() > _RATES_APART:
        position = int(apart.argmax())
        raise ConfigError(
            f"{what} fuses with a base rate of {mine[position]:.4g} for"
            f" {setting.fusion.tasks[position]}, the"
            f" log's requests were fused with {theirs[position]:.4g}: under"
            f" {setting.fusion.formula} the same weights are another ranking. Take a log and a"
            " policy of the same data"
        )


def _first_difference(mine: tuple[str, ...], expected: tuple[str, ...]) -> str:
    for position, (name, other) in enumerate(zip(mine, expected, strict=False)):
        if name != other:
            return f"number {position} is '{name}' where '{other}' is expected"
    return f"there are {len(mine)} where {len(expected)} are expected"


def describe_batch(batch: BatchDataset) -> str:
    """What was collected, in a sentence."""
    _, sessions = np.unique(batch.sessions, return_inverse=True)
    rewards = np.bincount(sessions, batch.rewards).astype(np.float64)
    interval = mean_interval(rewards, np.arange(len(rewards)))
    followed = np.bincount(batch.behaviours, minlength=len(batch.behaviour_names))
    fractions = ", ".join(
        f"{name} {fraction:.0%}"
        for name, fraction in zip(batch.behaviour_names, followed / followed.sum(), strict=True)
    )
    return (
        f"{len(batch.rewards)} requests of {len(rewards)} sessions, answered by {batch.evaluator};"
        f" reward of a session {interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}];"
        f" requests by behaviour: {fractions}; {_densities(batch)}{_untold(batch)}"
    )


def _untold(batch: BatchDataset) -> str:
    if batch.setting is not None:
        return ""
    return "; the log does not tell its formula, action map and reward: taken to be this run's"


def _densities(batch: BatchDataset) -> str:
    known = batch.log_densities[~np.isnan(batch.log_densities)]
    if len(known) == 0:
        return "no action's density is known"
    return (
        f"log density of an action from {known.min():.2f} to {known.max():.2f}, known for"
        f" {len(known) / len(batch.rewards):.0%}"
    )
