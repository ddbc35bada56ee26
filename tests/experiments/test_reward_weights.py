"""The `reward_weights` command: its output, files and warnings."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mtf_rl.core.errors import ConfigError, RunFolderError
from mtf_rl.core.slates import Response
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.envs import Reward
from mtf_rl.evaluation import estimate_reward_weights
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.reward_weights import RewardWeightsConfig, reward_module, weigh_rewards
from mtf_rl.user_models import WorldConfig, synthesize
from tests.data.examples import MIDNIGHT_MS, log_row, write_log
from tests.evaluation.examples import planted_panel


def test_weights_of_a_synthetic_log_are_printed_and_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    synthesize(WorldConfig(users=80, videos=320, days=2, seed=1), tmp_path / "logs")
    config = RewardWeightsConfig(data=tmp_path / "logs", out=tmp_path / "out")
    weights = weigh_rewards(config, Terminal())
    page = (tmp_path / "out" / "reward_weights.md").read_text()
    assert weights.to_markdown() in page
    assert "sessions are fragments" not in page
    assert weights.to_markdown().splitlines()[0] in capsys.readouterr().out
    table = pd.read_csv(tmp_path / "out" / "reward_weights.csv")
    assert tuple(table.input) == (*KUAIRAND_TASKS.feedback_names, "watch_minute")
    records = json.loads((tmp_path / "out" / "reward_weights.json").read_text())
    assert records == weights.to_records()
    with pytest.raises(RunFolderError, match=re.escape("--out")):
        weigh_rewards(config, Terminal())


def test_sessions_of_one_request_give_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(1)
    rows = [
        log_row(
            user_id=user,
            video_id=rng.integers(9),
            time_ms=MIDNIGHT_MS + session * 7_200_000 + int(rng.integers(5_000_000)),
            play_time_ms=rng.integers(90_000),
            is_click=int(rng.random() < 0.5),
        )
        for user in range(60)
        for session in range(14)
    ]
    write_log(tmp_path, *rows)
    weights = weigh_rewards(RewardWeightsConfig(data=tmp_path), Terminal())
    printed = capsys.readouterr().out
    assert "These sessions are fragments: 100 % of them have one request" in printed
    assert weights.reward is None
    assert "No weight is significant in this log" in printed
    with pytest.raises(ConfigError, match=re.escape("no weight is significant in this log")):
        reward_module(weights)


def test_the_written_module_defines_a_reward() -> None:
    weights = estimate_reward_weights(planted_panel(0))
    names: dict[str, Any] = {}
    exec(reward_module(weights), names)
    worth = names["worth"]
    assert isinstance(worth, Reward)
    assert worth.watch_minute == 1.0
    assert worth.feedbacks[2] == pytest.approx(weights["like"].per_watch_minute.mean, rel=1e-3)
    response = Response(
        feedback=np.array([[[0, 0, 1, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0, 0]]], dtype=np.float32),
        watch_seconds=np.array([[30.0, 90.0]], dtype=np.float32),
    )
    assert worth(response) == pytest.approx([2.0 + 2.0 * worth.feedbacks[2]])


def test_wrong_settings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape("one of data and run must be given")):
        RewardWeightsConfig(data=tmp_path, run=tmp_path)
    with pytest.raises(ConfigError, match=re.escape("session_gap_minutes must be above 0")):
        RewardWeightsConfig(data=tmp_path, session_gap_minutes=0.0)
