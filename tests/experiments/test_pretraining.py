"""The `pretrain` command: model settings and resumption."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mtf_rl.core.errors import RunFolderError
from mtf_rl.experiments import pretraining
from mtf_rl.experiments.command_line import parse_pretrain
from mtf_rl.experiments.command_settings import PretrainConfig
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.pretraining import pretrain, resume_pretraining
from mtf_rl.scorers import Scorer, SharedBottomConfig, fit_scorer

MODELS = ("shared_bottom", "mmoe")
SIZE = (
    "--world.users 60 --world.videos 200 --world.days 2 --rows 3000 --fit.batch-rows 256"
    " --fit.max-epochs 2"
)


def config_of(folder: Path, words: str) -> PretrainConfig:
    return parse_pretrain([*words.split(), *SIZE.split(), "--run-dir", str(folder)])


def test_flags_reach_the_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "shared_bottom --scorer-model.dense-bins 3 --scorer-model.trunk-widths 8"
    run = pretrain(config_of(tmp_path / "run", words), Terminal())
    scorer = Scorer.load(run.scorer / "shared_bottom")
    assert scorer.config == SharedBottomConfig(dense_bins=3, trunk_widths=(8,))
    assert f"Written to {run.scorer}" in " ".join(capsys.readouterr().out.split())
    assert not run.checkpoints.exists()
    with pytest.raises(RunFolderError, match="is finished; there is nothing to resume"):
        resume_pretraining(run.path, Terminal())


def test_a_resumed_pretrain_gives_the_same_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretraining, "_models", lambda config: list(MODELS))
    whole = pretrain(config_of(tmp_path / "whole", "all"), Terminal())
    calls = []

    def fit_until_killed(model: Any, *args: Any, on_evaluation: Any, **kwargs: Any) -> Any:
        def evaluated(evaluation: Any) -> None:
            on_evaluation(evaluation)
            calls.append(evaluation)
            if len(calls) == 11:  # during the second fit; the first has 8 evaluations
                raise KeyboardInterrupt

        return fit_scorer(model, *args, on_evaluation=evaluated, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr("mtf_rl.experiments.preparation.fit_scorer", fit_until_killed)
        with pytest.raises(KeyboardInterrupt):
            pretrain(config_of(tmp_path / "stopped", "all"), Terminal())
    resumed = resume_pretraining(tmp_path / "stopped", Terminal())
    for model in MODELS:
        for name in ("weights.safetensors", "report.csv"):
            file = Path("scorer") / model / name
            assert (resumed.path / file).read_bytes() == (whole.path / file).read_bytes()
    first, second = (pd.read_csv(run.path / "metrics.csv") for run in (whole, resumed))
    pd.testing.assert_frame_equal(first, second)
