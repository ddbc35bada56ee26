"""Scorers fitted on all training rows of a log, side by side."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from mtf_rl.core.ranges import check_at_least, check_seed
from mtf_rl.experiments.config import LogConfig
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.preparation import fit_and_report, prepare_log, scorer_rows
from mtf_rl.experiments.run_folder import RunFolder, new_run_folder
from mtf_rl.scorers import SCORERS, ComparedScorer, ScorerFitConfig, comparison_table

__all__ = ["PretrainConfig", "pretrain"]


@dataclass(frozen=True)
class PretrainConfig:
    """Fit scorers on all training rows of a log; quality bars are measured so.

    Raises:
        UnknownNameError: if a model is not known.
        ConfigError: if rows is below 1.
    """

    model: tyro.conf.Positional[str] = "mmoe"
    """Model to fit, or all: the names of docs/scorers.md."""
    run_dir: Path | None = None
    """Folder of the run, new or empty; by default runs/MODEL-N, the first free N."""
    seed: int = 0
    """Seed of the fit, at least 0."""
    rows: int = 10_000_000
    """Training rows at most, at least 1."""
    log: Annotated[LogConfig, tyro.conf.arg(name="")] = field(default_factory=LogConfig)
    """The log, given or synthetic."""
    fit: ScorerFitConfig = field(default_factory=ScorerFitConfig)
    """How each model is fitted."""

    def __post_init__(self) -> None:
        check_at_least("rows", self.rows, 1)
        check_seed("seed", self.seed)
        if self.model != "all":
            SCORERS[self.model]


def pretrain(config: PretrainConfig, terminal: Terminal) -> RunFolder:
    """Fit, calibrate and evaluator the models; one folder each under the run's `scorer/`.

    Raises:
        MtfRlError: for anything that the user can mend.
    """
    models = list(SCORERS) if config.model == "all" else [config.model]
    run = new_run_folder(config.run_dir, agent=f"pretrain-{config.model}")
    run.write_config(config)
    terminal.say(f"Run folder: {run.path}")
    with run.recorded() as metrics, terminal.logging_to(run.path / "log.txt"):
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
                folder=run.scorer / model,
                metrics=metrics.prefixed(model),
                terminal=terminal,
            )
            compared[model] = ComparedScorer(
                report=fitted.report,
                parameters=sum(weight.numel() for weight in fitted.scorer.model.parameters()),
                rows_per_second=len(rows.train) / (time.perf_counter() - start),
            )
        run.write_text("scorer/comparison.md", comparison_table(compared))
    return run
