"""Audit of the off-policy estimators: estimates of thirty policies from logs, beside true values.

    python -m mtf_rl.train uniform --run-dir runs/leaderboard
    OMP_NUM_THREADS=1 python -m benchmarks.ope_audit runs/leaderboard

Targets: 18 static policies (uniform, by worth, one task raised above the others, drawn at random,
near uniform), 6 that are linear in three observed numbers, and 6 that agents train in the simulator
with 20,000 requests each. The true value is the mean session reward of the logged users in the
ground truth. Behaviours are those of `collect`: uniformly random weights, truncated Gaussians and
boxes around uniform weights, and the mixture of the first two.

Each log is evaluated like `python -m mtf_rl.ope` with all estimators, whole and in quarters. There
are two differences. Intervals are t-intervals. A target is played in the simulator once for all
logs, so the errors of `simulator`, and a part of those of `scaled`, `corrected` and `composite`,
are the same on every log. Logs are independent of each other. Networks (fqe, cope) are fitted for
ten targets on five logs of the mixture. Finished work is kept, by its settings: the same command
continues from it.

- *bias*, *RMSE*: of the estimates, over targets and logs, in session reward.
- *coverage*: fraction of nominal 95 % intervals (t) that contain the true value.
- *rank*: Spearman's correlation over targets; *top half*: among the better half.
- *regret*: true value of the best target minus that of the target with the largest estimate, as a
  fraction of the behaviour's own value.
- *seconds*: of `ope` for three targets on one log, with the named estimators and no others.

With --contestants the targets are those of the run's comparison. They were all trained or found in
the simulator, which makes the task harder, above all for the simulator.

A mean over logs is given with half its 95 % interval (t); quarters of a log count as logs.
"""

import os
import platform
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import mtf_rl
from benchmarks.pages import write_page
from mtf_rl.agents import (
    AGENTS,
    ConstantPolicy,
    FusionPolicy,
    FusionSetting,
    LearningTask,
    Mlp,
    MlpPolicy,
    SavedPolicy,
    collect,
    load_policy,
    save_policy,
)
from mtf_rl.agents.features import default_columns
from mtf_rl.core.files import load_json, save_json
from mtf_rl.core.protocols import GROUND_TRUTH, SIMULATOR
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.data import BatchDataset, UserGroup
from mtf_rl.envs import RequestBudget, SessionDynamics
from mtf_rl.evaluation import mean_interval, roll_out
from mtf_rl.evaluation.off_policy import ESTIMATORS, rank_correlation, regret
from mtf_rl.experiments.assembly import Assembly
from mtf_rl.experiments.collection import BEHAVIOURS, ExplorationStd
from mtf_rl.experiments.command_line import settings_of_run
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.offline_evaluation import OfflineConfig, evaluate
from mtf_rl.experiments.offline_evaluation.simulated import play
from mtf_rl.experiments.pictures import save_figure
from mtf_rl.experiments.run_folder import open_run_folder

LEARNT = ("lspi", "ppo", "td3_bc", "cma_es", "gp_bo", "cem")
LEARNT_REQUESTS = 20_000
MIXED = "mix"
QUARTERS = 4
SIMULATED = ("composite", "corrected", "scaled", "simulator")
NETWORKS, NETWORK_TARGETS, NETWORK_LOGS = ("fqe", "cope"), 10, 5
TIMED_TARGETS = ("uniform", "linear_0", "lspi")
TIMED: dict[str, tuple[str, ...]] = {
    "dm": ("dm",),
    "sn_pdis": ("sn_pdis",),
    "all that are closed-form": tuple(ESTIMATORS),
    **{name: (name,) for name in ("composite", *NETWORKS)},
}
TRUTH_SEED, LOG_SEED = 5_000_003, 6_000_003
SHOWN = ("composite", "corrected", "scaled", "dm", "drl", "sn_pdis", "request_sn")


@dataclass(frozen=True)
class Settings:
    """Which run, and how much."""

    run: tyro.conf.Positional[Path]
    """Folder of a run on a synthetic world."""
    logs: int = 10
    """Logs of each behaviour."""
    sessions: int = 20_000
    """Sessions of a log; a quarter in its parts."""
    truth_sessions: int = 20_000
    """Sessions of each target's true value."""
    simulated: int = 20_000
    """Simulated sessions of each target, once for all logs."""
    workers: int = 2
    """Processes, with one thread each."""
    folder: Path | None = None
    """Where finished work is kept; RUN/ope_audit by default."""
    behaviours: tuple[str, ...] = (MIXED, "uniform_random", "truncated_gaussian", "bounded_uniform")
    """Behaviour policies of the logs, in this order."""
    finished_only: bool = False
    """Write the page from finished work only."""
    contestants: bool = False
    """Use the contestants of the run's comparison instead of the thirty targets."""
    out: Path | None = None
    """The page to write; by default benchmarks/ope_audit.md, or ope_audit_contestants.md."""
    picture: Path | None = None
    """The picture to write; by default docs/images/NAME.png, named as the page."""

    @property
    def name(self) -> str:
        """Of folder, page and picture."""
        return "ope_audit_contestants" if self.contestants else "ope_audit"

    @property
    def kept(self) -> Path:
        """The folder."""
        return self.folder or self.run / self.name


@dataclass(frozen=True)
class Job:
    """One log, evaluated whole and in quarters; or whole, by networks."""

    behaviour: str
    log: int
    networks: bool = False

    def path(self, settings: Settings, part: int | None = None) -> Path:
        """Where findings are: of the whole, or of a quarter."""
        kind = "networks" if self.networks else "whole" if part is None else f"part-{part}"
        folder = settings.kept / f"findings-{settings.sessions}-{settings.simulated}"
        return folder / f"{self.behaviour}-{self.log}-{kind}.json"

    def paths(self, settings: Settings) -> list[Path]:
        """All of them."""
        parts = range(0 if self.networks else QUARTERS)
        return [self.path(settings), *(self.path(settings, part) for part in parts)]


@dataclass(frozen=True)
class Stage:
    """The logged users, with both evaluators."""

    truth: SessionDynamics
    simulator: SessionDynamics
    assembly: Assembly

    @property
    def uniform(self) -> ConstantPolicy:
        """Uniform weights."""
        return self.static(np.ones(self.truth.action_dim))

    def static(self, magnitudes: np.ndarray) -> ConstantPolicy:
        """Weights of some magnitudes (tasks,) in [0, 1]."""
        formula = self.truth.formula
        weights = formula.parameters_of((magnitudes * formula.tasks.signs).astype(np.float32))
        return ConstantPolicy(self.truth.action_map.to_action(weights))


@lru_cache(maxsize=1)
def stage_of(run: Path) -> Stage:
    """Read a run."""
    folder = open_run_folder(run)
    assembly = Assembly.load(folder.data, folder.simulator)
    session = settings_of_run(folder).run.session
    truth, simulator = (
        assembly.dynamics(session, UserGroup.LEARN, evaluator)
        for evaluator in (GROUND_TRUTH, SIMULATOR)
    )
    return Stage(truth, simulator, assembly)


def make_targets(settings: Settings) -> list[str]:
    """Write the targets that are not there yet, and give the names of all."""
    if settings.contestants:
        return _contestants(settings)
    stage, rng = stage_of(settings.run), np.random.default_rng(11)
    width = stage.truth.action_dim
    made: dict[str, SavedPolicy] = {"uniform": stage.uniform}
    worth = np.array([0.1, 0.3, 0.2, 1.0, 0.6, 1.0, 1.0, 0.5])
    made["by_worth"] = stage.static(worth)
    for position, task in enumerate(KUAIRAND_TASKS.names):
        magnitudes = np.full(width, 0.25)
        magnitudes[position] = 1.0
        made[f"raised_{task}"] = stage.static(magnitudes)
    for number in range(5):
        made[f"random_{number}"] = stage.static(rng.uniform(0.0, 1.0, width))
    for number, spread in enumerate((0.1, 0.2, 0.4)):
        near = np.clip(1.0 - np.abs(rng.normal(0.0, spread, width)), 0.0, 1.0)
        made[f"near_{number}"] = stage.static(near)
    observed = _observations(stage)
    for number in range(6):
        made[f"linear_{number}"] = _linear(stage, observed, rng)
    setting = FusionSetting.of(stage.truth)
    for name, policy in made.items():
        if not (settings.kept / "targets" / name / "policy.json").exists():
            save_policy(settings.kept / "targets" / name, FusionPolicy(policy, setting))
    for name in LEARNT:
        if not (settings.kept / "targets" / name / "policy.json").exists():
            _learn(name, settings, stage, setting)
    return [*made, *LEARNT]


def _contestants(settings: Settings) -> list[str]:
    """Policies of the first seed, as `mtf_rl.compare` left them."""
    made = sorted(
        (settings.run / "comparison/jobs/session").glob("*/seed-0/fraction-1/policy.json")
    )
    if not made:
        raise ValueError(f"{settings.run} has no comparison: python -m mtf_rl.compare makes one")
    policies = {path.parents[2].name: path.parent for path in made}
    for name, folder in policies.items():
        save_policy(settings.kept / "targets" / name, load_policy(folder))
    return list(policies)


def _linear(stage: Stage, observed: np.ndarray, rng: np.random.Generator) -> MlpPolicy:
    """tanh(W z + b), z three standardised numbers, b some static weights."""
    mean, spread = observed.mean(axis=0), observed.std(axis=0)
    scale = np.where(spread > 1e-3, spread, 1.0)
    width = stage.truth.action_dim
    slopes = np.zeros((width, len(mean)))
    columns = list(default_columns(stage.truth.layout))
    slopes[:, columns] = rng.normal(0.0, 0.4, (width, len(columns)))
    centre = stage.static(rng.uniform(0.3, 0.9, width)).action
    return MlpPolicy(mean, scale, Mlp((slopes,), (np.arctanh(0.95 * centre),)))


def _observations(stage: Stage) -> np.ndarray:
    behaviour = BEHAVIOURS[MIXED](stage.uniform, stage.truth.action_dim, ExplorationStd())
    played = collect(stage.truth, behaviour, requests=20_000, seed=LOG_SEED)
    return played.observations.astype(np.float64)


def _learn(name: str, settings: Settings, stage: Stage, setting: FusionSetting) -> None:
    agent, budget = AGENTS[name], RequestBudget(LEARNT_REQUESTS)
    folder = settings.kept / "targets" / name
    session = stage.simulator.config
    task = LearningTask(
        learning=stage.simulator,
        tuning=stage.assembly.dynamics(session, UserGroup.TUNE, SIMULATOR),
        budget=budget,
        seed=LEARNT.index(name),  # with one seed some searches start, and end, in the same points
        study=folder / "trials.db",
    )
    if agent.from_batch:
        behaviour = BEHAVIOURS[MIXED](stage.uniform, stage.simulator.action_dim, ExplorationStd())
        batch = collect(stage.simulator, behaviour, requests=LEARNT_REQUESTS, seed=1, budget=budget)
        task = replace(task, batch=batch)
    save_policy(folder, FusionPolicy(agent.learn(task, agent.config()).policy, setting))


def true_value(name: str, settings: Settings) -> dict[str, float]:
    """Mean session reward in the ground truth, and its standard error; kept."""
    path = settings.kept / f"truth-{settings.truth_sessions}" / f"{name}.json"
    if path.exists():
        return dict(load_json(path))
    policy = load_policy(settings.kept / "targets" / name).policy
    sessions = roll_out(
        stage_of(settings.run).truth,
        policy,
        seed=TRUTH_SEED,
        episodes=np.arange(settings.truth_sessions),
    )
    error = sessions.reward.std(ddof=1) / np.sqrt(len(sessions.reward))
    found = {"value": float(sessions.reward.mean()), "error": float(error)}
    save_json(path, found)
    return found


def played(name: str, settings: Settings) -> np.ndarray:
    """Session rewards of a target in the simulator, (sessions,); kept."""
    path = settings.kept / f"simulated-{settings.simulated}" / f"{name}.npy"
    if not path.exists():
        policy = load_policy(settings.kept / "targets" / name)
        found = play(stage_of(settings.run).simulator, policy, sessions=settings.simulated)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, found, allow_pickle=False)
    rewards: np.ndarray = np.load(path, allow_pickle=False)
    return rewards


def do_job(job: Job, names: Sequence[str], settings: Settings) -> None:
    """Collect the log, evaluate it, keep the findings."""
    log = _log(job, settings, stage_of(settings.run))
    size = settings.sessions // QUARTERS
    known = {} if job.networks else {f"targets/{name}": played(name, settings) for name in names}
    for number, path in enumerate(job.paths(settings)):
        if path.exists():
            continue
        config = OfflineConfig(
            policies=tuple(settings.kept / "targets" / name for name in names),
            data=path.with_suffix(".parquet"),
            interval="t",
            simulator=None if job.networks else settings.run,
            estimators=NETWORKS if job.networks else (*SIMULATED, *ESTIMATORS),
            seed=(QUARTERS + 1) * job.log + number,
        )
        config.data.parent.mkdir(parents=True, exist_ok=True)
        part = log if number == 0 else _sessions(log, (number - 1) * size, number * size)
        part.save(config.data)
        save_json(path, _findings(config, known))
        config.data.unlink()


def _findings(config: OfflineConfig, known: dict[str, np.ndarray]) -> dict[str, Any]:
    """What is kept of an evaluation."""
    found = evaluate(config, Terminal(), played=known)
    records = []
    for one in found.findings:
        if one.policy in found.candidates:
            value = one.value.interval(config.confidence)
            records.append(
                {
                    "target": one.policy.removeprefix("targets/"),
                    "estimator": one.estimator,
                    "value": value.mean,
                    "low": value.low,
                    "high": value.high,
                }
            )
    return {"behaviour": found.logged.value, "findings": records}


def _log(job: Job, settings: Settings, stage: Stage) -> BatchDataset:
    """The job's sessions."""
    behaviour = BEHAVIOURS[job.behaviour](stage.uniform, stage.truth.action_dim, ExplorationStd())
    position = sorted(BEHAVIOURS).index(job.behaviour)
    seed = LOG_SEED + 1_000 * position + job.log
    # Longer than needed, so that no session is cut; sessions are independent of what follows.
    requests = 20 * settings.sessions + 1_000
    return _sessions(
        collect(stage.truth, behaviour, requests=requests, seed=seed), 0, settings.sessions
    )


def _sessions(batch: BatchDataset, first: int, last: int) -> BatchDataset:
    """Sessions number `first` to `last`, the latter left out."""
    starts = np.append(np.flatnonzero(batch.requests == 0), len(batch.requests))
    if last >= len(starts):
        raise ValueError(f"{len(starts) - 1} sessions were collected, of {last} that are needed")
    rows = slice(int(starts[first]), int(starts[last]))
    names = ["observations", "actions", "log_densities", "behaviours", "rewards"]
    names += ["terminated", "truncated", "sessions", "requests"]
    parts: dict[str, Any] = {name: getattr(batch, name)[rows] for name in names}
    cut = np.cumsum(batch.truncated)
    before = int(cut[rows.start - 1]) if rows.start else 0
    final = batch.final_observations[before : int(cut[rows.stop - 1])]
    return replace(batch, **parts, final_observations=final)


def all_jobs(settings: Settings) -> list[Job]:
    """One log of each behaviour after the other, so that any stop leaves all of them."""
    jobs = []
    for log in range(settings.logs):
        jobs += [Job(name, log) for name in settings.behaviours]
        if log < NETWORK_LOGS and MIXED in settings.behaviours and not settings.contestants:
            jobs.append(Job(MIXED, log, networks=True))
    return jobs


def seconds_of(settings: Settings) -> dict[str, float]:
    """Of some estimators, for three targets on the first log of the mixture; kept."""
    path = settings.kept / f"seconds-{settings.sessions}.json"
    if not path.exists():
        job = Job(MIXED, 0)
        data = path.with_suffix(".parquet")
        _log(job, settings, stage_of(settings.run)).save(data)
        found = {}
        for name, estimators in TIMED.items():
            start = time.perf_counter()
            evaluate(
                OfflineConfig(
                    policies=tuple(settings.kept / "targets" / one for one in TIMED_TARGETS),
                    data=data,
                    interval="t",
                    simulator=settings.run if name in SIMULATED else None,
                    estimators=estimators,
                ),
                Terminal(),
            )
            found[name] = time.perf_counter() - start
        data.unlink()
        save_json(path, found)
    return dict(load_json(path))


def work(settings: Settings, names: Sequence[str]) -> None:
    """Everything that is not finished."""
    missing = [
        job for job in all_jobs(settings) if not all(path.exists() for path in job.paths(settings))
    ]
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = "1"
    with ProcessPoolExecutor(settings.workers, mp_context=get_context("spawn")) as pool:
        for value in (true_value, played):
            list(pool.map(value, names, [settings] * len(names)))
        few = [name for name in names if name in LEARNT or name.startswith(("near", "uniform"))]
        chosen = [few[:NETWORK_TARGETS] if job.networks else list(names) for job in missing]
        for _ in pool.map(do_job, missing, chosen, [settings] * len(missing)):
            print(".", end="", flush=True)
    print()


@dataclass(frozen=True)
class Replicates:
    """Findings of one estimator on logs of one behaviour and size."""

    estimates: np.ndarray  # (logs, targets)
    covered: np.ndarray  # (logs, targets), whether the interval contains the true value
    own: np.ndarray  # (logs,), mean session reward of the behaviour
    values: np.ndarray  # (targets,), true values

    def row(self) -> list[str]:
        """Cells of the table."""
        error = self.estimates - self.values
        top = self.values >= np.median(self.values)
        ranks = [rank_correlation(one, self.values) for one in self.estimates]
        tops = [rank_correlation(one[top], self.values[top]) for one in self.estimates]
        fractions = (
            100.0 * np.array([regret(one, self.values) for one in self.estimates]) / self.own
        )
        return [
            f"{error.mean():+.1f}",
            f"{np.sqrt((error**2).mean()):.1f}",
            f"{100.0 * self.covered.mean():.0f} %",
            _over_logs(ranks, digits=2),
            _over_logs(tops, digits=2),
            f"{_over_logs(fractions, digits=1)} %",
        ]


def _over_logs(figures: Sequence[float], *, digits: int) -> str:
    """Mean and half its 95 % interval (t); logs on which all estimates are equal have no rank."""
    finite = np.array(figures)[np.isfinite(figures)]
    if len(finite) == 0:
        return "none"
    found = mean_interval(finite, np.arange(len(finite)))
    mean = f"{found.mean:.{digits}f}"
    return f"{mean} ± {found.high - found.mean:.{digits}f}" if len(finite) > 1 else mean


def gathered(paths: Iterable[Path], truth: dict[str, float]) -> dict[str, Replicates]:
    """Findings by estimator, of what is finished."""
    found = [load_json(path) for path in paths if path.exists()]
    estimators = dict.fromkeys(one["estimator"] for log in found for one in log["findings"])
    own = np.array([log["behaviour"] for log in found])
    made = {}
    for estimator in estimators:
        rows = [[f for f in log["findings"] if f["estimator"] == estimator] for log in found]
        values = np.array([truth[one["target"]] for one in rows[0]])
        made[estimator] = Replicates(
            estimates=np.array([[one["value"] for one in row] for row in rows]),
            covered=np.array(
                [[one["low"] <= truth[one["target"]] <= one["high"] for one in row] for row in rows]
            ),
            own=own,
            values=values,
        )
    return made


def page_of(
    settings: Settings,
    truth: dict[str, float],
    errors: Sequence[float],
    seconds: dict[str, float],
) -> str:
    """The tables."""
    ordered = sorted(truth, key=lambda name: -truth[name])
    lines = [
        "# Audit of the off-policy estimators",
        "You can see here which off-policy estimators to trust, on logs with known true values.",
        f"`OMP_NUM_THREADS=1 python -m benchmarks.ope_audit {settings.run}"
        f"{' --contestants --behaviours mix' if settings.contestants else ''}` (more logs: --logs);"
        f" mtf_rl {mtf_rl.__version__}, Python {platform.python_version()}, numpy"
        f" {np.__version__}.",
        f"{len(truth)} targets; true values over {settings.truth_sessions:,} sessions each,"
        f" standard errors {min(errors):.2f} to {max(errors):.2f} on common random numbers: "
        + ", ".join(f"{name} {truth[name]:.1f}" for name in ordered)
        + ".",
    ]
    for behaviour in settings.behaviours:
        jobs = [Job(behaviour, log) for log in range(settings.logs)]
        whole = [job.path(settings) for job in jobs]
        parts = [job.path(settings, part) for job in jobs for part in range(QUARTERS)]
        for paths, size in ((whole, settings.sessions), (parts, settings.sessions // QUARTERS)):
            lines += _section(behaviour, size, gathered(paths, truth))
    networks = [Job(MIXED, log, networks=True).path(settings) for log in range(NETWORK_LOGS)]
    lines += _section(
        f"{MIXED}, networks, {NETWORK_TARGETS} targets",
        settings.sessions,
        gathered(networks, truth),
    )
    if seconds:
        rows = [f"| {name} | {value:.0f} |" for name, value in seconds.items()]
        lines += ["## Time", "\n".join(["| estimator | seconds |", "| --- | --- |", *rows])]
    return "\n\n".join(lines)


def _section(behaviour: str, sessions: int, found: dict[str, Replicates]) -> list[str]:
    if not found:
        return []
    first = next(iter(found.values()))
    heading = (
        f"## {behaviour}, {sessions:,} sessions\n\n{len(first.own)} logs; the behaviour's own"
        f" value is {first.own.mean():.1f}."
    )
    table = [
        "| estimator | bias | RMSE | coverage | rank | top half | regret |",
        "|" + " --- |" * 7,
        *(f"| {name} | {' | '.join(one.row())} |" for name, one in found.items()),
    ]
    return [heading, "\n".join(table)]


def picture_of(settings: Settings, truth: dict[str, float]) -> Figure:
    """Estimates against true values on logs of the mixture, a panel for some estimators."""
    found = gathered([Job(MIXED, log).path(settings) for log in range(settings.logs)], truth)
    shown = [name for name in SHOWN if name in found]
    figure = Figure(figsize=(2.6 * len(shown), 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(shown), sharex=True, sharey=True, squeeze=False)[0]
    for axes, name in zip(panels, shown, strict=True):
        one = found[name]
        low, high = np.quantile(one.estimates, [0.025, 0.975], axis=0)
        axes.vlines(one.values, low, high, color="#0b7285", alpha=0.35, linewidth=1.2)
        axes.plot(one.values, one.estimates.mean(axis=0), "o", color="#0b7285", markersize=3.5)
        ends = [one.values.min(), one.values.max()]
        axes.plot(ends, ends, color="#adb5bd", linewidth=1.0, zorder=0)
        ranks = np.mean([rank_correlation(row, one.values) for row in one.estimates])
        axes.set_title(f"{name}\nrank {ranks:.2f}", fontsize=10)
        axes.set_xlabel("true value")
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    panels[0].set_ylabel(f"estimate from {settings.sessions:,} sessions")
    margin = 25.0
    panels[0].set_ylim(min(truth.values()) - margin, max(truth.values()) + margin)
    return figure


def main() -> None:
    """Complete missing work, and write page and picture."""
    settings = tyro.cli(Settings, description=__doc__)
    names = make_targets(settings)
    if not settings.finished_only:
        work(settings, names)
    known = {name: true_value(name, settings) for name in names}
    truth = {name: one["value"] for name, one in known.items()}
    errors = [one["error"] for one in known.values()]
    seconds = {} if settings.contestants else seconds_of(settings)
    page = page_of(settings, truth, errors, seconds)
    write_page(settings.out or Path(f"benchmarks/{settings.name}.md"), page)
    picture = settings.picture or Path(f"docs/images/{settings.name}.png")
    save_figure(picture_of(settings, truth), picture)
    print(page)


if __name__ == "__main__":
    main()
