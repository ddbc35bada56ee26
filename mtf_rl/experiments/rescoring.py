"""A run's sessions after its scorer was fitted again: do fusion weights outlive their ranker?"""

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
    """A run's assembly with the scorer of another seed.

    Another seed is another start of the weights, another order of minibatches, and another sample
    of the training rows where `scorer_rows` takes a part of them. All else is held: log, split,
    halves, retrieval pools, users' profiles, simulator and truth; and the formula's base rates,
    which a system that serves a policy has in its settings. What is observed of candidates changes
    with their predictions.

    Args:
        run: that is there.
        scorer_seed: of the new scorer.
        folder: where scorer and score table are kept; they are read from there if present.
        terminal: told what happens.

    Raises:
        ConfigError: if the run was given predictions, so that there is no scorer.
        MtfRlError: if the run or its log cannot be read.
    """
    assembly = Assembly.load(run.data, run.simulator)
    path = folder / "score_table.npz"
    if path.exists():
        return replace(assembly, scores=ScoreTable.load(path))
    config = settings_of_run(run).run
    if config.predictions is not None:
        raise ConfigError(
            f"{run.path} ranks by given predictions, so that there is no scorer to fit again"
        )
    log = log_again(config.log, config.seed, run)
    terminal.stage(f"Scorer ({config.scorer}), seed {scorer_seed}")
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
