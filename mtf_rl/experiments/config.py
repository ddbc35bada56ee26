"""The settings of a run, which are the command line, `config.json` and the reference in one."""

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
    """Where the log comes from, and how it is cut.

    Raises:
        ConfigError: if the session gap is not above 0.
    """

    data: Path | None = None
    """Folder of KuaiRand's files (https://kuairand.com), or one that `prepare` wrote; without one,
    a synthetic world writes a log."""
    session_gap_minutes: float = 30.0
    """A longer gap between two requests starts another session, above 0."""
    test_days: int | None = None
    """Days at the end of the log that test; by default 1 of a synthetic log, 3 of a real one."""
    validation_days: int | None = None
    """Days before them that validate; by default 0 of a synthetic log, 1 of a real one."""
    validation_fraction: float | None = None
    """Fraction of the requests before the test days that validate, where validation_days is 0; the
    last tenth for a synthetic log by default."""
    world: WorldConfig = field(default_factory=WorldConfig)
    """The synthetic world, where no data is given."""

    def __post_init__(self) -> None:
        check_above("session_gap_minutes", self.session_gap_minutes, 0.0)
        self.time_plan(synthetic=self.data is None)  # Refuses what makes no plan.

    def time_plan(self, *, synthetic: bool) -> TimePlan:
        """The default plan for its kind of log, but for what is set."""
        chosen = {
            name: getattr(self, name)
            for name in ("test_days", "validation_days", "validation_fraction")
            if getattr(self, name) is not None
        }
        return replace(SYNTHETIC_PLAN if synthetic else REAL_PLAN, **chosen)


@dataclass(frozen=True)
class RunConfig:
    """What a run does, apart from the agent's own settings.

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
    """Sessions of tuning users on which the best static weights are named, at least 2."""
    myopic_baseline: bool = True
    """Whether a myopic baseline (gamma 0) of a learner is trained and evaluated beside it."""
    production: str | None = None
    """Fusion weights that serve today, as a contestant: a JSON file with a weight by task name, or
    0.4,0.8,... in task order. Without them, uniform weights take their place."""
    batch: Path | None = None
    """Batch dataset that batch-RL agents learn from; without one, `requests` are collected in the
    simulator."""
    scorer: str = "mmoe"
    """Multi-task model that predicts: mmoe, ple, cgc, omoe, shared_bottom, single_task, esmm,
    escm2_ips, escm2_dr, multi_ipw, multi_dr, aitm or your own module:Config."""
    scorer_model: tyro.conf.Suppress[Any] = None
    """Settings of that model, of the type that its name stands for; None for its defaults. On the
    command line: --scorer-model.FIELD."""
    predictions: Path | None = None
    """Parquet file of predictions (user_id, video_id, one column per task), in place of a scorer
    and of retrieval: each user's first rows are the pool."""
    scorer_rows: int = 600_000
    """Rows that a scorer is fitted on at most, at least 1."""
    pool: int = 300
    """Videos in each user's retrieval pool, at least the candidates."""
    device: DeviceName = "cpu"
    """Torch device of scorer, user model and learners; auto is cuda where there is a GPU. Only cpu
    gives repeatable numbers."""
    checkpoint_seconds: float = 60.0
    """Seconds from one checkpoint of a learner to the next, at least 0, for `--resume`."""
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
        for name, least in (
            ("requests", 0),
            ("sessions", 2),
            ("tuning_sessions", 2),
            ("scorer_rows", 1),
            ("checkpoint_seconds", 0),
        ):
            check_at_least(name, getattr(self, name), least)
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
    """Refuse a scorer that is not known, or settings of another one.

    Raises:
        UnknownNameError: if there is no scorer of that name.
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
    """The searches of static weights that stand beside an agent, at its budget."""

    grid: GridConfig = field(default_factory=GridConfig)
    """Three levels of the four weights that matter most."""
    random_search: RandomSearchConfig = field(default_factory=RandomSearchConfig)
    """Uniformly random weights, which any other search should beat."""
    cma_es: CmaEsConfig = field(default_factory=CmaEsConfig)
    """CMA-ES."""
    gp_bo: GpBoConfig = field(default_factory=GpBoConfig)
    """Bayesian optimisation with a Gaussian process."""


@dataclass(frozen=True)
class RunSettings:
    """Everything in `config.json`: the agent's name, its settings, the baselines', the run's.

    Raises:
        ConfigError: if the budget is too small for the agent or a baseline.
    """

    agent: str
    agent_settings: Any
    run: RunConfig
    baselines: Baselines = field(default_factory=Baselines)

    @property
    def label(self) -> str:
        """The agent's name in folders and tables: of `module:Name` the Name."""
        label = short_name(self.agent)
        return self.agent if self.agent == label else f"own_{label}" if label in AGENTS else label

    def __post_init__(self) -> None:
        for name, settings in ((self.agent, self.agent_settings), *vars(self.baselines).items()):
            least = AGENTS.resolve(name).min_requests(settings)
            if self.run.requests < least:
                raise ConfigError(
                    f"requests must be at least {least} for {name} with these settings,"
                    f" got {self.run.requests}"
                )


AgentFields = dict[str, Any]
"""Values for the fields of agents' settings; each agent takes those that it has."""


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
    """The updates of BatchRL-MTF (arXiv 2208.04560, section 4.5), and its buffer of requests."""
    return replace(RunConfig(), requests=100_000), {"updates": 300_000}


PRESETS: Registry[Callable[[], tuple[RunConfig, AgentFields]]] = Registry(
    "preset", {"smoke": _smoke, "default": _default, "full": _full, "paper": _paper}
)
