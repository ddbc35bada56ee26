"""Commands as a user meets them: what bad input gets, and what an interruption leaves."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.re_evaluation import evaluate_run
from mtf_rl.experiments.run_evaluation import load_entries

ROOT = Path(__file__).parents[2]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def unframed(text: str) -> str:
    """The words of a framed message, without the frame."""
    return " ".join(text.translate({ord(char): " " for char in "│╭╮╰╯─"}).split())


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["mtf_rl.train", "--data", "no/such/folder"], "no/such/folder"),
        (["mtf_rl.train", "td4"], "Unknown agent 'td4'. Did you mean 'td3'?"),
        (["mtf_rl.train", "--gamma", "1.5"], "gamma must be in [0, 1], got 1.5"),
        (["mtf_rl.train", "--steps", "-5"], "requests must be at least 0, got -5"),
        (["mtf_rl.train", "--run-dir", "tests"], "--run-dir tests is in use"),
        (["mtf_rl.evaluate", "tests"], "tests is not a run folder"),
        (["mtf_rl.fidelity", "tests"], "tests is not a run folder"),
        (["mtf_rl.collect", "tests"], "tests is not a run folder"),
        (["mtf_rl.collect", "tests", "--behaviour", "mox"], "Unknown behaviour 'mox'. Did you"),
        (["mtf_rl.prepare", "no/such/folder", "--out", "runs/none"], "no/such/folder"),
        (["mtf_rl.pretrain", "mmo"], "Unknown scorer 'mmo'. Did you mean 'mmoe'?"),
        (["mtf_rl.reward_weights"], "one of data and run must be given"),
        (["mtf_rl.synthesize", "--out", "runs/none", "--users", "0"], "users must be at least 1"),
    ],
)
def test_bad_input_gets_one_framed_sentence(
    words: list[str], complaint: str, tmp_path: Path
) -> None:
    answer = run(*words, *(["--run-dir", str(tmp_path / "r")] if "--data" in words else []))
    assert answer.returncode == 2
    assert complaint in unframed(answer.stderr)
    assert "Traceback" not in answer.stderr + answer.stdout


@pytest.mark.parametrize(
    "command",
    [
        "train",
        "evaluate",
        "fidelity",
        "prepare",
        "pretrain",
        "synthesize",
        "reward_weights",
        "collect",
    ],
)
def test_help_names_every_flag_with_words(command: str) -> None:
    answer = run(f"mtf_rl.{command}", "--help")
    assert answer.returncode == 0
    assert f"python -m mtf_rl.{command}" in answer.stdout
    assert "Traceback" not in answer.stderr


def test_an_interrupted_run_keeps_what_it_learnt(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    words = [
        "mtf_rl.train", "td3", "--preset", "smoke", "--run-dir", str(folder),
        "--requests", "4000000",
        "--world.users", "80", "--world.videos", "320",
        "--world.days", "2", "--scorer-rows", "5000", "--user-model.max-rows", "5000",
        "--sessions", "20", "--tuning-sessions", "10",
    ]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A shell makes the jobs in its background deaf to Ctrl-C, and their children with them.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    metrics = folder / "metrics.csv"
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and process.poll() is None:
        # The learner's own metrics appear in the log once it is past its warm-up.
        if (folder / "log.txt").exists() and "Policy td3" in (folder / "log.txt").read_text():
            time.sleep(8)
            break
        time.sleep(0.2)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors.decode()
    assert "Traceback" not in errors.decode()
    assert "Interrupted" in errors.decode()
    assert '"status": "stopped' in (folder / "provenance.json").read_text()
    assert metrics.stat().st_size > 0
    assert set(load_entries(folder / "policy")) == {"td3", "td3_untrained"}
    evaluated = evaluate_run(folder, sessions=10, seed=None, terminal=Terminal())
    assert (evaluated / "leaderboard.csv").is_file()
