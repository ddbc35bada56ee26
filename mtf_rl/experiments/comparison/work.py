"""One job: train a contestant with one seed and one fraction of the budget, and evaluate it."""

import hashlib
import shutil
import time
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mtf_rl.agents import (
    AGENTS,
    FusionPolicy,
    FusionSetting,
    LearnedPolicy,
    LearningTask,
    load_policy,
    save_policy,
)
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.files import load_json, save_json, sha256_of
from mtf_rl.core.plugins import allow_extensions
from mtf_rl.core.protocols import GROUND_TRUTH, SIMULATOR, Policy
from mtf_rl.data import UserGroup
from mtf_rl.envs import FusionDynamics, RequestBudget, RetentionDynamics
from mtf_rl.evaluation import roll_out
from mtf_rl.experiments.assembly import Assembly
from mtf_rl.experiments.collection import batch_for
from mtf_rl.experiments.command_line import settings_of_run
from mtf_rl.experiments.comparison.config import ComparisonConfig
from mtf_rl.experiments.comparison.contestants import CONTESTANTS, PRODUCTION
from mtf_rl.experiments.comparison.results import Result, evaluated_of, load_result, save_result
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.production import production_policy, read_production
from mtf_rl.experiments.rescoring import rescored_assembly
from mtf_rl.experiments.run_evaluation import FINAL_SEED, TUNING_SEED
from mtf_rl.experiments.run_folder import library_versions, open_run_folder
from mtf_rl.experiments.settings import settings_to_json

__all__ = [
    "REFERENCE",
    "REFERENCE_BUDGETS",
    "RETENTION",
    "SESSION",
    "Job",
    "Stage",
    "check_budget",
    "do_job",
    "evaluate_rescored",
    "prepare_worker",
    "rescored_folder",
    "rescored_path",
    "rescored_rewards",
    "run_digest",
]

SESSION, RETENTION, REFERENCE = "session", "retention", "reference"
REFERENCE_BUDGETS = 4  # budget of a reference, in budgets of a contestant


@dataclass(frozen=True)
class Job:
    """One unit of work of a worker process."""

    contestant: str
    track: str
    """Goal of training: session for the run's own reward; watch_time or interaction for these
    rewards; retention for several sessions of a user; reference for the run's own reward, trained
    in the ground truth."""
    seed: int
    fraction: float
    """Fraction of the budget, in (0, 1]."""

    def folder(self, config: ComparisonConfig) -> Path:
        """Folder of the result, the policy and the trials."""
        fraction = f"fraction-{self.fraction:g}"
        name = self.contestant.replace(":", ".")
        return config.folder / "jobs" / self.track / name / f"seed-{self.seed}" / fraction

    def finished(self, config: ComparisonConfig, digest: str) -> Result | None:
        """The result; None if the job is not finished."""
        return load_result(self.folder(config) / "result.json", self.fingerprint(config, digest))

    def requests(self, config: ComparisonConfig) -> int:
        """The budget in requests."""
        budgets = REFERENCE_BUDGETS if self.track == REFERENCE else self.fraction
        return int(budgets * config.requests)

    def fingerprint(self, config: ComparisonConfig, digest: str) -> dict[str, Any]:
        """Everything that the result depends on."""
        contestant = CONTESTANTS[self.contestant]
        weights = config.production if self.contestant == PRODUCTION else None
        return {
            "run": digest,
            "versions": library_versions(),
            "agent": contestant.agent,
            "settings": settings_to_json(contestant.settings()),
            "requests": self.requests(config),
            "sessions": config.sessions,
            "tuning_sessions": config.tuning_sessions,
            **({"production": weights} if weights is not None else {}),
        }


def run_digest(run: Path) -> str:
    """Checksum of a run's scores, users, simulator and session settings."""
    folder = open_run_folder(run)
    digest = hashlib.sha256()
    files = [folder.data / "score_table.npz", folder.data / "assembly.npz"]
    for path in [*files, *sorted(folder.simulator.iterdir())]:
        digest.update(sha256_of(path).encode())
    session = asdict(settings_of_run(folder).run.session)
    del session["fusion"]["among"]  # the simulator's files hold the tasks
    digest.update(str(session).encode())
    return digest.hexdigest()[:16]


class Stage:
    """A run's users and sessions, on every track and under every evaluator."""

    def __init__(self, run: Path) -> None:
        folder = open_run_folder(run)
        self._session = settings_of_run(folder).run.session
        self.assembly = Assembly.load(folder.data, folder.simulator)

    def dynamics(self, track: str, group: UserGroup, evaluator: str) -> FusionDynamics[Any]:
        """The episodes of a group of users."""
        config = self._session
        if track not in (SESSION, RETENTION, REFERENCE):
            config = replace(config, reward=track)
        sessions = self.assembly.dynamics(config, group, evaluator)
        return RetentionDynamics(sessions) if track == RETENTION else sessions


def check_budget(job: Job, config: ComparisonConfig) -> None:
    """Refuse a job whose budget is too small for its contestant.

    Raises:
        ConfigError: naming the smallest budget.
    """
    contestant = CONTESTANTS[job.contestant]
    minimum = AGENTS[contestant.agent].min_requests(contestant.settings())
    if minimum > job.requests(config):
        raise ConfigError(
            f"{job.contestant} needs at least {minimum} requests, and {job.fraction:g} of the"
            f" budget is {job.requests(config)}; set --requests or --fractions"
        )


def prepare_worker(contestants: tuple[str, ...], extensions: tuple[str, ...]) -> None:
    """Allow the extensions of the main process in a worker process, and import contestants."""
    allow_extensions(*extensions)
    for name in contestants:
        CONTESTANTS.resolve(name)


def do_job(job: Job, config: ComparisonConfig, digest: str) -> Result:
    """Train, evaluate and write the result; a finished result is loaded.

    Raises:
        MtfRlError: if the contestant cannot be trained with this budget, or an artifact is torn.
    """
    finished = job.finished(config, digest)
    if finished is not None:
        return finished
    torch.set_num_threads(1)
    _clear_if_stale(job, config, digest)
    stage = _stage_of(config.run)
    trained_in = GROUND_TRUTH if job.track == REFERENCE else SIMULATOR
    learning = stage.dynamics(job.track, UserGroup.LEARN, trained_in)
    tuning = stage.dynamics(job.track, UserGroup.TUNE, trained_in)
    folder = job.folder(config)
    check_budget(job, config)
    contestant = CONTESTANTS[job.contestant]
    settings = contestant.settings()
    requests = job.requests(config)
    task = LearningTask(
        learning=learning,
        tuning=tuning,
        budget=RequestBudget(requests),
        seed=job.seed,
        study=folder / "trials.db",
    )
    start = time.perf_counter()
    if AGENTS[contestant.agent].from_batch:
        task = replace(task, batch=_batch(job, config, task))
    if job.contestant == PRODUCTION:
        learned = _production(task, config)
    else:
        learned = AGENTS[contestant.agent].learn(task, settings)
    seconds = time.perf_counter() - start
    setting = FusionSetting.of(learning)
    save_policy(folder, FusionPolicy(learned.policy, setting))
    policy = load_policy(folder).policy
    tuned = roll_out(tuning, policy, seed=TUNING_SEED, episodes=np.arange(config.tuning_sessions))
    names = learning.sessions.formula.parameter_names
    evaluated = {
        evaluator: evaluated_of(
            roll_out(
                stage.dynamics(job.track, UserGroup.FINAL, evaluator),
                policy,
                seed=FINAL_SEED + job.seed,
                episodes=np.arange(config.sessions),
            ),
            names,
        )
        for evaluator in stage.assembly.evaluators
    }
    result = Result(
        contestant=job.contestant,
        track=job.track,
        seed=job.seed,
        fraction=job.fraction,
        requests_used=learned.requests_used,
        seconds=seconds,
        tuning_reward=float(tuned.reward.mean()),
        evaluated=evaluated,
    )
    save_result(folder / "result.json", result, job.fingerprint(config, digest))
    return result


def _production(task: LearningTask, config: ComparisonConfig) -> LearnedPolicy:
    """The policy of production's weights, which needs no training."""
    sessions = task.learning.sessions
    weights = read_production(config.production or "", sessions.formula.tasks)
    policy = production_policy(weights, sessions.formula, sessions.action_map)
    return LearnedPolicy(policy, untrained=None, requests_used=0)


def _clear_if_stale(job: Job, config: ComparisonConfig, digest: str) -> None:
    """Remove a job's folder that was made for another budget, run or setting.

    Files of the same job after it was killed, such as a search's trials, stay and are reused.
    """
    folder, asked = job.folder(config), job.fingerprint(config, digest)
    path = folder / "asked.json"
    if path.exists() and load_json(path) == asked:
        return
    shutil.rmtree(folder, ignore_errors=True)
    save_json(path, asked)


def evaluate_rescored(
    job: Job, scorer_seed: int, config: ComparisonConfig, digest: str
) -> dict[str, float]:
    """Reward by evaluator of a finished job's policy, with a scorer of another seed.

    The episodes are those of the job's evaluation, so that the change is paired.

    Raises:
        ArtifactError: if the job's policy cannot be read.
    """
    finished = rescored_rewards(job, scorer_seed, config, digest)
    if finished is not None:
        return finished
    folder = rescored_folder(config, scorer_seed, digest)
    stage = _rescored_stage(config.run, scorer_seed, folder)
    policy = _trained_policy(job, config, digest)
    rewards = {
        evaluator: float(
            roll_out(
                stage.dynamics(job.track, UserGroup.FINAL, evaluator),
                policy,
                seed=FINAL_SEED + job.seed,
                episodes=np.arange(config.sessions),
            ).reward.mean()
        )
        for evaluator in stage.assembly.evaluators
    }
    record = {"fingerprint": job.fingerprint(config, digest), "rewards": rewards}
    save_json(rescored_path(job, scorer_seed, config), record)
    return rewards


def _trained_policy(job: Job, config: ComparisonConfig, digest: str) -> Policy:
    """A finished job's policy; it is trained again if only the result was copied here."""
    folder = job.folder(config)
    if not (folder / "policy.json").exists():
        record = load_json(folder / "result.json")
        (folder / "result.json").unlink()
        do_job(job, config, digest)
        save_json(folder / "result.json", record)  # keep the copied numbers
    return load_policy(folder).policy


def rescored_rewards(
    job: Job, scorer_seed: int, config: ComparisonConfig, digest: str
) -> dict[str, float] | None:
    """Rewards that `evaluate_rescored` wrote; None if there are none."""
    path = rescored_path(job, scorer_seed, config)
    if not path.exists():
        return None
    record = load_json(path)
    if record["fingerprint"] != job.fingerprint(config, digest):
        return None
    return dict(record["rewards"])


def rescored_path(job: Job, scorer_seed: int, config: ComparisonConfig) -> Path:
    """File that `evaluate_rescored` writes."""
    return job.folder(config) / f"rescored-{scorer_seed}.json"


def rescored_folder(config: ComparisonConfig, scorer_seed: int, digest: str) -> Path:
    """Folder of a scorer of another seed; a changed run has another folder."""
    return config.folder / "rescored" / digest / f"scorer-{scorer_seed}"


@lru_cache(maxsize=1)
def _rescored_stage(run: Path, scorer_seed: int, folder: Path) -> Stage:
    stage = Stage(run)
    stage.assembly = rescored_assembly(
        open_run_folder(run), scorer_seed=scorer_seed, folder=folder, terminal=Terminal()
    )
    return stage


def _batch(job: Job, config: ComparisonConfig, task: LearningTask) -> Any:
    """Requests of the mixed behaviour policy in the simulator.

    Each job collects its own; jobs of equal seeds and budgets have equal rows.
    """
    if job.track == RETENTION:
        raise ConfigError(
            f"{job.contestant} is trained on a batch dataset, which the track retention does not"
            " have. Set --no-retention"
        )
    return batch_for(
        task.learning.sessions,
        None,
        budget=task.budget,
        seed=job.seed,
        keep_at=job.folder(config) / "batch.parquet",
    )


@lru_cache(maxsize=1)
def _stage_of(run: Path) -> Stage:
    return Stage(run)
