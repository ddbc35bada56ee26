"""The fidelity command on a small run."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mtf_rl.core.errors import ConfigError, DataError, LeakageError, RunFolderError
from mtf_rl.experiments.assembly import Assembly
from mtf_rl.experiments.config import PRESETS
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.fidelity import FidelityConfig, report_fidelity
from mtf_rl.experiments.held_out import read_held_out
from mtf_rl.experiments.run_folder import RunFolder
from tests.experiments.small_run import copy_of

FILES = ("fidelity.md", "fidelity.csv", "fidelity.json", "fidelity.png")


@pytest.fixture(scope="module", name="run")
def reported_run(finished: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return copy_of(finished, tmp_path_factory.mktemp("runs") / "small")


@pytest.fixture(scope="module", name="folder")
def reported(run: RunFolder) -> Path:
    return report_fidelity(FidelityConfig(run.path, sessions=150), Terminal())


def test_the_report_is_complete(folder: Path) -> None:
    assert folder.parts[-2:] == ("fidelity", "sessions-150")
    assert all((folder / name).stat().st_size > 0 for name in FILES)
    table = pd.read_csv(folder / "fidelity.csv").set_index(["group", "name"])
    assert list(table.columns) == ["log", "log_low", "log_high", "replay", "rollout", "truth_again"]
    assert table.loc[("Rates per video", "click")].between(0.05, 0.95).all()
    assert ("Return", "active on the next day") in table.index
    document = json.loads((folder / "fidelity.json").read_text())
    names = {verdict["name"] for verdict in document["discriminator"]}
    assert {"replay", "rollout", "truth again", "features permuted over sessions"} <= names
    controls = [bar for bar in document["bars"] if bar["source"] == "control"]
    assert [bar["met"] for bar in controls][-1]
    assert {bar["source"] for bar in document["bars"]} == {"replay", "rollout", "control"}
    assert {entry["part"] for entry in document["calibration"]} >= {"click", "like"}
    page = (folder / "fidelity.md").read_text()
    assert "validation rows" in page
    assert "One day is held out" in page


def test_the_same_settings_give_the_same_files(run: RunFolder, folder: Path) -> None:
    before = {name: (folder / name).read_bytes() for name in FILES}
    assert report_fidelity(FidelityConfig(run.path, sessions=150), Terminal()) == folder
    assert {name: (folder / name).read_bytes() for name in FILES} == before


def test_held_out_rows_are_whole_sessions_without_fitted_rows(run: RunFolder) -> None:
    assembly = Assembly.load(run.data, run.simulator)
    config = PRESETS["smoke"]()[0].log
    held_out = read_held_out(run, config, run.data / "logs", assembly)
    keys = held_out.log.impressions.keys
    assert not np.isin(keys, assembly.scores.scorer_keys).any()
    assert not np.isin(keys, assembly.simulator.row_keys).any()
    assert held_out.log.impressions.times_ms.min() >= held_out.start_ms
    assert "sessions that begin on 2022-04-09, with" in str(held_out)
    leaked = replace(
        assembly,
        simulator=replace(
            assembly.simulator, row_keys=np.append(assembly.simulator.row_keys, keys[0])
        ),
    )
    with pytest.raises(LeakageError, match=re.escape("1 of the held-out rows were used in a fit")):
        read_held_out(run, config, run.data / "logs", leaked)


def test_a_moved_or_changed_log_is_refused(run: RunFolder, tmp_path: Path) -> None:
    moved = RunFolder(tmp_path / "moved")
    shutil.copytree(run.path, moved.path)
    shutil.move(moved.data / "logs", tmp_path / "elsewhere")
    with pytest.raises(DataError, match=re.escape("files now with --data DIR")):
        report_fidelity(FidelityConfig(moved.path), Terminal())
    log = tmp_path / "elsewhere" / "log_standard_4_08_to_4_09_world.csv"
    lines = log.read_text().splitlines()
    log.write_text("\n".join(lines[:-5]) + "\n")
    with pytest.raises(DataError, match=re.escape("elsewhere are not the log that")):
        report_fidelity(FidelityConfig(moved.path, data=tmp_path / "elsewhere"), Terminal())


def test_bad_settings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape("sessions must be at least 100, got 20")):
        FidelityConfig(tmp_path, sessions=20)
    with pytest.raises(RunFolderError, match=re.escape("is not a run folder")):
        report_fidelity(FidelityConfig(tmp_path), Terminal())


def test_the_folder_is_named_after_settings_that_differ_from_defaults(tmp_path: Path) -> None:
    assert FidelityConfig(tmp_path).folder == tmp_path / "fidelity"
    other = FidelityConfig(tmp_path, sessions=200, seed=3, truth_again=False)
    assert other.folder == tmp_path / "fidelity" / "sessions-200-seed-3-no-truth-again"
