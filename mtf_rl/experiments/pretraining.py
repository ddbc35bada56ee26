"""Fits scorers on all training rows of a log."""

import shutil
import time
from pathlib import Path

import numpy as np

from mtf_rl.core.files import load_json, save_json
from mtf_rl.core.plugins import short_name
from mtf_rl.experiments.answer import say_wrapped
from mtf_rl.experiments.command_line import settings_of_pretraining
from mtf_rl.experiments.command_settings import PretrainConfig
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.devices import chosen_device
from mtf_rl.experiments.preparation import (
    PreparedLog,
    fit_and_report,
    log_again,
    prepare_log,
    scorer_rows,
)
from mtf_rl.experiments.resumption import check_resumable, locked
from mtf_rl.experiments.run_folder import MetricWriter, RunFolder, new_run_folder, open_run_folder
from mtf_rl.scorers import SCORERS, ComparedScorer, comparison_table

__all__ = ["pretrain", "resume_pretraining"]


def pretrain(config: PretrainConfig, terminal: Terminal) -> RunFolder:
    """Fit, calibrate and evaluate the models; each has a folder in the run's `scorer/`.

    Raises:
        MtfRlError: if settings, data or files are invalid.
    """
    for model in _models(config):
        SCORERS.resolve(model)  # refuse a faulty extension before anything is read
    chosen_device(config.device)  # refuse a missing device before a folder is made
    run = new_run_folder(config.run_dir, agent=f"pretrain-{short_name(config.model)}")
    run.write_config(config)
    terminal.say(f"Run folder: {run.path}")
    with locked(run):
        _pretrain(config, run, terminal)
    return run


def resume_pretraining(path: Path, terminal: Terminal) -> RunFolder:
    """Resume a stopped or killed `pretrain` run; the results equal those of an unstopped run.

    Each fit resumes from its last evaluation. Finished models are loaded.

    Args:
        path: the run's folder.
        terminal: prints progress.

    Raises:
        RunFolderError: if the folder is not a run's, or the run is finished, in use by another
            process, or was started with other versions.
        MtfRlError: if settings, data or files are invalid.
    """
    run = open_run_folder(path)
    config = settings_of_pretraining(run)
    check_resumable(run, torch_device=chosen_device(config.device))
    with locked(run):
        terminal.say(f"Resuming {run.path}")
        _pretrain(config, run, terminal)
    return run


def _models(config: PretrainConfig) -> list[str]:
    return list(SCORERS) if config.model == "all" else [config.model]


def _pretrain(config: PretrainConfig, run: RunFolder, terminal: Terminal) -> None:
    models = [short_name(model) for model in _models(config)]
    with (
        run.recorded(torch_device=chosen_device(config.device)) as metrics,
        terminal.logging_to(run.path / "log.txt"),
    ):
        log = _log(config, run, terminal)
        compared = {
            short_name(model): _fit_one(model, config, log, run, metrics, terminal)
            for model in _models(config)
        }
        run.write_text("scorer/comparison.md", comparison_table(compared))
    shutil.rmtree(run.checkpoints, ignore_errors=True)  # only after the run counts as finished
    say_wrapped(
        [
            f"Written to {run.scorer}: a folder for each of {', '.join(models)} with report.md,"
            f" .csv, reliability.png and the scorer; comparison.md compares them."
        ],
        terminal,
    )


def _log(config: PretrainConfig, run: RunFolder, terminal: Terminal) -> PreparedLog:
    """Prepare the log, or read the log of a resumed run again."""
    if (run.data / "description.md").exists():  # written after the log itself
        terminal.say("The log is finished.")
        return log_again(config.log, config.seed, run)
    shutil.rmtree(run.data, ignore_errors=True)  # left unfinished by a killed run
    return prepare_log(config.log, config.seed, run, terminal)


def _fit_one(
    model: str,
    config: PretrainConfig,
    log: PreparedLog,
    run: RunFolder,
    metrics: MetricWriter,
    terminal: Terminal,
) -> ComparedScorer:
    all_rows = np.ones_like(log.half)
    rows = scorer_rows(log, all_rows, max_rows=(config.rows,) * 3, seed=config.seed)
    terminal.stage(f"Scorer {model}: {len(rows.train):,} training rows")
    start = time.perf_counter()
    name = short_name(model)
    fitted = fit_and_report(
        name,
        config.scorer_model or SCORERS.resolve(model)(),
        config.fit,
        log,
        rows,
        seed=config.seed,
        device=config.device,
        folder=run.scorer / name,
        metrics=metrics.prefixed(name),
        terminal=terminal,
        checkpoint=run.checkpoints / name,
    )
    speed = run.checkpoints / name / "rows_per_second.json"
    if not speed.exists():  # of the fit, not of loading it in a resumed run
        save_json(speed, len(rows.train) / (time.perf_counter() - start))
    return ComparedScorer(
        report=fitted.report,
        parameters=sum(weight.numel() for weight in fitted.scorer.model.parameters()),
        rows_per_second=load_json(speed),
    )
