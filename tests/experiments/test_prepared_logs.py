"""A prepared log gives the same data as the raw log."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from mtf_rl import prepare
from mtf_rl.core.errors import ConfigError, DataError
from mtf_rl.data import read_log
from mtf_rl.experiments.config import LogConfig
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.preparation import prepare_log
from mtf_rl.experiments.run_folder import new_run_folder
from mtf_rl.user_models import WorldConfig, synthesize


@pytest.fixture(scope="module", name="raw")
def raw_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    synthesize(WorldConfig(users=40, videos=150, days=2), folder)
    return folder


@pytest.fixture(scope="module", name="prepared")
def prepared_log(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared") / "out"
    words = ["prepare", str(raw), "--out", str(folder)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", words)
        prepare.main()
    return folder


def test_prepared_and_raw_files_give_the_same_data(
    raw: Path, prepared: Path, tmp_path: Path
) -> None:
    first, second = (
        prepare_log(
            LogConfig(data=data), 3, new_run_folder(tmp_path / data.name, agent="x"), Terminal()
        )
        for data in (raw, prepared)
    )
    for name, values in vars(first.dataset.impressions).items():
        np.testing.assert_array_equal(values, getattr(second.dataset.impressions, name), name)
    for table in ("users", "videos"):
        mine, other = getattr(first.dataset, table), getattr(second.dataset, table)
        np.testing.assert_array_equal(mine.ids, other.ids)
        for column, same in zip(mine.categorical, other.categorical, strict=True):
            np.testing.assert_array_equal(column.codes, same.codes)
        for column, same in zip(mine.numeric, other.numeric, strict=True):
            np.testing.assert_array_equal(column.values, same.values)
    for part in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(first.split, part), getattr(second.split, part))
    np.testing.assert_array_equal(first.half, second.half)
    assert second.world is not None
    assert first.world is not None
    assert second.world.config == first.world.config


def test_another_session_gap_than_the_prepared_one_is_refused(prepared: Path) -> None:
    message = f"{prepared} was prepared with --session-gap-minutes 30, but this command uses 20"
    with pytest.raises(ConfigError, match=re.escape(message)):
        read_log(prepared, session_gap_minutes=20.0)


@pytest.mark.parametrize("folder", ["empty", "missing"])
def test_the_error_without_a_log_names_a_source(folder: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=re.escape("https://kuairand.com")):
        read_log(tmp_path / folder)
