"""Fixtures: a small finished run, shared by all tests here."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.run_folder import RunFolder
from mtf_rl.experiments.training import train
from tests.experiments.small_run import LEARNER_FLAGS, small_settings
from tests.made_once import MadeOnce


@pytest.fixture(scope="session", autouse=True)
def one_process_writes_logs() -> Iterator[None]:
    """Write logs in one process, because starting another takes longer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.cpu_count", lambda: 1)
        yield


@pytest.fixture(scope="session", name="finished")
def finished_run(made_once: MadeOnce) -> RunFolder:
    """A finished run of the main job; a test that writes into it uses a copy."""

    def make(folder: Path) -> None:
        train(small_settings(folder, "td3", *LEARNER_FLAGS), Terminal())

    return RunFolder(made_once.folder("run", make))
