"""Prepares a run from its settings: log, scorer, user model and assembly."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mtf_rl.agents import MetricSink
from mtf_rl.core.arrays import BoolArray, IntArray
from mtf_rl.core.errors import ConfigError, DataError
from mtf_rl.core.files import load_json, replace_atomically, save_json
from mtf_rl.core.tasks import TaskSet
from mtf_rl.data import (
    Dataset,
    FeatureEncoder,
    FileAccount,
    GivenPredictions,
    RowAccount,
    ScoreTable,
    Split,
    UserGroup,
    base_rates,
    describe,
    read_log,
    read_predictions,
    retrieve_pools,
    scorer_half,
    split_by_time,
    usual_contexts,
)
from mtf_rl.envs.rewards import reward_named
from mtf_rl.experiments.answer import say_wrapped
from mtf_rl.experiments.assembly import GIVEN_PREDICTIONS, Assembly, groups_of, profiles_of
from mtf_rl.experiments.config import LogConfig, RunConfig
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.devices import DeviceName, chosen_device
from mtf_rl.experiments.fit_tables import scorer_table, user_model_table
from mtf_rl.experiments.run_folder import RunFolder
from mtf_rl.experiments.tables import show
from mtf_rl.scorers import (
    Scorer,
    ScorerConfig,
    ScorerFitConfig,
    ScorerReport,
    ValidationResult,
    draw_reliability,
    evaluate_scorer,
    fit_scorer,
    labelled_rows,
    report_predictions,
    score_pools,
)
from mtf_rl.user_models import FittedUserModel, World, fit_user_model, load_world, synthesize

__all__ = [
    "PreparedLog",
    "ScorerRows",
    "fit_and_report",
    "log_again",
    "prepare_log",
    "prepare_run",
    "score_with_a_model",
    "scorer_rows",
    "standard_rows",
]


# Each process holds an interpreter and a part of the world's users.
_MAX_PROCESSES = 4


@dataclass(frozen=True)
class PreparedLog:
    """A log that was read and split."""

    dataset: Dataset
    split: Split
    half: BoolArray  # (rows,), True in the scorer's half
    world: World | None


@dataclass(frozen=True)
class ScorerRows:
    """Rows of a log for a scorer: numbers, and a mask for its features."""

    past: BoolArray  # (rows,), True for rows whose feedback enters the features
    train: IntArray
    validation: IntArray
    test: IntArray


@dataclass(frozen=True)
class FittedAndReported:
    """A scorer, the encoder of its features, and its quality on the test rows."""

    scorer: Scorer
    encoder: FeatureEncoder
    report: ScorerReport


@dataclass(frozen=True)
class ScoredPools:
    """The score table, and the feature encoder at the split."""

    table: ScoreTable
    encoder: FeatureEncoder


def prepare_run(
    config: RunConfig, run: RunFolder, metrics: MetricSink, terminal: Terminal
) -> Assembly:
    """Prepare data, scorer, simulator and assembly, and save them in the run's folder."""
    if config.log.data is None and config.log.world.videos < config.pool:
        raise ConfigError(_pool_too_large(config.pool, config.log.world.videos))
    log = prepare_log(config.log, config.seed, run, terminal)
    _check_sizes(config, log)
    _check_tasks(config, log.dataset.tasks)
    if config.predictions is None:
        scored = score_with_a_model(
            config, log, _pools(config, log), folder=run.scorer, metrics=metrics, terminal=terminal
        )
    else:
        scored = _score_as_given(config, config.predictions, log, run, terminal)
    terminal.stage("User model (the simulator)")
    simulator = _fit_user_model(config, log, scored.table.videos, terminal)
    show(user_model_table(simulator.report), terminal)
    simulator.save(run.simulator)
    assembly = Assembly(
        scores=scored.table,
        catalogue=log.dataset.catalogue,
        profiles=profiles_of(scored.encoder, log.dataset),
        groups=groups_of(log.dataset),
        simulator=simulator,
        world=log.world,
    )
    for note in assembly.notes:
        say_wrapped([note], terminal)
    assembly.save(run.data)
    return assembly


def prepare_log(config: LogConfig, seed: int, run: RunFolder, terminal: Terminal) -> PreparedLog:
    """Read the given log or synthesise one; split it by time and into two halves of rows."""
    if config.data is None:
        terminal.stage("Logs of the synthetic world")
        with terminal.progress("users", config.world.users) as bar:
            # The files are the same with any number of processes.
            processes = min(os.cpu_count() or 1, _MAX_PROCESSES)
            synthesize(config.world, run.data / "logs", processes=processes, progress=bar.reach)
        folder = run.data / "logs"
    else:
        terminal.stage(f"Logs in {config.data}")
        folder = config.data
    dataset = read_log(folder, session_gap_minutes=config.session_gap_minutes)
    run.write_text("data/account.txt", _row_account(dataset))
    world = load_world(folder)
    if world is not None:
        save_json(run.data / "world.json", load_json(folder / "world.json"))
    description = describe(dataset)
    save_json(run.data / "description.json", description.to_json())
    run.write_text("data/description.md", description.to_markdown())
    say_wrapped([_row_account(dataset)], terminal)
    return _split_log(config, seed, dataset, world)


def log_again(config: LogConfig, seed: int, run: RunFolder) -> PreparedLog:
    """Read the log of an existing run and split it as in that run.

    Raises:
        DataError: if the files are missing, or are not a log.
    """
    folder = config.data or run.data / "logs"
    dataset = read_log(folder, session_gap_minutes=config.session_gap_minutes)
    return _split_log(config, seed, dataset, load_world(folder))


def _split_log(config: LogConfig, seed: int, dataset: Dataset, world: World | None) -> PreparedLog:
    split = split_by_time(
        dataset.impressions,
        config.time_plan(synthetic=world is not None),
        utc_offset_hours=dataset.schema.utc_offset_hours,
    )
    return PreparedLog(dataset, split, scorer_half(dataset.impressions, seed=seed), world)


def _check_sizes(config: RunConfig, log: PreparedLog) -> None:
    """Refuse a log that is too small, before anything is fitted.

    Raises:
        ConfigError: if the pool is larger than the catalogue, or a group of users is empty.
    """
    if log.dataset.num_videos < config.pool:
        raise ConfigError(_pool_too_large(config.pool, log.dataset.num_videos))
    groups = groups_of(log.dataset)
    for group in UserGroup:
        if not (groups == group).any():
            raise ConfigError(
                f"none of the log's {len(groups)} users is in the group '{group.name.lower()}'"
                " (a hash of the id selects 70 % learn, 10 % tune, 20 % final); use more users"
            )


def _pool_too_large(pool: int, videos: int) -> str:
    return (
        f"pool must be at most the {videos} videos of the log, got {pool}; set --pool, and"
        " --session.candidates if it must be smaller too"
    )


def _check_tasks(config: RunConfig, tasks: TaskSet) -> None:
    """Refuse settings that do not fit the log's tasks, before anything is fitted.

    Raises:
        UnknownNameError: if the log lacks a fused task.
        ConfigError: if the formula, the weights' base, the scorer's settings or the reward need
            tasks that the log lacks, or the user's own reward fails on a trial request.
    """
    config.session.fusion.on_tasks(tasks)
    config.scorer_fit.on_tasks(tasks)
    reward_named(config.session.reward, tasks)


def standard_rows(
    rows: BoolArray, dataset: Dataset, max_rows: int | None = None, seed: int = 0
) -> IntArray:
    """Sorted numbers of the standard-policy rows among `rows`, a sample if over `max_rows`.

    Raises:
        DataError: if there is none.
    """
    numbers = np.flatnonzero(rows & ~dataset.impressions.randomised)
    if len(numbers) == 0:
        numbers = np.flatnonzero(rows)  # a log of random exposures only
    if len(numbers) == 0:
        raise DataError("no row is left to fit on; give a longer log")
    if max_rows is None or len(numbers) <= max_rows:
        return numbers
    chosen = np.random.default_rng(seed).choice(len(numbers), max_rows, replace=False)
    return numbers[np.sort(chosen)]


def scorer_rows(
    log: PreparedLog, half: BoolArray, *, max_rows: tuple[int, int, int], seed: int
) -> ScorerRows:
    """Select rows of `half` for fitting and calibrating a scorer, and rows of the test part.

    Past feedback is counted over all training rows of `half`, even if the scorer is fitted on a
    sample of them.

    Args:
        log: the log, split by time.
        half: (rows,), True for the rows that the scorer may use.
        max_rows: maximum number of rows for fitting, calibration and test.
        seed: seed of the samples.
    """
    dataset, split = log.dataset, log.split
    past = np.zeros(len(half), dtype=np.bool_)
    past[standard_rows(split.train & half, dataset)] = True
    return ScorerRows(
        past=past,
        train=standard_rows(split.train & half, dataset, max_rows[0], seed),
        validation=standard_rows(split.validation & half, dataset, max_rows[1], seed),
        test=standard_rows(split.test, dataset, max_rows[2], seed),
    )


def fit_and_report(
    name: str,
    model: ScorerConfig,
    fit: ScorerFitConfig,
    log: PreparedLog,
    rows: ScorerRows,
    *,
    seed: int,
    folder: Path,
    device: DeviceName,
    metrics: MetricSink,
    terminal: Terminal,
    checkpoint: Path | None = None,
) -> FittedAndReported:
    """Fit and calibrate a scorer, evaluate it on the test rows, and save all in `folder`.

    With a `checkpoint` folder, the fit is saved there at each evaluation, and resumes from it.
    """
    is_fitted = np.zeros_like(rows.past)
    is_fitted[rows.train] = True
    encoder = FeatureEncoder.fit(log.dataset, rows.past, learnt=is_fitted)
    with terminal.progress(f"steps of {name}", None) as bar:

        def on_evaluation(evaluation: ValidationResult) -> None:
            metrics(evaluation.step, "scorer/monitor", evaluation.monitor)
            for task, loss in zip(log.dataset.tasks.names, evaluation.task_losses, strict=True):
                metrics(evaluation.step, f"scorer/loss/{task}", loss)
            for name, value in evaluation.measures.items():
                metrics(evaluation.step, f"scorer/{name}", value)

        fitted = fit_scorer(
            model,
            fit,
            encoder.layout,
            labelled_rows(encoder, log.dataset, rows.train),
            labelled_rows(encoder, log.dataset, rows.validation),
            rng=np.random.default_rng(seed),
            past_keys=log.dataset.impressions.keys[rows.past],
            on_evaluation=on_evaluation,
            on_step=bar.reach,
            checkpoint=checkpoint,
            device=chosen_device(device),
        )
    test = labelled_rows(encoder, log.dataset, rows.test)
    report = evaluate_scorer(fitted.scorer, test)
    fitted.scorer.save(folder, report=report)
    encoder.save(folder)
    replace_atomically(folder / "report.md", report.to_markdown().encode())
    replace_atomically(folder / "report.csv", report.to_csv().encode())
    replace_atomically(folder / "reliability.png", draw_reliability(fitted.scorer, test))
    show(scorer_table(report), terminal)
    return FittedAndReported(fitted.scorer, encoder, report)


def _scorer_rows(config: RunConfig, log: PreparedLog) -> ScorerRows:
    """Rows of the scorer's half for fitting and calibration, and rows of the test part."""
    limit, seed = config.scorer_rows, config.seed
    return scorer_rows(log, log.half, max_rows=(limit, limit // 4, limit // 2), seed=seed)


def score_with_a_model(
    config: RunConfig,
    log: PreparedLog,
    pools: IntArray,
    *,
    folder: Path,
    metrics: MetricSink,
    terminal: Terminal,
) -> ScoredPools:
    """Fit a scorer on its half of the log, save it in `folder`, and score (users, pool) videos."""
    terminal.stage(f"Scorer {config.scorer}, seed {config.seed}")
    fitted = fit_and_report(
        config.scorer,
        config.model,
        config.scorer_fit,
        log,
        _scorer_rows(config, log),
        seed=config.seed,
        folder=folder,
        device=config.device,
        metrics=metrics,
        terminal=terminal,
    )
    hours, tabs = _usual_contexts(log)
    with terminal.progress("users scored", log.dataset.num_users) as bar:
        table = score_pools(
            fitted.scorer,
            fitted.encoder,
            log.dataset,
            pools,
            hours=hours,
            tabs=tabs,
            on_users=bar.reach,
        )
    return ScoredPools(table, fitted.encoder)


def _pools(config: RunConfig, log: PreparedLog) -> IntArray:
    """The retrieved videos of each user, (users, pool)."""
    if log.world is not None:
        return log.world.retrieve(config.pool)
    rows = log.split.train & log.half
    return retrieve_pools(log.dataset, rows, pool=config.pool, seed=config.seed)


def _score_as_given(
    config: RunConfig, path: Path, log: PreparedLog, run: RunFolder, terminal: Terminal
) -> ScoredPools:
    """Read pools and scores from a file, and evaluate them on the test rows that they cover."""
    terminal.stage(f"Predictions in {path}")
    given = read_predictions(path, log.dataset, pool=config.pool)
    rows = _scorer_rows(config, log)
    hours, tabs = _usual_contexts(log)
    table = ScoreTable(
        scores=given.scores,
        videos=given.videos,
        base_rates=base_rates(log.dataset.impressions, rows.past, log.dataset.tasks),
        hours=hours,
        tabs=tabs,
        scorer_keys=np.zeros(0, dtype=np.uint64),
        tasks=log.dataset.tasks,
    )
    encoder = FeatureEncoder.fit(log.dataset, rows.past)
    summary, report = _report_given(given, table, log.dataset, encoder, rows.test)
    page = "\n".join(summary) + "\n" + ("" if report is None else f"\n{report.to_markdown()}")
    replace_atomically(run.scorer / "report.md", page.encode())
    for sentence in summary:
        say_wrapped([sentence], terminal)
    if report is not None:
        show(scorer_table(report), terminal)
    return ScoredPools(table, encoder)


def _report_given(
    given: GivenPredictions,
    table: ScoreTable,
    dataset: Dataset,
    encoder: FeatureEncoder,
    test: IntArray,
) -> tuple[list[str], ScorerReport | None]:
    """The row account of the file, and the quality of predictions on test rows in users' pools."""
    account = given.account
    ignored = f" Columns not read: {', '.join(given.ignored_columns)}."
    lines = [
        f"Predictions from {account.name}: {_counts(account)}."
        + (ignored if given.ignored_columns else ""),
        GIVEN_PREDICTIONS,
    ]
    users, videos = dataset.impressions.users[test], dataset.impressions.videos[test]
    positions = table.find(users, videos)
    covered = positions >= 0
    lines += [
        f"{int(covered.sum()):,} of {len(test):,} test rows show a video of the user's pool. "
        + ("The table is on these rows, uncalibrated." if covered.any() else "No table is shown.")
    ]
    if not covered.any():
        return lines, None
    predictions = table.scores[users[covered], positions[covered]]  # (rows, tasks)
    labelled = labelled_rows(encoder, dataset, test[covered])
    return lines, report_predictions(predictions, predictions, labelled)


def _usual_contexts(log: PreparedLog) -> tuple[IntArray, IntArray]:
    """Usual hour and tab of each user, (users,) each, in the scorer's training rows."""
    rows = np.flatnonzero(log.split.train & log.half)
    return usual_contexts(log.dataset.impressions, rows, num_users=log.dataset.num_users)


def _fit_user_model(
    config: RunConfig, log: PreparedLog, pools: IntArray, terminal: Terminal
) -> FittedUserModel:
    with terminal.progress("% fitted", 100) as bar:
        return fit_user_model(
            log.dataset,
            log.split,
            ~log.half,
            pools=pools,
            config=replace(config.user_model, seed=config.seed),
            on_progress=lambda stage, fraction: bar.reach(int(100 * fraction)),
            device=chosen_device(config.device),
        )


def _row_account(dataset: Dataset) -> str:
    account = dataset.account
    repaired = ", ".join(f"{count:,} {reason}" for reason, count in account.repaired.items())
    return (
        f"{_counts(account)}; repaired: {repaired or 'none'}; {dataset.num_users:,} users,"
        f" {dataset.num_videos:,} videos."
    )


def _counts(account: FileAccount | RowAccount) -> str:
    """`7 rows read, 5 kept, 2 dropped (2 duplicates)`."""
    dropped = ", ".join(f"{count:,} {reason}" for reason, count in account.dropped.items())
    return (
        f"{account.rows_read:,} rows read, {account.rows_kept:,} kept,"
        f" {account.rows_read - account.rows_kept:,} dropped" + (f" ({dropped})" if dropped else "")
    )
