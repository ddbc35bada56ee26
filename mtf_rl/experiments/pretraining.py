"""Scorers fitted on all training rows of a log, side by side."""

import time

import numpy as np

from mtf_rl.core.plugins import short_name
from mtf_rl.experiments.command_settings import PretrainConfig
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.devices import chosen_device
from mtf_rl.experiments.preparation import fit_and_report, prepare_log, scorer_rows
from mtf_rl.experiments.run_folder import RunFolder, new_run_folder
from mtf_rl.scorers import SCORERS, ComparedScorer, comparison_table

__all__ = ["PretrainConfig", "pretrain"]


def pretrain(config: PretrainConfig, terminal: Terminal) -> RunFolder:
    """Fit, calibrate and evaluate the models; one folder each under the run's `scorer/`.

    Raises:
        MtfRlError: for anything that the user can mend.
    """
    models = list(SCORERS) if config.model == "all" else [config.model]
    for model in models:
        SCORERS.resolve(model)  # A mistake in one's own is told before anything is read.
    device = chosen_device(config.device)
    run = new_run_folder(config.run_dir, agent=f"pretrain-{short_name(config.model)}")
    run.write_config(config)
    terminal.say(f"Run folder: {run.path}")
    with run.recorded(torch_device=device) as metrics, terminal.logging_to(run.path / "log.txt"):
        log = prepare_log(config.log, config.seed, run, terminal)
        everything = np.ones_like(log.half)
        rows = scorer_rows(log, everything, most=(config.rows,) * 3, seed=config.seed)
        compared = {}
        for model in models:
            terminal.stage(f"Scorer {model}: {len(rows.train)} training rows")
            start = time.perf_counter()
            fitted = fit_and_report(
                model,
                config.fit,
                log,
                rows,
                seed=config.seed,
                device=config.device,
                folder=run.scorer / short_name(model),
                metrics=metrics.prefixed(short_name(model)),
                terminal=terminal,
            )
            compared[short_name(model)] = ComparedScorer(
                report=fitted.report,
                parameters=sum(weight.numel() for weight in fitted.scorer.model.parameters()),
                rows_per_second=len(rows.train) / (time.perf_counter() - start),
            )
        run.write_text("scorer/comparison.md", comparison_table(compared))
    terminal.say(
        f"Written to {run.scorer}: a folder for each of {', '.join(models)} with report.md, .csv,"
        f" reliability.png and the scorer; comparison.md compares them."
    )
    return run
