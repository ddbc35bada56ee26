"""The environments by their Gymnasium ids: a built-in demonstration, or a run's sessions."""

from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.special import expit, logit

from mtf_rl.core.errors import ConfigError
from mtf_rl.core.protocols import SIMULATOR, SYNTHETIC_TRUTH
from mtf_rl.core.randomness import Luck, Purpose
from mtf_rl.core.tasks import NUM_TASKS
from mtf_rl.data import ScoreTable, UserGroup
from mtf_rl.envs import (
    FusionSessionEnv,
    FusionSessionVectorEnv,
    SessionConfig,
    SessionDynamics,
    UserProfiles,
)
from mtf_rl.user_models import World, WorldConfig

__all__ = ["demo_dynamics", "make_session_env", "make_session_vector_env"]

DEMO_USERS, DEMO_VIDEOS, DEMO_POOL = 200, 500, 300
DEMO_NOISE = 0.5
_SINGLE_COLUMN = 1
_JUDGES = {"simulator": SIMULATOR, "world": SYNTHETIC_TRUTH}


def make_session_env(
    run: str | None = None, judge: str = "simulator", group: str = "learn"
) -> FusionSessionEnv:
    """One session at a time; see `FusionSessionEnv`.

    Args:
        run: a run's folder, whose scores and users are used; None for the demonstration world.
        judge: who answers in a run: `simulator`, or `world` for the truth of a synthetic log.
        group: whose sessions of a run: users to `learn` from, to `tune` on, or `final` ones.

    Raises:
        ConfigError: if judge or group is unknown or not to be had.
        MtfRlError: if the run's folder cannot be read.
    """
    return FusionSessionEnv(_dynamics(run, judge, group))


def make_session_vector_env(
    num_envs: int = 1, run: str | None = None, judge: str = "simulator", group: str = "learn"
) -> FusionSessionVectorEnv:
    """Many sessions at once, natively batched; arguments as for `make_session_env`.

    Raises:
        ConfigError: if judge or group is unknown or not to be had, or num_envs is below 1.
        MtfRlError: if the run's folder cannot be read.
    """
    return FusionSessionVectorEnv(_dynamics(run, judge, group), num_envs)


@lru_cache(maxsize=2)
def demo_dynamics(config: SessionConfig | None = None) -> SessionDynamics:
    """Sessions in a world of 200 users and 500 videos, seed 0, answered by its truth.

    Scores are the true probabilities with logit noise of standard deviation 0.5, independent
    over videos, users and tasks. A demonstration, never reported: a real ranker errs otherwise.
    """
    world = World(WorldConfig(users=DEMO_USERS, videos=DEMO_VIDEOS, seed=0))
    pools = world.retrieve(DEMO_POOL)  # (users, pool)
    users = np.repeat(np.arange(DEMO_USERS), DEMO_POOL)
    hours = np.full(DEMO_USERS, 20, dtype=np.int8)
    tabs = np.full(DEMO_USERS, _SINGLE_COLUMN, dtype=np.int16)
    truth = world.true_probabilities(
        users, pools.ravel(), np.repeat(hours, DEMO_POOL), np.repeat(tabs, DEMO_POOL)
    )  # (users * pool, tasks)
    episodes = np.arange(len(users))
    noise = Luck(0, episodes, np.zeros_like(episodes)).normals(Purpose.SCORE_NOISE, NUM_TASKS)
    scores = expit(logit(np.clip(truth, 1e-6, 1 - 1e-6)) + DEMO_NOISE * noise)
    table = ScoreTable(
        scores=scores.reshape(DEMO_USERS, DEMO_POOL, NUM_TASKS).astype(np.float32),
        videos=pools,
        base_rates=truth.mean(axis=0).astype(np.float64),
        hours=hours,
        tabs=tabs,
        scorer_keys=np.zeros(0, dtype=np.uint64),
    )
    return SessionDynamics(
        scores=table,
        user_model=world,
        catalogue=world.catalogue,
        profiles=UserProfiles(np.zeros((DEMO_USERS, 0), dtype=np.float32), ()),
        users=np.arange(DEMO_USERS),
        config=config or SessionConfig(),
    )


def _dynamics(run: str | None, judge: str, group: str) -> SessionDynamics:
    if judge not in _JUDGES:
        raise ConfigError(f"judge must be one of {', '.join(_JUDGES)}, got {judge!r}")
    groups = {member.name.lower(): member for member in UserGroup}
    if group not in groups:
        raise ConfigError(f"group must be one of {', '.join(groups)}, got {group!r}")
    if run is None:
        return demo_dynamics()
    # The command line pulls in every agent, which the demonstration does not need.
    from mtf_rl.experiments.assembly import Assembly
    from mtf_rl.experiments.command_line import settings_of_run
    from mtf_rl.experiments.run_folder import open_run_folder

    folder = open_run_folder(Path(run))
    assembly = Assembly.load(folder.data, folder.simulator)
    session = settings_of_run(folder).run.session
    return assembly.dynamics(session, groups[group], _JUDGES[judge])
