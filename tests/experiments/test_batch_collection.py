"""Collection of batch datasets from a small run."""

import re
from pathlib import Path

import numpy as np
import pytest

from mtf_rl.core.errors import ConfigError, RunFolderError
from mtf_rl.data import BatchDataset
from mtf_rl.experiments.collection import BEHAVIOURS, CollectConfig, collect_batch
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.run_folder import RunFolder


@pytest.fixture(name="run")
def finished_run(finished: RunFolder) -> RunFolder:
    return finished


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_a_batch_is_written_and_read_back(
    behaviour: str,
    run: RunFolder,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = CollectConfig(
        run.path, behaviour=behaviour, requests=300, out=tmp_path / "batch.parquet"
    )
    batch = BatchDataset.load(collect_batch(config, Terminal()))
    assert len(batch.rewards) >= 300
    assert batch.evaluator == "simulator"
    assert np.isfinite(batch.log_densities).all()
    assert f"{len(batch.rewards)} requests of" in capsys.readouterr().out
    with pytest.raises(RunFolderError, match=re.escape("exists; choose another --out")):
        collect_batch(config, Terminal())


def test_bad_settings_are_refused(run: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=re.escape("evaluator must be one of simulator, ground_truth, got")
    ):
        CollectConfig(run.path, evaluator="truth")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=re.escape("std must be above 0, got 0.0")):
        CollectConfig(run.path, std=0.0)
    config = CollectConfig(run.path, base="td4", out=tmp_path / "b.parquet")
    with pytest.raises(ConfigError, match=re.escape("base must be one of td3, ")):
        collect_batch(config, Terminal())
