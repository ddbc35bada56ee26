"""Makes the Gymnasium environments, from a run or from a built-in demonstration world."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from scipy.special import expit, logit

from mtf_rl.core.deprecation import note_old_spelling
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.plugins import import_from_path
from mtf_rl.core.protocols import GROUND_TRUTH, SIMULATOR, UserModel
from mtf_rl.core.randomness import EpisodeRng, Purpose
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.core.videos import VideoCatalogue
from mtf_rl.data import ScoreTable, UserGroup
from mtf_rl.envs import (
    FusionRetentionEnv,
    FusionRetentionVectorEnv,
    FusionSessionEnv,
    FusionSessionVectorEnv,
    RetentionConfig,
    RetentionDynamics,
    SessionConfig,
    SessionDynamics,
    UserProfiles,
)
from mtf_rl.user_models import World, WorldConfig

__all__ = [
    "demo_dynamics",
    "make_retention_env",
    "make_retention_vector_env",
    "make_session_env",
    "make_session_vector_env",
    "session_dynamics",
]

DEMO_USERS, DEMO_VIDEOS, DEMO_POOL = 200, 500, 300
DEMO_NOISE = 0.5
_SINGLE_COLUMN = 1
_EVALUATORS = {"simulator": SIMULATOR, "ground_truth": GROUND_TRUTH}
OwnModel: TypeAlias = UserModel[Any] | Callable[[VideoCatalogue], UserModel[Any]] | str
_MODEL_PARTS = (
    "evaluator",
    "hour_fractions",
    "start",
    "resume",
    "respond",
    "leave",
    "pause_seconds",
    "return_days",
)


def make_session_env(render_mode: str | None = None, **arguments: Any) -> FusionSessionEnv:
    """Make an environment with one session at a time; see `FusionSessionEnv`.

    Args:
        render_mode: `ansi`, `rgb_array` or None.
        arguments: arguments of `session_dynamics`.

    Raises:
        ConfigError: if an argument is unknown, out of range or not available.
        MtfRlError: if the run's folder cannot be read.
    """
    return FusionSessionEnv(session_dynamics(**arguments), render_mode=render_mode)


def make_session_vector_env(num_envs: int = 1, **arguments: Any) -> FusionSessionVectorEnv:
    """Make a natively batched environment of many sessions; errors as in `make_session_env`."""
    return FusionSessionVectorEnv(session_dynamics(**arguments), num_envs)


def make_retention_env(render_mode: str | None = None, **arguments: Any) -> FusionRetentionEnv:
    """Make an environment with the sessions of one user at a time; see `FusionRetentionEnv`.

    `arguments` are those of `session_dynamics` and settings of `RetentionConfig`. Errors as in
    `make_session_env`.
    """
    return FusionRetentionEnv(_retention_dynamics(arguments), render_mode=render_mode)


def make_retention_vector_env(num_envs: int = 1, **arguments: Any) -> FusionRetentionVectorEnv:
    """Make a natively batched environment of many users; see `make_retention_env`."""
    return FusionRetentionVectorEnv(_retention_dynamics(arguments), num_envs)


@lru_cache(maxsize=2)
def demo_dynamics(config: SessionConfig | None = None) -> SessionDynamics:
    """Sessions in a synthetic world of 200 users and 500 videos (seed 0), by its ground truth.

    Scores are the true probabilities with logit noise of standard deviation 0.5, independent
    over videos, users and tasks. For demonstration only: a real ranker has other errors.
    """
    world, table = _demo_world()
    return SessionDynamics(
        scores=table,
        user_model=world,
        catalogue=world.catalogue,
        profiles=UserProfiles(np.zeros((DEMO_USERS, 0), dtype=np.float32), ()),
        users=np.arange(DEMO_USERS),
        config=config or SessionConfig(),
    )


@lru_cache(maxsize=1)
def _demo_world() -> tuple[World, ScoreTable]:
    world = World(WorldConfig(users=DEMO_USERS, videos=DEMO_VIDEOS, seed=0))
    pools = world.retrieve(DEMO_POOL)  # (users, pool)
    users = np.repeat(np.arange(DEMO_USERS), DEMO_POOL)
    hours = np.full(DEMO_USERS, 20, dtype=np.int8)
    tabs = np.full(DEMO_USERS, _SINGLE_COLUMN, dtype=np.int16)
    truth = world.true_probabilities(
        users, pools.ravel(), np.repeat(hours, DEMO_POOL), np.repeat(tabs, DEMO_POOL)
    )  # (users * pool, tasks)
    episodes = np.arange(len(users))
    noise = EpisodeRng(0, episodes, np.zeros_like(episodes)).normals(
        Purpose.SCORE_NOISE, len(KUAIRAND_TASKS)
    )
    scores = expit(logit(np.clip(truth, 1e-6, 1 - 1e-6)) + DEMO_NOISE * noise)
    table = ScoreTable(
        scores=scores.reshape(DEMO_USERS, DEMO_POOL, len(KUAIRAND_TASKS)).astype(np.float32),
        videos=pools,
        base_rates=truth.mean(axis=0).astype(np.float64),
        hours=hours,
        tabs=tabs,
        scorer_keys=np.zeros(0, dtype=np.uint64),
    )
    return world, table


def _retention_dynamics(arguments: dict[str, Any]) -> RetentionDynamics:
    names = {entry.name for entry in fields(RetentionConfig)}
    config = RetentionConfig(**{name: arguments[name] for name in arguments if name in names})
    rest = {name: arguments[name] for name in arguments if name not in names}
    return RetentionDynamics(session_dynamics(**rest, further=sorted(names)), config)


def session_dynamics(
    run: str | None = None,
    evaluator: str = "simulator",
    group: str = "learn",
    *,
    user_model: OwnModel | None = None,
    further: Sequence[str] = (),
    **settings: Any,
) -> SessionDynamics:
    """Make the session dynamics of an environment.

    Args:
        run: folder of a run, whose scores and users are used; None for the demonstration world.
        evaluator: evaluator of a run: `simulator`, or `ground_truth` for a synthetic log.
        group: user group of a run: `learn`, `tune` or `final`.
        user_model: your own user model, which replaces the evaluator: a `UserModel`, a function
            that makes one from the `VideoCatalogue`, or that function as `module:function`.
        further: names of other valid settings, for the error message.
        settings: settings of `SessionConfig` that differ from the run's, or from the defaults.

    Raises:
        ConfigError: if an argument is unknown, out of range or not available.
        MtfRlError: if the run's folder cannot be read.
    """
    if "judge" in settings:
        note_old_spelling("judge=", "evaluator=")
        evaluator = settings.pop("judge")
    if evaluator == "world":
        note_old_spelling("world", "ground_truth")
        evaluator = "ground_truth"
    if evaluator not in _EVALUATORS:
        raise ConfigError(f"evaluator must be one of {', '.join(_EVALUATORS)}, got {evaluator!r}")
    groups = {member.name.lower(): member for member in UserGroup}
    if group not in groups:
        raise ConfigError(f"group must be one of {', '.join(groups)}, got {group!r}")
    known = SessionConfig.setting_names()
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise ConfigError(
            f"no such setting: {', '.join(unknown)}; known: {', '.join([*known, *further])}"
        )
    if run is None:
        dynamics = demo_dynamics(SessionConfig().with_settings(**settings))
    else:
        dynamics = _sessions_of_run(Path(run), _EVALUATORS[evaluator], groups[group], settings)
    if user_model is None:
        return dynamics
    return dynamics.answered_by(_own_model(user_model, dynamics.catalogue))


def _sessions_of_run(
    path: Path, evaluator: str, group: UserGroup, settings: dict[str, Any]
) -> SessionDynamics:
    # Imported here: the command line imports every agent, which the demonstration does not need.
    from mtf_rl.experiments.assembly import Assembly
    from mtf_rl.experiments.command_line import settings_of_run
    from mtf_rl.experiments.run_folder import open_run_folder

    folder = open_run_folder(path)
    config = settings_of_run(folder, reward=settings.get("reward")).run.session
    if config.fusion.base and "tasks" in settings and "base" not in settings:
        raise ConfigError("tasks differ from the run's; give base for these tasks too")
    assembly = Assembly.load(folder.data, folder.simulator)
    return assembly.dynamics(config.with_settings(**settings), group, evaluator)


def _own_model(user_model: OwnModel, catalogue: VideoCatalogue) -> UserModel[Any]:
    """The caller's own user model, made from the catalogue if a function is given.

    Raises:
        ConfigError: if it cannot be imported, or lacks a method of the protocol.
    """
    model: Any = user_model
    if isinstance(model, str):
        model = import_from_path(model, "user_model")
    if callable(model):
        model = model(catalogue)
    missing = [name for name in _MODEL_PARTS if not hasattr(model, name)]
    if missing:
        raise ConfigError(
            f"user_model {user_model!r} lacks {', '.join(missing)} of the protocol"
            " mtf_rl.core.protocols.UserModel"
        )
    complete: UserModel[Any] = model
    return complete
