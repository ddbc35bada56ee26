"""The settings of all commands except `train`, `compare`, `ope` and `check`.

They are separate from the commands' code, so that parsing a command line imports no torch.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import tyro

from mtf_rl.core.errors import ConfigError
from mtf_rl.core.ranges import check_above, check_at_least, check_choice, check_seed
from mtf_rl.experiments.config import LogConfig, check_model
from mtf_rl.experiments.devices import DeviceName
from mtf_rl.experiments.settings import read_named_settings
from mtf_rl.scorers import SCORERS, ScorerFitConfig
from mtf_rl.user_models import WorldConfig

__all__ = [
    "BEHAVIOUR_NAMES",
    "CollectConfig",
    "EvaluateConfig",
    "FidelityConfig",
    "PrepareConfig",
    "PretrainConfig",
    "ReplayConfig",
    "RewardWeightsConfig",
    "SynthesizeConfig",
]

BEHAVIOUR_NAMES = ("uniform_random", "truncated_gaussian", "bounded_uniform", "mix")
"""The keys of `collection.BEHAVIOURS`."""
EvaluatorName = Literal["simulator", "ground_truth"]
EVALUATOR_NAMES = get_args(EvaluatorName)
_FIDELITY_SESSIONS = 5_000


@dataclass(frozen=True)
class PrepareConfig:
    """Check a folder of KuaiRand files, split it into sessions, and write a description."""

    data: tyro.conf.Positional[Path]
    """Folder with log_standard_*, log_random_*, user_features_*, video_features_*."""
    out: Path
    """Folder to write, new or empty: Parquet, description.md, description.json."""
    session_gap_minutes: float = 30.0
    """Longest gap between two requests of a session, in minutes, above 0."""


@dataclass(frozen=True)
class SynthesizeConfig:
    """Simulate the logging policies of the synthetic world and write their logs.

    Raises:
        ConfigError: if processes is below 1.
    """

    out: Path
    """Folder to write, new or empty."""
    processes: int = 1
    """Number of processes, at least 1; the files do not depend on it."""
    world: Annotated[WorldConfig, tyro.conf.arg(name="")] = field(default_factory=WorldConfig)
    """The synthetic world."""

    def __post_init__(self) -> None:
        check_at_least("processes", self.processes, 1)


@dataclass(frozen=True)
class PretrainConfig:
    """Fit scorers on all training rows of a log and report their quality.

    Raises:
        UnknownNameError: if a model is unknown.
        ConfigError: if rows is below 1.
    """

    model: tyro.conf.Positional[str] = "mmoe"
    """Model to fit: a name from docs/scorers.md, all, or your own as module:Config."""
    scorer_model: tyro.conf.Suppress[Any] = None
    """Settings of the model; None for its defaults. On the command line: --scorer-model.FIELD."""
    run_dir: Path | None = None
    """Folder of the run, new or empty; by default runs/pretrain-MODEL-N, the first free N."""
    seed: int = 0
    """Seed of the fit, at least 0."""
    rows: int = 10_000_000
    """Maximum number of training rows, at least 1."""
    device: DeviceName = "cpu"
    """Torch device of the fit; auto uses a GPU if there is one. Only cpu gives repeatable
    numbers."""
    log: Annotated[LogConfig, tyro.conf.arg(name="")] = field(default_factory=LogConfig)
    """The log, given or synthetic."""
    fit: ScorerFitConfig = field(default_factory=ScorerFitConfig)
    """How each model is fitted."""

    def __post_init__(self) -> None:
        check_at_least("rows", self.rows, 1)
        check_seed("seed", self.seed)
        if self.model != "all":
            check_model(self.model, self.scorer_model)
        elif self.scorer_model is not None:
            raise ConfigError(
                "--scorer-model flags belong to one scorer, got model all; name one scorer instead"
            )


read_named_settings(PretrainConfig, "model", "scorer_model", SCORERS.resolve)


@dataclass(frozen=True)
class CollectConfig:
    """Roll out a behaviour policy on a run's learning users and write a batch dataset.

    Raises:
        ConfigError: if a number is out of range, or the evaluator is unknown.
        UnknownNameError: if the behaviour is unknown.
    """

    run: tyro.conf.Positional[Path]
    """Folder of a run with saved policies."""
    behaviour: str = "mix"
    """uniform_random, truncated_gaussian, bounded_uniform, or mix: for each session one of the
    first two."""
    requests: int = 100_000
    """Exact number of requests, at least 1; the last session is cut."""
    evaluator: EvaluatorName = "simulator"
    """Evaluator that responds: the simulator, or the ground truth of a synthetic log (to imitate
    a production log)."""
    base: str = "uniform"
    """Policy of the run around which actions are drawn."""
    std: float = 0.2
    """Standard deviation of truncated_gaussian, in units of the action, above 0."""
    radius: float = 0.15
    """Radius of bounded_uniform, in units of the action, above 0."""
    seed: int = 0
    """Seed of the sessions and of the behaviour policy, at least 0."""
    out: Path | None = None
    """The Parquet file; by default RUN/data/batch-BEHAVIOUR-EVALUATOR-SEED.parquet."""

    def __post_init__(self) -> None:
        check_at_least("requests", self.requests, 1)
        check_above("std", self.std, 0.0)
        check_above("radius", self.radius, 0.0)
        check_seed("seed", self.seed)
        check_choice("behaviour", self.behaviour, BEHAVIOUR_NAMES)
        if self.evaluator not in EVALUATOR_NAMES:
            raise ConfigError(
                f"evaluator must be one of {', '.join(EVALUATOR_NAMES)}, got {self.evaluator!r}"
            )

    @property
    def path(self) -> Path:
        """The file to write."""
        name = f"batch-{self.behaviour}-{self.evaluator}-{self.seed}.parquet"
        return self.out or self.run / "data" / name


@dataclass(frozen=True)
class EvaluateConfig:
    """Roll out every policy of a run on final users and write the leaderboard.

    To estimate values from logged sessions, use python -m mtf_rl.ope. To evaluate static weights
    on videos that were shown at random, use python -m mtf_rl.replay.

    Raises:
        ConfigError: if sessions is below 2 or seed out of range.
    """

    run: tyro.conf.Positional[Path]
    """Folder of a finished run."""
    sessions: int | None = None
    """Sessions of final users per policy, at least 2; by default as in the run."""
    seed: int | None = None
    """Seed of the sessions, at least 0; by default the run's, which repeats its leaderboard."""
    reward: str | None = None
    """Reward to evaluate, by default the run's; repeat the run's own module:function here."""
    out: Path | None = None
    """Folder to write, new or empty; by default a new one in RUN/evaluations."""

    def __post_init__(self) -> None:
        if self.sessions is not None:
            check_at_least("sessions", self.sessions, 2)
        if self.seed is not None:
            check_seed("seed", self.seed)


@dataclass(frozen=True)
class ReplayConfig:
    """Evaluate each static policy of a run on the videos that its log showed at random."""

    run: tyro.conf.Positional[Path]
    """Folder of a finished run."""
    reward: str | None = None
    """Reward to evaluate, by default the run's; repeat the run's own module:function here."""
    out: Path | None = None
    """Folder to write, new or empty; by default a new one in RUN/evaluations."""


@dataclass(frozen=True)
class FidelityConfig:
    """Report how well a run's simulator matches its log, in RUN/fidelity.

    Raises:
        ConfigError: if sessions is below 100 or seed out of range.
    """

    run: tyro.conf.Positional[Path]
    """Folder of a finished run."""
    data: Path | None = None
    """Folder of the log's files, if they are no longer where the run's settings say."""
    sessions: int = _FIDELITY_SESSIONS
    """Maximum number of sessions of each log for the discriminator, at least 100."""
    seed: int = 0
    """Seed of the simulator and of the discriminator, at least 0."""
    truth_again: bool = True
    """Whether to simulate the synthetic world again with other random numbers, which shows the
    sampling noise."""

    def __post_init__(self) -> None:
        check_at_least("sessions", self.sessions, 100)
        check_seed("seed", self.seed)

    @property
    def folder(self) -> Path:
        """Folder of the report, named after the settings that differ from the defaults."""
        parts = [f"sessions-{self.sessions}"] if self.sessions != _FIDELITY_SESSIONS else []
        parts += [f"seed-{self.seed}"] if self.seed else []
        parts += [] if self.truth_again else ["no-truth-again"]
        return self.run / "fidelity" / "-".join(parts)


@dataclass(frozen=True)
class RewardWeightsConfig:
    """Estimate how each feedback relates to the watch time of the user's next session.

    Raises:
        ConfigError: unless exactly one of data and run is given, or if the gap is not above 0.
    """

    data: Path | None = None
    """Folder of KuaiRand logs and features."""
    run: Path | None = None
    """Folder of a run, whose log is used instead of data."""
    out: Path | None = None
    """Folder to write, new or empty: reward_weights.md, .csv, .json; also my_reward.py if a weight
    is significant."""
    session_gap_minutes: float | None = None
    """Longest gap between two requests of a session, in minutes, above 0; by default the run's,
    or 30."""

    def __post_init__(self) -> None:
        if (self.data is None) == (self.run is None):
            raise ConfigError(
                f"exactly one of data and run must be given, got data={self.data} and"
                f" run={self.run}; for example --data DIR"
            )
        if self.session_gap_minutes is not None:
            check_above("session_gap_minutes", self.session_gap_minutes, 0.0)
