"""Any policy on a run's final users, in Python."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mtf_rl.agents import ConstantPolicy, FusionPolicy, FusionSetting, load_policy
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.protocols import Policy
from mtf_rl.data import UserGroup
from mtf_rl.envs import SessionDynamics
from mtf_rl.evaluation import Interval, mean_interval, paired_difference, roll_out
from mtf_rl.experiments.assembly import Assembly
from mtf_rl.experiments.command_line import settings_of_run
from mtf_rl.experiments.comparison.contestants import PRODUCTION
from mtf_rl.experiments.production import production_policy
from mtf_rl.experiments.run_evaluation import FINAL_SEED
from mtf_rl.experiments.run_folder import open_run_folder

__all__ = ["PolicyComparison", "evaluate_policy"]


@dataclass(frozen=True)
class PolicyComparison:
    """A policy against a reference under one evaluator, over the same sessions."""

    evaluator: str
    """`simulator`, or `ground_truth` where the log is synthetic."""
    reference: str
    """`production` where its weights are given, else `uniform`."""
    sessions: int
    """Sessions of final users."""
    reward: Interval
    """Session reward of the policy, with its 95 % CI."""
    reference_reward: Interval
    """Session reward of the reference, with its 95 % CI."""
    difference: Interval
    """What the policy gains, with the 95 % CI of paired sessions."""


def evaluate_policy(
    policy: Policy | str | Path,
    run: str | Path,
    *,
    production: Sequence[float] | Mapping[str, float] | None = None,
    sessions: int | None = None,
    seed: int = FINAL_SEED,
    reward: str | None = None,
) -> tuple[PolicyComparison, ...]:
    """Roll out a policy on a run's final users, under each evaluator.

    Args:
        policy: a policy folder, or any object with SB3's `predict`, such as an SB3 model.
        run: the run's folder.
        production: weights that serve today, one per task of the run: a sequence in task order,
            or a mapping by name. Uniform weights are the reference without them.
        sessions: sessions for each evaluator, at least 2; as in the run by default.
        seed: of the sessions' random numbers; by default the run's own sessions.
        reward: another reward than the run's, or the run's own `module:function` repeated.

    Returns:
        One row for each evaluator.

    Raises:
        ConfigError: if the policy is of another setting than the run, a number is out of range, or
            the run's action map does not reach production's weights.
        MtfRlError: if the run or the policy cannot be read.
    """
    folder = open_run_folder(Path(run))
    config = settings_of_run(folder, reward).run
    assembly = Assembly.load(folder.data, folder.simulator)
    played = load_policy(policy) if isinstance(policy, str | Path) else policy
    count = config.sessions if sessions is None else sessions
    if count < 2:
        raise ConfigError(f"sessions must be at least 2, got {count}")
    rows = []
    for evaluator in assembly.evaluators:
        dynamics = assembly.dynamics(config.session, UserGroup.FINAL, evaluator)
        _refuse_another_setting(played, dynamics, folder.path)
        name, reference = _reference(dynamics, production)
        found, other = (
            roll_out(dynamics, each, seed=seed, episodes=np.arange(count))
            for each in (played, reference)
        )
        rows.append(
            PolicyComparison(
                evaluator=evaluator,
                reference=name,
                sessions=count,
                reward=mean_interval(found.reward, found.users),
                reference_reward=mean_interval(other.reward, other.users),
                difference=paired_difference(found, other),
            )
        )
    return tuple(rows)


def _refuse_another_setting(policy: Any, dynamics: SessionDynamics, run: Path) -> None:
    if not isinstance(policy, FusionPolicy):
        return
    own, expected = policy.setting, FusionSetting.of(dynamics)
    if not policy.is_static and own.observation != expected.observation:
        raise ConfigError(f"the policy observes other numbers than the sessions of {run}")
    if own.fusion != expected.fusion:
        raise ConfigError(
            f"the policy's actions mean {own.fusion}, those of {run} {expected.fusion}"
        )


def _reference(
    dynamics: SessionDynamics, production: Sequence[float] | Mapping[str, float] | None
) -> tuple[str, ConstantPolicy]:
    formula, tasks = dynamics.formula, dynamics.formula.tasks
    if production is None:
        uniform = formula.parameters_of(tasks.signs)
        return "uniform", ConstantPolicy(dynamics.action_map.to_action(uniform))
    if isinstance(production, Mapping):
        if set(production) != set(tasks.names):
            raise ConfigError(
                f"production must name {', '.join(tasks.names)}, got {', '.join(production)}"
            )
        weights = np.array([production[name] for name in tasks.names], dtype=np.float32)
    else:
        weights = np.asarray(production, dtype=np.float32)
    if weights.shape != (len(tasks.names),) or not np.isfinite(weights).all():
        raise ConfigError(
            f"production must be one number for each of {', '.join(tasks.names)}, got {production}"
        )
    return PRODUCTION, production_policy(weights, formula, dynamics.action_map)
