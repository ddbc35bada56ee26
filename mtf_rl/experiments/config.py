"""The settings of a run; its flags and its `config.json` are derived from them."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, get_args

import tyro

from mtf_rl.agents import AGENTS, CmaEsConfig, GpBoConfig, GridConfig, RandomSearchConfig
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.plugins import short_name
from mtf_rl.core.ranges import check_above, check_at_least, check_choice, check_seed
from mtf_rl.core.registry import Registry
from mtf_rl.data import REAL_PLAN, SYNTHETIC_PLAN, TimePlan
from mtf_rl.envs import SessionConfig
from mtf_rl.experiments.devices import DeviceName
from mtf_rl.experiments.settings import read_named_settings
from mtf_rl.scorers import SCORERS, ScorerFitConfig
from mtf_rl.user_models import UserModelFitConfig, WorldConfig

__all__ = ["PRESETS", "Baselines", "LogConfig", "RunConfig", "RunSettings", "check_model"]


@dataclass(frozen=True)
class LogConfig:
    """Source of the log, and its split in time.

    Raises:
        ConfigError: if the session gap is not above 0.
    """

    data: Path | None = None
    """Folder of KuaiRand's files (https://kuairand.com), or a folder that `prepare` wrote; by
    default a synthetic world is simulated."""
    session_gap_minutes: float = 30.0
    """Longest gap between two requests of a session, in minutes, above 0."""
    test_days: int | None = None
    """Test days at the end of the log; by default 1 for a synthetic log, 3 for a real one."""
    validation_days: int | None = None
    """Validation days before the test days; by default 0 for a synthetic log, 1 for a real one."""
    validation_fraction: float | None = None
    """Last fraction of the requests before the test days for validation, if validation_days is 0;
    by default 0.1 for a synthetic log."""
    world: WorldConfig = field(default_factory=WorldConfig)
    """The synthetic world, if no data is given."""

    def __post_init__(self) -> None:
        check_above("session_gap_minutes", self.session_gap_minutes, 0.0)
        self.time_plan(synthetic=self.data is None)  # validates the plan

    def time_plan(self, *, synthetic: bool) -> TimePlan:
        """The default plan for this kind of log, with the fields that are set here."""
        chosen = {
            name: getattr(self, name)
            for name in ("test_days", "validation_days", "validation_fraction")
            if getattr(self, name) is not None
        }
        return replace(SYNTHETIC_PLAN if synthetic else REAL_PLAN, **chosen)


@dataclass(frozen=True)
class RunConfig:
    """The settings of a run, without the agent's own.

    Raises:
        ConfigError: if a number is out of range.
        UnknownNameError: if a name is not in its registry.
    """

    run_dir: Path | None = None
    """Folder of the run, new or empty; by default runs/AGENT-N, the first free N."""
    seed: int = 0
    """Seed of everything random, at least 0."""
    requests: Annotated[int, tyro.conf.arg(aliases=["--steps"])] = 40_000
    """Interaction budget of every method that learns or searches, in simulated requests."""
    sessions: int = 4_000
    """Sessions of final users on which each policy is evaluated, at least 2."""
    tuning_sessions: int = 1_000
    """Sessions of tuning users on which the best static weights are selected, at least 2."""
    myopic_baseline: bool = True
    """Whether to train the myopic baseline (gamma 0) of a learner too."""
    production: str | None = None
    """Fusion weights in production, the reference of all gains: a JSON file with a weight by task
    name, or 0.4,0.8,... in task order. By default the reference is uniform weights."""
    batch: Path | None = None
    """Batch dataset for batch-RL agents; by default, `requests` requests are collected in the
    simulator."""
    scorer: str = "mmoe"
    """Multi-task model of the scorer: mmoe, ple, cgc, omoe, shared_bottom, single_task, esmm,
    escm2_ips, escm2_dr, multi_ipw, multi_dr, aitm or your own module:Config."""
    scorer_model: tyro.conf.Suppress[Any] = None
    """Settings of the scorer's model, of that model's type; None for its defaults. On the command
    line: --scorer-model.FIELD."""
    predictions: Path | None = None
    """Parquet file of predictions (user_id, video_id, one column per task), which replaces scorer
    and retrieval: each user's first rows are the pool."""
    scorer_rows: int = 600_000
    """Maximum number of rows that a scorer is fitted on, at least 1."""
    pool: int = 300
    """Videos in each user's retrieval pool, at least `session.candidates`."""
    device: DeviceName = "cpu"
    """Torch device of scorer, user model and learners; auto uses a GPU if there is one. Only cpu
    gives repeatable numbers."""
    checkpoint_seconds: float = 60.0
    """Seconds between two checkpoints of a learner, which `--resume` uses; at least 0."""
    log: Annotated[LogConfig, tyro.conf.arg(name="")] = field(default_factory=LogConfig)
    """The log, given or synthetic."""
    session: SessionConfig = field(default_factory=SessionConfig)
    """The session environment."""
    scorer_fit: ScorerFitConfig = field(default_factory=ScorerFitConfig)
    """How the scorer is fitted."""
    user_model: UserModelFitConfig = field(default_factory=UserModelFitConfig)
    """How the simulator's user model is fitted."""

    def __post_init__(self) -> None:
        check_seed("seed", self.seed)
        for name, minimum in (
            ("requests", 0),
            ("sessions", 2),
            ("tuning_sessions", 2),
            ("scorer_rows", 1),
            ("checkpoint_seconds", 0),
        ):
            check_at_least(name, getattr(self, name), minimum)
        if self.pool < self.session.candidates:
            raise ConfigError(
                f"pool must be at least the {self.session.candidates} candidates, got {self.pool}"
            )
        check_choice("device", self.device, get_args(DeviceName))
        check_model(self.scorer, self.scorer_model)

    @property
    def model(self) -> Any:
        """The scorer's own settings."""
        return self.scorer_model or SCORERS.resolve(self.scorer)()


def check_model(name: str, model: Any) -> None:
    """Refuse an unknown scorer, or settings of another scorer.

    Raises:
        UnknownNameError: if the scorer is unknown.
        ConfigError: if `model` is neither None nor settings of that scorer.
    """
    SCORERS.check(name)
    if model is not None and type(model) is not SCORERS.resolve(name):
        raise ConfigError(
            f"the model settings of scorer {name} must be {SCORERS.resolve(name).__name__}, got"
            f" {type(model).__name__}"
        )


read_named_settings(RunConfig, "scorer", "scorer_model", SCORERS.resolve)


@dataclass(frozen=True)
class Baselines:
    """Searches for static weights that every agent is compared with, at an equal budget."""

    grid: GridConfig = field(default_factory=GridConfig)
    """Grid search: three levels of the four most important weights."""
    random_search: RandomSearchConfig = field(default_factory=RandomSearchConfig)
    """Uniformly random weights."""
    cma_es: CmaEsConfig = field(default_factory=CmaEsConfig)
    """CMA-ES."""
    gp_bo: GpBoConfig = field(default_factory=GpBoConfig)
    """Bayesian optimisation with a Gaussian process."""


@dataclass(frozen=True)
class RunSettings:
    """All settings in `config.json`: of agent, run and baselines.

    Raises:
        ConfigError: if the budget is too small for the agent or a baseline.
    """

    agent: str
    agent_settings: Any
    run: RunConfig
    baselines: Baselines = field(default_factory=Baselines)

    @property
    def label(self) -> str:
        """The agent's name in folders and tables; `Name` for `module:Name`."""
        label = short_name(self.agent)
        return self.agent if self.agent == label else f"own_{label}" if label in AGENTS else label

    def __post_init__(self) -> None:
        for name, settings in ((self.agent, self.agent_settings), *vars(self.baselines).items()):
            minimum = AGENTS.resolve(name).min_requests(settings)
            if self.run.requests < minimum:
                raise ConfigError(
                    f"requests must be at least {minimum} for {name} with these settings,"
                    f" got {self.run.requests}"
                )


AgentFields = dict[str, Any]
"""Values for the fields of agents' settings; each agent uses the fields that it has."""


def _smoke() -> tuple[RunConfig, AgentFields]:
    run = RunConfig()
    smaller = replace(
        run,
        requests=4_000,
        sessions=400,
        tuning_sessions=200,
        scorer_rows=60_000,
        log=replace(run.log, world=replace(run.log.world, users=200, videos=800, days=2)),
        user_model=replace(run.user_model, max_rows=60_000, max_epochs=3),
        scorer_fit=replace(run.scorer_fit, max_epochs=2),
    )
    return smaller, {"warmup_requests": 1_000, "sessions_per_trial": 16, "updates": 500}


def _default() -> tuple[RunConfig, AgentFields]:
    return RunConfig(), {}


def _full() -> tuple[RunConfig, AgentFields]:
    run = RunConfig()
    larger = replace(run, requests=200_000, sessions=20_000, tuning_sessions=5_000)
    return larger, {}


def _paper() -> tuple[RunConfig, AgentFields]:
    """Number of updates and buffer size of BatchRL-MTF (arXiv 2208.04560, section 4.5)."""
    return replace(RunConfig(), requests=100_000), {"updates": 300_000}


PRESETS: Registry[Callable[[], tuple[RunConfig, AgentFields]]] = Registry(
    "preset", {"smoke": _smoke, "default": _default, "full": _full, "paper": _paper}
)
