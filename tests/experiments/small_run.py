"""A small run: its flags and settings, and copies at several stages."""

import shutil
from pathlib import Path

from mtf_rl.experiments.command_line import parse_train
from mtf_rl.experiments.config import RunSettings
from mtf_rl.experiments.resumption import Progress
from mtf_rl.experiments.run_folder import RunFolder, new_run_folder
from mtf_rl.experiments.training import surroundings_of

__all__ = [
    "LEARNER_FLAGS",
    "RUN_FLAGS",
    "SEARCHES",
    "USERS",
    "begin",
    "begin_prepared",
    "copy_of",
    "small_settings",
]

USERS = 80
SEARCHES = ("grid", "random_search", "cma_es", "gp_bo")
RUN_FLAGS = [
    "--preset", "smoke", "--world.users", str(USERS), "--world.videos", "320",
    "--world.days", "2", "--world.seed", "3", "--scorer-rows", "4000",
    "--scorer-fit.max-epochs", "1", "--user-model.max-rows", "4000",
    "--user-model.max-epochs", "1", "--requests", "1200", "--sessions", "60",
    "--tuning-sessions", "30", "--checkpoint-seconds", "0",
]  # fmt: skip
for search in SEARCHES:
    flag = f"--{search.replace('_', '-')}"
    RUN_FLAGS += [f"{flag}.sessions-per-trial", "4", f"{flag}.max-blocks", "2"]
LEARNER_FLAGS = ["--warmup-requests", "300", "--num-envs", "8"]  # of agents that learn online


def small_settings(folder: Path, agent: str, *flags: str) -> RunSettings:
    """Settings of a run with few users, and these flags."""
    return parse_train([agent, *RUN_FLAGS, *flags, "--run-dir", str(folder)])


def begin(folder: Path, agent: str, *flags: str) -> RunFolder:
    """The folder of a run that was killed right after its start."""
    settings = small_settings(folder, agent, *flags)
    run = new_run_folder(folder, agent=agent)
    run.write_config(settings)
    run.write_provenance("running", **surroundings_of(settings.run))
    return run


def begin_prepared(folder: Path, agent: str, prepared: Path, *flags: str) -> RunFolder:
    """The folder of a run that was killed before its first learner, with all preparation done."""
    run = begin(folder, agent, *flags)
    for part in ("data", "scorer", "simulator"):
        shutil.copytree(prepared / part, folder / part)
    Progress(prepared=True).save(run)
    return run


def copy_of(run: RunFolder, folder: Path) -> RunFolder:
    """A copy for a test that writes into it."""
    shutil.copytree(run.path, folder)
    return RunFolder(folder)
