"""Replaces a run's scorer by one of another seed, to test whether its policies still work."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from mtf_rl.agents.learning import discard_metric
from mtf_rl.core.errors import ConfigError
from mtf_rl.data import ScoreTable
from mtf_rl.experiments.assembly import Assembly
from mtf_rl.experiments.command_line import settings_of_run
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.preparation import log_again, score_with_a_model
from mtf_rl.experiments.run_folder import RunFolder

__all__ = ["rescored_assembly"]


def rescored_assembly(
    run: RunFolder, *, scorer_seed: int, folder: Path, terminal: Terminal
) -> Assembly:
    """A run's assembly with a scorer of another seed.

    Another seed changes the initial weights, the order of minibatches and, if `scorer_rows` limits
    them, the sample of training rows. Everything else stays the same: log, split, halves,
    retrieval pools, user profiles, simulator, ground truth, and the formula's base rates, which a
    serving system stores in its settings. Observations of candidates change with the predictions.

    Args:
        run: a prepared run.
        scorer_seed: seed of the new scorer.
        folder: folder of scorer and score table; they are loaded if they exist.
        terminal: prints progress.

    Raises:
        ConfigError: if the run uses given predictions and has no scorer.
        MtfRlError: if the run or its log cannot be read.
    """
    assembly = Assembly.load(run.data, run.simulator)
    path = folder / "score_table.npz"
    if path.exists():
        return replace(assembly, scores=ScoreTable.load(path))
    config = settings_of_run(run).run
    if config.predictions is not None:
        raise ConfigError(
            f"{run.path} ranks by given predictions and has no scorer to refit. Set --rescored 0"
        )
    log = log_again(config.log, config.seed, run)
    scored = score_with_a_model(
        replace(config, seed=scorer_seed),
        log,
        assembly.scores.videos,
        folder=folder,
        metrics=discard_metric,
        terminal=terminal,
    )
    table = replace(scored.table, base_rates=np.asarray(assembly.scores.base_rates))
    table.save(path)
    return replace(assembly, scores=table)
