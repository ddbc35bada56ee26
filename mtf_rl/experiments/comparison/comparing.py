"""Runs a comparison: every contestant with every seed, then more seeds for the headline ones."""

import os
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from types import FrameType

import numpy as np

from mtf_rl.agents import AGENTS
from mtf_rl.core.errors import ConfigError, RunFolderError
from mtf_rl.core.plugins import allowed_extensions
from mtf_rl.core.protocols import GROUND_TRUTH
from mtf_rl.data import ScoreTable
from mtf_rl.envs import REWARDS
from mtf_rl.experiments.answer import evaluator_words, say_wrapped
from mtf_rl.experiments.command_line import settings_of_run
from mtf_rl.experiments.comparison.config import ComparisonConfig
from mtf_rl.experiments.comparison.contestants import CONTESTANTS, LEARNER, PRODUCTION, SEARCH
from mtf_rl.experiments.comparison.exchange import adopt_jobs, save_jobs
from mtf_rl.experiments.comparison.results import Result, Results
from mtf_rl.experiments.comparison.work import (
    REFERENCE,
    RETENTION,
    SESSION,
    Job,
    Stage,
    check_budget,
    do_job,
    evaluate_rescored,
    prepare_worker,
    rescored_folder,
    rescored_rewards,
    run_digest,
)
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.production import resolve_production
from mtf_rl.experiments.rescoring import rescored_assembly
from mtf_rl.experiments.run_folder import open_run_folder

__all__ = ["Comparison", "compare", "finished_comparison", "save_finished_jobs"]

Rescored = dict[str, dict[int, dict[str, list[float]]]]

RETAINED = ("uniform", "cem", "td3", "td3_myopic", "ppo", "ppo_myopic")
SEESAW = ("watch_time", "interaction")
REFERENCES = ("lspi",)
NO_TRUTH = (
    "This log has no ground truth. Policies are evaluated in the simulator that they were trained"
    " in, so its errors can appear as gains."
)


@dataclass(frozen=True)
class Comparison:
    """Results, and the headline contestants, which are selected on tuning users."""

    config: ComparisonConfig
    results: Results
    learners: tuple[str, ...]
    """Headline learners, the best first."""
    search: str
    """The headline search."""
    tuned_once: str
    """The best search for static weights; often the headline search."""

    notes: tuple[str, ...] = ()
    """Limits of the simulator, in sentences."""
    declared: tuple[str, ...] = ()
    """Parts of the simulator that are declared, not fitted."""
    rescored: Rescored = field(default_factory=dict)
    """Rewards with refitted scorers: by contestant, seed and evaluator, one for each scorer
    seed."""
    unfinished: tuple[str, ...] = ()
    """Contestants that are omitted because a seed is not finished."""

    @property
    def learner(self) -> str:
        """The headline learner."""
        return self.learners[0]

    @property
    def reference(self) -> str:
        """The reference: production, or uniform weights if no production weights are given."""
        return PRODUCTION if PRODUCTION in self.results.names() else "uniform"

    @property
    def chosen(self) -> str:
        """The headline learner or the headline search, whichever is better on tuning users."""
        names = dict.fromkeys((self.learner, self.search))
        return max(names, key=lambda name: _tuned(self.results, name, self.config.seeds))

    @property
    def common(self) -> Results:
        """Results of the seeds that all contestants have, for unpaired means."""
        kept = (result for result in self.results.all if result.seed < self.config.seeds)
        return Results(tuple(kept))

    @property
    def evaluator(self) -> str:
        """The deciding evaluator: the ground truth, if there is one."""
        evaluators = self.results.evaluators()
        return GROUND_TRUTH if GROUND_TRUTH in evaluators else evaluators[0]


def compare(config: ComparisonConfig, terminal: Terminal) -> Comparison:
    """Do all unfinished jobs and return the results.

    First, every contestant is trained with `seeds` seeds at the full budget. Then the headline
    learners and the headline search are selected by mean reward on tuning users in the simulator.
    They and the learners' myopic baselines get the further seeds. Seesaw, retention and smaller
    budgets follow.

    Args:
        config: settings of the comparison.
        terminal: prints progress.

    Raises:
        RunFolderError: if the run's folder is not a run.
        ConfigError: if a stage is not possible with the run's tasks, or a budget is too small.
        MtfRlError: if a contestant cannot be trained.
    """
    _refuse_registered_here(config)
    config = _resolved(config)
    digest = run_digest(config.run)
    for job in (*_whole(config), *_smaller(config)):
        check_budget(job, config)  # before the first job is started
    REWARDS.resolve(settings_of_run(open_run_folder(config.run)).run.session.reward)
    _check_seesaw(config)
    config.folder.mkdir(parents=True, exist_ok=True)
    with _workers(config) as pool:
        _adopt(config, digest, terminal)
        work = _Work(config, digest, pool, terminal)
        whole = _whole(config)
        work.do("All contestants, full budget", whole)
        comparison = work.comparison()
        say_wrapped(
            [
                f"Headline contestants, selected on tuning users: learners"
                f" {', '.join(comparison.learners)}; search {comparison.search}; search for static"
                f" weights {comparison.tuned_once}."
            ],
            terminal,
        )
        work.do("Headline contestants, further seeds", _further_seeds(config, comparison))
        if config.seesaw:
            work.do("Other rewards", _seesaw(config, comparison))
        if config.reference and comparison.evaluator == GROUND_TRUTH:
            work.do("References, trained in the ground truth", _references(config))
        if config.retention:
            work.do("Retention", _retention(config))
        rescored = work.rescore(whole)
        work.do("Smaller budgets", _smaller(config))
        return _with_notes(work.comparison(), rescored)


def _resolved(config: ComparisonConfig) -> ComparisonConfig:
    """Replace a file of production weights by its numbers, before any work is done.

    Raises:
        ConfigError: if the weights cannot be read, or the action map does not reach them.
        UnknownNameError: if the file names a task that is not fused.
    """
    if config.production is None:
        return config
    session = settings_of_run(open_run_folder(config.run)).run.session
    return replace(config, production=resolve_production(config.production, session))


def _check_seesaw(config: ComparisonConfig) -> None:
    """Refuse to train for watch time only on a log without play time, before any job is done.

    Raises:
        ConfigError: if the log has no task in seconds.
    """
    if not config.seesaw:
        return
    tasks = ScoreTable.load(open_run_folder(config.run).data / "score_table.npz").tasks
    if tasks.seconds is None:
        raise ConfigError(
            f"{config.run} has no task in seconds, which training for watch time only needs: its"
            f" tasks are {', '.join(tasks.names)}. Add --no-seesaw."
        )


def _refuse_registered_here(config: ComparisonConfig) -> None:
    """Refuse names that only this process registered, because worker processes lack them.

    Raises:
        ConfigError: naming the contestant or agent.
    """
    for name in config.contestants:
        for registry, entry in ((CONTESTANTS, name), (AGENTS, CONTESTANTS[name].agent)):
            if entry in registry.registered_here:
                raise ConfigError(
                    f"{registry.kind} '{entry}' is registered in this process only, and compare"
                    " uses worker processes. Put it in a module and name it as module:Name"
                )


def finished_comparison(config: ComparisonConfig) -> Comparison:
    """Load the finished results, without doing any job.

    Contestants that lack one of the `seeds` are omitted, separately for each track.

    Raises:
        RunFolderError: if uniform weights, which define a score of 0, lack a seed.
    """
    config = _resolved(config)
    digest = run_digest(config.run)
    loaded = [job.finished(config, digest) for job in _all_jobs(config)]
    results = _complete([result for result in loaded if result is not None], config.seeds)
    contestants = tuple(name for name in config.contestants if name in results.names())
    if "uniform" not in contestants:
        raise RunFolderError(
            f"{config.folder} lacks {config.seeds} finished seeds of uniform, which defines a score"
            f" of 0. Finish the comparison: python -m mtf_rl.compare {config.run}"
        )
    unfinished = tuple(name for name in config.contestants if name not in contestants)
    config = replace(config, contestants=contestants)
    comparison = replace(_comparison_of(config, results.all), unfinished=unfinished)
    rescored: Rescored = {}
    for scorer_seed in _scorer_seeds(config):
        for job in _whole(config):
            rewards = rescored_rewards(job, scorer_seed, config, digest)
            if rewards is not None:
                _note(rescored, job, rewards)
    return _with_notes(comparison, rescored)


def save_finished_jobs(config: ComparisonConfig, path: Path | None = None) -> Path:
    """Write the finished jobs to a file, with which another machine can resume the comparison.

    Returns:
        The file, by default jobs.jsonl in the comparison's folder.
    """
    path = path or config.folder / "jobs.jsonl"
    digest = run_digest(config.run)
    save_jobs(path, _all_jobs(config), config, digest, _scorer_seeds(config))
    return path


def _complete(loaded: Sequence[Result], seeds: int) -> Results:
    """Results of contestants that have all of the first seeds, by track."""
    by_contestant: dict[tuple[str, str], set[int]] = {}
    for result in loaded:
        if result.fraction == 1.0:
            by_contestant.setdefault((result.track, result.contestant), set()).add(result.seed)
    kept = {name for name, have in by_contestant.items() if have >= set(range(seeds))}
    return Results(tuple(result for result in loaded if (result.track, result.contestant) in kept))


def _adopt(config: ComparisonConfig, digest: str, terminal: Terminal) -> None:
    for path in config.jobs:
        taken = adopt_jobs(path, _all_jobs(config), config, digest)
        say_wrapped([f"{taken} finished jobs copied from {path}."], terminal)


def _with_notes(comparison: Comparison, rescored: Rescored) -> Comparison:
    """Add the limits of the simulator and the rescored rewards."""
    assembly = Stage(comparison.config.run).assembly
    known = GROUND_TRUTH in assembly.evaluators
    notes = assembly.notes if known else (NO_TRUTH, *assembly.notes)
    return replace(comparison, notes=notes, declared=assembly.declared_parts, rescored=rescored)


def _whole(config: ComparisonConfig) -> list[Job]:
    seeds = range(config.seeds)
    return [Job(name, SESSION, seed, 1.0) for seed in seeds for name in config.contestants]


def _further_seeds(config: ComparisonConfig, comparison: Comparison) -> list[Job]:
    myopic_baselines = [
        name
        for name in config.contestants
        if CONTESTANTS[name].myopic_baseline_of in comparison.learners
    ]
    searches = dict.fromkeys((comparison.search, comparison.tuned_once))
    today = [PRODUCTION] if config.production is not None else []
    names = dict.fromkeys((*comparison.learners, *searches, *myopic_baselines, "uniform", *today))
    seeds = range(config.seeds, config.headline_seeds)
    return [Job(name, SESSION, seed, 1.0) for seed in seeds for name in names]


def _references(config: ComparisonConfig) -> list[Job]:
    names = [name for name in REFERENCES if name in config.contestants]
    return [Job(name, REFERENCE, seed, 1.0) for seed in range(config.seeds) for name in names]


def _retention(config: ComparisonConfig) -> list[Job]:
    names = [name for name in RETAINED if name in config.contestants]
    return [Job(name, RETENTION, seed, 1.0) for seed in range(config.seeds) for name in names]


def _seesaw(config: ComparisonConfig, comparison: Comparison) -> list[Job]:
    names = dict.fromkeys((comparison.learner, comparison.search))
    seeds = range(config.seeds)
    return [Job(name, track, seed, 1.0) for seed in seeds for track in SEESAW for name in names]


def _smaller(config: ComparisonConfig) -> list[Job]:
    costly = [name for name in config.contestants if CONTESTANTS[name].kind in (SEARCH, LEARNER)]
    return [
        Job(name, SESSION, seed, fraction)
        for seed in range(config.seeds)
        for fraction in config.fractions
        for name in costly
        if CONTESTANTS[name].myopic_baseline_of is None
    ]


def _all_jobs(config: ComparisonConfig) -> Iterator[Job]:
    for name in config.contestants:
        for seed in range(config.headline_seeds):
            yield Job(name, SESSION, seed, 1.0)
            for track in SEESAW:
                yield Job(name, track, seed, 1.0)
    yield from _references(config)
    yield from _retention(config)
    yield from _smaller(config)


def _comparison_of(config: ComparisonConfig, finished: Iterable[Result]) -> Comparison:
    """Select the headline contestants by the mean reward on tuning users."""
    results = Results(tuple(finished))

    def best(kind: str, count: int) -> tuple[str, ...]:
        names = [
            name
            for name in config.contestants
            if CONTESTANTS[name].kind == kind and CONTESTANTS[name].myopic_baseline_of is None
        ]
        return tuple(sorted(names, key=lambda name: -_tuned(results, name, config.seeds))[:count])

    learners = best(LEARNER, config.headline_learners) or ("uniform",)
    searches = best(SEARCH, len(config.contestants)) or ("uniform",)
    once = [name for name in searches if CONTESTANTS[name].tuned_once] or ["uniform"]
    return Comparison(config, results, learners, searches[0], once[0])


def _tuned(results: Results, name: str, seeds: int) -> float:
    """Mean reward on tuning users, over the common seeds."""
    rewards = [result.tuning_reward for result in results.of(name) if result.seed < seeds]
    return float(np.mean(rewards)) if rewards else -np.inf


class _Work:
    """Does jobs in a pool of processes, and collects their results."""

    def __init__(
        self, config: ComparisonConfig, digest: str, pool: ProcessPoolExecutor, terminal: Terminal
    ) -> None:
        self._config, self._digest = config, digest
        self._pool, self._terminal = pool, terminal
        self._results: dict[Job, Result] = {}

    def do(self, title: str, jobs: list[Job]) -> None:
        """Do the unfinished jobs, and print a line for each."""
        for job in jobs:
            finished = job.finished(self._config, self._digest)
            if finished is not None:
                self._results[job] = finished
        missing = [job for job in jobs if job not in self._results]
        self._terminal.stage(
            f"{title}: {len(jobs)} jobs, {len(jobs) - len(missing)} already finished"
        )
        started: dict[Future[Result], Job] = {
            self._pool.submit(do_job, job, self._config, self._digest): job for job in missing
        }
        with self._terminal.progress("jobs", len(missing)) as bar:
            for future in as_completed(started):
                job = started[future]
                self._results[job] = result = future.result()
                bar(1)
                say_wrapped([_line(job, result)], self._terminal)
        save_finished_jobs(self._config)

    def rescore(self, jobs: list[Job]) -> Rescored:
        """Evaluate the trained policies with scorers of other seeds."""
        config = self._config
        rescored: Rescored = {}
        for scorer_seed in _scorer_seeds(config):
            rescored_assembly(
                open_run_folder(config.run),
                scorer_seed=scorer_seed,
                folder=rescored_folder(config, scorer_seed, self._digest),
                terminal=self._terminal,
            )
            started = {
                self._pool.submit(evaluate_rescored, job, scorer_seed, config, self._digest): job
                for job in jobs
            }
            self._terminal.stage(f"Evaluation of all policies with scorer seed {scorer_seed}")
            for future, job in started.items():
                _note(rescored, job, future.result())
        return rescored

    def comparison(self) -> Comparison:
        """The comparison of the jobs that are finished so far."""
        return _comparison_of(self._config, self._results.values())


def _note(rescored: Rescored, job: Job, rewards: Mapping[str, float]) -> None:
    by_evaluator = rescored.setdefault(job.contestant, {}).setdefault(job.seed, {})
    for evaluator, reward in rewards.items():
        by_evaluator.setdefault(evaluator, []).append(reward)


def _scorer_seeds(config: ComparisonConfig) -> range:
    """Seeds of scorers that are not the run's own."""
    own = settings_of_run(open_run_folder(config.run)).run.seed
    return range(own + 1, own + 1 + config.rescored)


def _line(job: Job, result: Result) -> str:
    goal = f" for {job.track}" if job.track in SEESAW else ""
    budget = "" if job.fraction == 1.0 else f", {100.0 * job.fraction:g} % of the budget"
    values = ", ".join(
        f"{evaluated.reward:.2f} in {evaluator_words(evaluator)}"
        for evaluator, evaluated in result.evaluated.items()
    )
    return (
        f"{job.contestant}{goal}, seed {job.seed}{budget}: reward {values};"
        f" {result.requests_used:,} requests, {result.seconds:.0f} s"
    )


@contextmanager
def _workers(config: ComparisonConfig) -> Iterator[ProcessPoolExecutor]:
    """Worker processes with one thread each; Ctrl-C and SIGTERM keep finished jobs."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    with _sigterm_stops():
        yield from _pool(config)


def _pool(config: ComparisonConfig) -> Iterator[ProcessPoolExecutor]:
    pool = ProcessPoolExecutor(
        config.workers,
        mp_context=get_context("spawn"),
        initializer=prepare_worker,
        initargs=(config.contestants, allowed_extensions()),
    )
    try:
        yield pool
    except BaseException:
        running = list((pool._processes or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for process in running:
            process.terminate()  # Results are written atomically, so no file is left incomplete.
        raise
    pool.shutdown()


@contextmanager
def _sigterm_stops() -> Iterator[None]:
    """Let SIGTERM end the program as Ctrl-C does; only the main thread can set this."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _stop(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def policy_folder(config: ComparisonConfig, contestant: str, seed: int) -> Path:
    """Folder of a contestant's policy that was trained with the full budget."""
    return Job(contestant, SESSION, seed, 1.0).folder(config)
