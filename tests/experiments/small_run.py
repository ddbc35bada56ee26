"""A small run up to its simulator, for what needs no policy."""

from dataclasses import replace
from pathlib import Path

import pytest

from mtf_rl.agents import TD3Config
from mtf_rl.experiments.config import PRESETS, RunSettings
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.preparation import prepare_run
from mtf_rl.experiments.run_folder import RunFolder, new_run_folder
from mtf_rl.user_models import WorldConfig

__all__ = ["prepare_small_run"]


def prepare_small_run(folder: Path, *, users: int) -> RunFolder:
    """Data, scorer and simulator of a world of a few users."""
    config = PRESETS["smoke"]()[0]
    config = replace(
        config,
        run_dir=folder,
        requests=20_000,
        scorer_rows=3_000,
        log=replace(config.log, world=WorldConfig(users=users, videos=320, days=2, seed=3)),
        scorer_fit=replace(config.scorer_fit, max_epochs=1),
        user_model=replace(config.user_model, max_rows=4_000, max_epochs=1),
    )
    run = new_run_folder(config.run_dir, agent="td3")
    run.write_config(RunSettings("td3", TD3Config(), config))
    with pytest.MonkeyPatch.context() as patch:
        # Another process takes longer to start than these logs to write.
        patch.setattr("os.cpu_count", lambda: 1)
        prepare_run(config, run, lambda step, name, value: None, Terminal())
    return run
