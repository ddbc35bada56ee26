"""Evaluates any policy on a run's final users, from Python."""

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
    """A policy compared with a reference in the same sessions, under one evaluator."""

    evaluator: str
    """`simulator`, or `ground_truth` where the log is synthetic."""
    reference: str
    """`production` if its weights are given, else `uniform`."""
    sessions: int
    """Number of sessions of final users."""
    reward: Interval
    """Session reward of the policy, with its 95 % CI."""
    reference_reward: Interval
    """Session reward of the reference, with its 95 % CI."""
    difference: Interval
    """Session reward of the policy minus the reference's, with the 95 % CI of paired sessions."""


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
        production: weights in production, one per task of the run: a sequence in task order, or a
            mapping by name. By default the reference is uniform weights.
        sessions: number of sessions for each evaluator, at least 2; by default the run's.
        seed: seed of the sessions; by default the sessions of the run's leaderboard.
        reward: reward that replaces the run's; repeat the run's own `module:function` here.

    Returns:
        One row for each evaluator.

    Raises:
        ConfigError: if the policy's setting differs from the run's, a number is out of range, or
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
        own, base = (
            roll_out(dynamics, each, seed=seed, episodes=np.arange(count))
            for each in (played, reference)
        )
        rows.append(
            PolicyComparison(
                evaluator=evaluator,
                reference=name,
                sessions=count,
                reward=mean_interval(own.reward, own.users),
                reference_reward=mean_interval(base.reward, base.users),
                difference=paired_difference(own, base),
            )
        )
    return tuple(rows)


def _refuse_another_setting(policy: Any, dynamics: SessionDynamics, run: Path) -> None:
    if not isinstance(policy, FusionPolicy):
        return
    own, expected = policy.setting, FusionSetting.of(dynamics)
    if not policy.is_static and own.observation != expected.observation:
        raise ConfigError(
            f"the policy was trained on another observation than that of the sessions of {run}."
            " Evaluate it on a run with the same data and session settings"
        )
    if own.fusion != expected.fusion:
        raise ConfigError(
            f"the policy has fusion settings {own.fusion}, {run} has {expected.fusion}. Evaluate it"
            " on a run with the same fusion settings"
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
