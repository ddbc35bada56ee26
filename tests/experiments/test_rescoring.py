"""A run's assembly with a scorer of another seed."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mtf_rl.core.errors import ConfigError
from mtf_rl.experiments.assembly import Assembly
from mtf_rl.experiments.command_line import settings_of_run
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.rescoring import rescored_assembly
from mtf_rl.experiments.run_folder import RunFolder


@pytest.fixture(name="run")
def finished_run(finished: RunFolder) -> RunFolder:
    return finished


def again(run: RunFolder, seed: int, folder: Path) -> Assembly:
    return rescored_assembly(run, scorer_seed=seed, folder=folder, terminal=Terminal())


def test_another_scorer_seed_changes_scores_only(run: RunFolder, tmp_path: Path) -> None:
    mine = Assembly.load(run.data, run.simulator)
    own = settings_of_run(run).run.seed
    same = again(run, own, tmp_path / "same")
    np.testing.assert_array_equal(same.scores.scores, mine.scores.scores)
    other = again(run, own + 1, tmp_path / "other")
    assert np.abs(other.scores.scores - mine.scores.scores).max() > 0.001
    for name in ("videos", "base_rates", "hours", "tabs"):
        np.testing.assert_array_equal(getattr(other.scores, name), getattr(mine.scores, name))
    np.testing.assert_array_equal(other.profiles.values, mine.profiles.values)
    assert list(other.evaluators) == list(mine.evaluators)


def test_an_existing_score_table_is_loaded(run: RunFolder, tmp_path: Path) -> None:
    first = again(run, 5, tmp_path)
    written = (tmp_path / "score_table.npz").stat().st_mtime_ns
    second = again(run, 5, tmp_path)
    np.testing.assert_array_equal(first.scores.scores, second.scores.scores)
    assert (tmp_path / "score_table.npz").stat().st_mtime_ns == written


def test_runs_with_given_predictions_are_refused(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of_run(run)
    given = replace(settings, run=replace(settings.run, predictions=Path("mine.parquet")))
    monkeypatch.setattr("mtf_rl.experiments.rescoring.settings_of_run", lambda run: given)
    message = f"{run.path} ranks by given predictions"
    with pytest.raises(ConfigError, match=re.escape(message)):
        again(run, 1, tmp_path)
