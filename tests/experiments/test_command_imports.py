"""Parsing a command line imports nothing heavy, and `--help` starts with the main options."""

import os
import subprocess
import sys

import pytest

HEAVY = ("torch", "numba", "scipy", "pandas", "pyarrow", "optuna", "sklearn", "stable_baselines3")
PARSED_LIGHTLY = (
    "collect", "compare", "evaluate", "fidelity", "ope", "prepare", "pretrain", "replay",
    "reward_weights", "synthesize", "train",
)  # fmt: skip
SCRIPT = """
import contextlib, importlib, io, sys
command, heavy = sys.argv[1], sys.argv[2].split(",")
for words in (["--help"], ["--no-such-flag"]):
    sys.argv = [command, *words]
    shown = io.StringIO()
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(shown):
        with contextlib.redirect_stderr(shown):
            importlib.import_module("mtf_rl." + command).main()
    assert shown.getvalue()
print(",".join(name for name in heavy if name in sys.modules))
"""


@pytest.mark.parametrize("command", PARSED_LIGHTLY)
def test_help_and_a_mistyped_flag_import_nothing_heavy(command: str) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", SCRIPT, command, ",".join(HEAVY)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert answer.stdout.strip() == ""


def test_help_of_train_starts_with_the_main_options() -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "mtf_rl.train", "cma_es", "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env=os.environ | {"COLUMNS": "80"},
    )
    lines = answer.stdout.splitlines()
    head = "\n".join(lines[:40])
    for part in ("--data", "--production", "--preset smoke", "--resume RUN", "shared_bottom"):
        assert part in head
    assert max(map(len, lines)) <= 80
    flags = [line for line in lines if "--sessions-per-trial" in line]
    assert len(flags) == 1  # the bare flag; no --cma-es.sessions-per-trial beside it
    assert not any("--cma-es." in line for line in lines)
