"""Every file in docs/examples runs as it stands, from any folder, and again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mtf_rl.experiments.contracts import CONTRACTS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "examples"
EXAMPLES = sorted(FOLDER.glob("*.py"))
EXTENSIONS = [
    ("agent", "own_agent:HillClimbing"),
    ("scorer", "own_scorer:QuadraticConfig"),
    ("formula", "own_formula:RootSum"),
    ("reward", "own_reward:finished"),
    ("estimator", "own_estimator:CAPPED"),
    ("contestant", "own_contestant:PATIENT"),
]


def run(example: Path, cwd: Path, *words: str, temporary: Path) -> None:
    answer = subprocess.run(
        [sys.executable, str(example), *words],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_an_example_runs_and_writes_to_a_temporary_folder(example: Path, tmp_path: Path) -> None:
    here, temporary = tmp_path / "here", tmp_path / "temporary"
    here.mkdir()
    temporary.mkdir()
    before = _files()
    run(example, here, temporary=temporary)
    assert list(here.iterdir()) == []
    assert _files() == before


def _files() -> set[str]:
    return {path.name for path in FOLDER.iterdir() if path.name != "__pycache__"}


@pytest.mark.external
@pytest.mark.parametrize("example", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_an_example_runs_twice_in_a_given_folder(example: Path, tmp_path: Path) -> None:
    for _ in range(2):
        run(example, tmp_path, str(tmp_path), temporary=tmp_path)


@pytest.mark.parametrize(("kind", "name"), EXTENSIONS)
def test_an_example_keeps_its_contract(
    kind: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(FOLDER)
    verdicts = CONTRACTS[kind].verdicts(name)
    assert [verdict for verdict in verdicts if verdict.fault is not None] == []


def test_there_is_an_example_of_each_kind() -> None:
    assert len(EXAMPLES) >= 8
    assert {kind for kind, _ in EXTENSIONS} == set(CONTRACTS) - {"action_map"}
