"""Commands from end to end: error messages, help, interruption."""

import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest

from mtf_rl.experiments.console import Terminal, run_command
from mtf_rl.experiments.re_evaluation import evaluate_run
from mtf_rl.experiments.run_evaluation import load_entries
from mtf_rl.experiments.run_folder import RunFolder
from tests.experiments.small_run import LEARNER_FLAGS, begin_prepared

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Answer:
    """Exit code and output of a command."""

    code: int
    printed: str
    errors: str


class Commands:
    """Calls commands in this process, because their imports are slower than their work."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, name: str, *words: str) -> Answer:
        self._monkeypatch.chdir(ROOT)
        self._monkeypatch.setattr(sys, "argv", [name, *words])
        with pytest.raises(SystemExit) as end:
            run_command(import_module(name).main)
        printed, errors = self._capsys.readouterr()
        assert isinstance(end.value.code, int)
        return Answer(end.value.code, printed, errors)


@pytest.fixture(name="run")
def commands_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(monkeypatch, capsys)


def run_apart(*words: str) -> Answer:
    """Run a command in a process of its own."""
    ended = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return Answer(ended.returncode, ended.stdout, ended.stderr)


def unframed(text: str) -> str:
    """The text of a framed message, without the frame."""
    return " ".join(text.translate({ord(char): " " for char in "│╭╮╰╯─"}).split())


@pytest.mark.parametrize(
    ("words", "message"),
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
def test_bad_input_gets_a_framed_message(
    words: list[str], message: str, run: Commands, tmp_path: Path
) -> None:
    answer = run(*words, *(["--run-dir", str(tmp_path / "r")] if "--data" in words else []))
    assert answer.code == 2
    assert message in unframed(answer.errors)
    assert "Traceback" not in answer.errors + answer.printed


COMMANDS = (
    "train",
    "compare",
    "evaluate",
    "ope",
    "replay",
    "fidelity",
    "prepare",
    "pretrain",
    "synthesize",
    "reward_weights",
    "collect",
    "check",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_works(command: str, run: Commands) -> None:
    answer = run(f"mtf_rl.{command}", "--help")
    assert answer.code == 0
    assert f"python -m mtf_rl.{command}" in answer.printed
    assert "Traceback" not in answer.errors


@pytest.mark.slow
def test_a_separate_process_has_the_same_exit_codes_and_messages() -> None:
    refused = run_apart("mtf_rl.train", "--gamma", "1.5")
    assert (refused.code, refused.printed) == (2, "")
    assert "gamma must be in [0, 1], got 1.5" in unframed(refused.errors)
    helped = run_apart("mtf_rl.collect", "--help")
    assert (helped.code, helped.errors) == (0, "")
    assert "python -m mtf_rl.collect" in helped.printed


def test_an_interrupted_run_keeps_its_policy(finished: RunFolder, tmp_path: Path) -> None:
    flags = (*LEARNER_FLAGS, "--requests", "4000000")
    folder = begin_prepared(tmp_path / "run", "td3", finished.path, *flags).path
    process = subprocess.Popen(
        [sys.executable, "-m", "mtf_rl.train", "--resume", str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Background jobs of a shell ignore Ctrl-C, and their children inherit this.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    metrics = folder / "metrics.csv"
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and process.poll() is None:
        # The learner logs losses only after its warm-up.
        if metrics.exists() and "td3/train/" in metrics.read_text():
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors.decode()
    assert "Traceback" not in errors.decode()
    assert "Interrupted" in errors.decode()
    assert '"status": "stopped' in (folder / "provenance.json").read_text()
    assert metrics.stat().st_size > 0
    assert set(load_entries(folder / "policy")) == {"td3", "td3_untrained"}
    evaluated = evaluate_run(folder, sessions=10, seed=None, terminal=Terminal())
    assert (evaluated / "leaderboard.csv").is_file()
