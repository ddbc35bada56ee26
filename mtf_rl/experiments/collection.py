"""Collects batch datasets: requests of a behaviour policy, with the densities of its actions."""

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
from mtf_rl.experiments.answer import say_wrapped
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

_MAX_LOG_RATIO = float(np.log(1.25))


@dataclass(frozen=True)
class ExplorationStd:
    """Width of the exploration around a base policy's action, in units of the action."""

    std: float = 0.2
    """Standard deviation of a truncated Gaussian."""
    radius: float = 0.15
    """Radius of a bounded uniform draw."""


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
        config: run, behaviour policy and number of requests.
        terminal: prints progress and a summary.

    Returns:
        The file.

    Raises:
        RunFolderError: if the file exists, or the folder is not a run.
        ConfigError: if the run lacks the base policy or the evaluator.
    """
    if config.path.exists():
        raise RunFolderError(f"{config.path} exists; choose another --out, or remove the file")
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
    say_wrapped([f"{describe_batch(batch)}."], terminal)
    say_wrapped([f"Written to {config.path}."], terminal)
    return config.path


def batch_for(
    learning: SessionDynamics,
    given: Path | None,
    *,
    budget: RequestBudget,
    seed: int,
    keep_at: Path,
) -> BatchDataset:
    """Load the given batch dataset, or collect one and save it.

    Collection spends the whole budget in the simulator, with the behaviour `mix` around uniform
    weights.

    Args:
        learning: sessions of learning users; the dataset must have their spaces.
        given: file of a batch dataset, or None.
        budget: charged with the collected requests.
        seed: seed of the collected sessions.
        keep_at: file of the collected dataset; it is loaded if it exists.

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
    """Refuse a batch whose observations, parameters, fusion or reward differ from the sessions'.

    Under another formula or action map, the same action means another ranking.

    Raises:
        ConfigError: naming the first difference.
    """
    for name, logged, expected in (
        ("observations", batch.observation_names, dynamics.layout.names),
        ("parameters", batch.parameter_names, dynamics.formula.parameter_names),
    ):
        if logged != expected:
            raise ConfigError(
                f"{path} has other {name} than this run's sessions:"
                f" {_first_difference(logged, expected)}. Collect one with the same data,"
                f" formula and tasks"
            )
    for name, expected in setting_of(dynamics).items():
        logged = (batch.setting or {}).get(name, expected)
        if logged != expected and name != "base_rates":  # these have a tolerance, checked below
            raise ConfigError(
                f"{path} was logged with {name} {logged!r}, this run has {expected!r}. Set"
                f" --session.{name.replace('_', '-')} to the log's value, or collect another batch"
            )
    refuse_other_base_rates("this run", FusionSetting.of(dynamics), batch)


def refuse_other_base_rates(what: str, setting: FusionSetting, batch: BatchDataset) -> None:
    """Refuse a log with other base rates if the formula depends on them.

    Rates within a factor of 1.25 pass: a rare feedback's rate can differ by as much between two
    days, and log(p + beta) moves by less than 0.23. A log without base rates is assumed to have
    the setting's.

    Raises:
        ConfigError: naming the task whose rates differ most.
    """
    rates = (batch.setting or {}).get("base_rates", setting.base_rates)
    logged = replace(setting, base_rates=tuple(rates))
    if logged.make_formula() == setting.make_formula():
        return
    own_rates, log_rates = np.array(setting.base_rates), np.array(logged.base_rates)
    distances = np.abs(np.log(np.maximum(own_rates, 1e-6) / np.maximum(log_rates, 1e-6)))
    if distances.max() > _MAX_LOG_RATIO:
        position = int(distances.argmax())
        raise ConfigError(
            f"{what} has base rate {own_rates[position]:.4g} for {setting.fusion.tasks[position]},"
            f" the log has {log_rates[position]:.4g}: under {setting.fusion.formula} the same"
            " weights give another ranking. Use a log and a policy of the same data"
        )


def _first_difference(names: tuple[str, ...], expected: tuple[str, ...]) -> str:
    for position, (name, wanted) in enumerate(zip(names, expected, strict=False)):
        if name != wanted:
            return f"expected '{wanted}' at position {position}, got '{name}'"
    return f"expected {len(expected)}, got {len(names)}"


def describe_batch(batch: BatchDataset) -> str:
    """One sentence on a batch dataset: its size, rewards, behaviours and densities."""
    _, sessions = np.unique(batch.sessions, return_inverse=True)
    rewards = np.bincount(sessions, batch.rewards).astype(np.float64)
    interval = mean_interval(rewards, np.arange(len(rewards)))
    counts = np.bincount(batch.behaviours, minlength=len(batch.behaviour_names))
    fractions = ", ".join(
        f"{name} {100.0 * fraction:.0f} %"
        for name, fraction in zip(batch.behaviour_names, counts / counts.sum(), strict=True)
    )
    return (
        f"{len(batch.rewards)} requests of {len(rewards)} sessions, evaluator {batch.evaluator};"
        f" session reward {interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}] (95 % CI);"
        f" requests by behaviour: {fractions}; {_densities(batch)}{_missing_setting(batch)}"
    )


def _missing_setting(batch: BatchDataset) -> str:
    if batch.setting is not None:
        return ""
    return "; the log has no formula, action map and reward: this run's are assumed"


def _densities(batch: BatchDataset) -> str:
    known = batch.log_densities[~np.isnan(batch.log_densities)]
    if len(known) == 0:
        return "no action density is known"
    return (
        f"log densities of actions from {known.min():.2f} to {known.max():.2f}, known for"
        f" {100.0 * len(known) / len(batch.rewards):.0f} % of requests"
    )
