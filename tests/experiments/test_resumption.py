"""A killed and resumed run gives the results of an uninterrupted run."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mtf_rl.core.errors import ArtifactError, ConfigError, RunFolderError
from mtf_rl.core.files import load_json, save_json
from mtf_rl.experiments.command_line import Resumption, parse_resume
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.resumption import Progress, checkpoint_path, locked, note_given_batch
from mtf_rl.experiments.run_folder import RunFolder, new_run_folder
from mtf_rl.experiments.training import resume
from tests.experiments.small_run import LEARNER_FLAGS, RUN_FLAGS, SEARCHES, begin, begin_prepared

ROOT = Path(__file__).parents[2]


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "mtf_rl.train", *words]


def kill_during_training(words: list[str], folder: Path, agent: str) -> None:
    """Kill the process after the learner has written a checkpoint after its warm-up."""
    process = subprocess.Popen(
        words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    state = checkpoint_path(RunFolder(folder), agent)
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and process.poll() is None:
        if state.exists() and f"{agent}/train/" in (folder / "metrics.csv").read_text():
            break
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert load_json(folder / "provenance.json")["status"] == "running"
    assert not (folder / "policy").exists()


def assert_equal_results(whole: Path, resumed: Path, agent: str) -> None:
    policies = {path.parent.name for path in whole.glob("policy/*/policy.json")}
    assert policies >= {agent, f"{agent}_untrained", *SEARCHES, "uniform"}
    assert {path.parent.name for path in resumed.glob("policy/*/policy.json")} == policies
    files = [
        *(f"policy/{name}/policy.safetensors" for name in sorted(policies)),
        *(f"leaderboard.{ending}" for ending in ("csv", "md", "json")),
        "data/score_table.npz",
    ]
    for file in files:
        assert (resumed / file).read_bytes() == (whole / file).read_bytes(), file
    first, second = (
        pd.read_csv(folder / "metrics.csv", dtype=str).query("not name.str.contains('/time/')")
        for folder in (whole, resumed)
    )
    pd.testing.assert_frame_equal(first.reset_index(drop=True), second.reset_index(drop=True))
    counts = first.groupby("name").size()
    events = EventAccumulator(str(resumed), size_guidance={"scalars": 0})
    events.Reload()
    assert len(events.Scalars(f"{agent}/session/reward")) == counts[f"{agent}/session/reward"]
    assert not (resumed / "checkpoints").exists()


@pytest.fixture(name="whole")
def whole_run(finished: RunFolder) -> Path:
    return finished.path


def test_a_killed_run_gives_the_same_results_after_resuming(whole: Path, tmp_path: Path) -> None:
    """The test also shows that the same command gives the same numbers in another process."""
    killed = tmp_path / "killed"
    kill_during_training(
        command("td3", *RUN_FLAGS, *LEARNER_FLAGS, "--run-dir", str(killed)), killed, "td3"
    )
    resume(killed, Terminal())
    log = (killed / "log.txt").read_text()
    assert "Data, scorer and simulator are finished." in log
    assert "Policy td3 resumes from its checkpoint." in log
    assert_equal_results(whole, killed, "td3")
    with pytest.raises(RunFolderError, match=re.escape("is finished; there is nothing to resume")):
        resume(killed, Terminal())


def test_finished_policies_are_kept_and_others_trained_again(whole: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(whole, tmp_path / "run")
    record = load_json(folder / "provenance.json")
    save_json(folder / "provenance.json", record | {"status": "stopped: KeyboardInterrupt"})
    # Imitate Ctrl-C during the first search, after its best weights so far were saved.
    lines = (folder / "metrics.csv").read_bytes().splitlines(keepends=True)
    later = (b"final", *(search.encode() for search in SEARCHES))
    kept = [line for line in lines if not line.split(b",")[1].startswith(later)]
    before_search = sum(map(len, kept))
    assert lines[: len(kept)] == kept
    progress = Progress(prepared=True, finished=("td3", "td3_myopic"), metrics_bytes=before_search)
    progress.save(RunFolder(folder))
    shutil.copytree(folder / "policy/uniform", folder / "policy/grid", dirs_exist_ok=True)
    resume(folder, Terminal())
    log = (folder / "log.txt").read_text()
    for name in ("td3", "td3_myopic"):
        assert f"Policy {name} is finished." in log
    assert "Policy grid is finished." not in log
    assert_equal_results(whole, folder, "td3")


def test_a_resumed_run_can_be_killed_and_resumed_again(whole: Path, tmp_path: Path) -> None:
    flags = (*LEARNER_FLAGS, "--requests", "2000", "--rollout-requests", "160", "--epochs", "40")
    flags += ("--no-myopic-baseline",)
    uninterrupted = begin_prepared(tmp_path / "uninterrupted", "ppo", whole, *flags).path
    resume(uninterrupted, Terminal())
    killed = begin_prepared(tmp_path / "killed", "ppo", whole, *flags).path
    kill_during_training(command("--resume", str(killed)), killed, "ppo")
    resume(killed, Terminal())
    assert "Policy ppo resumes from its checkpoint." in (killed / "log.txt").read_text()
    assert_equal_results(uninterrupted, killed, "ppo")


@pytest.fixture(scope="module", name="stopped")
def stopped_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return begin(tmp_path_factory.mktemp("runs") / "stopped", "td3").path


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (("versions", "torch"), "was started with torch 0 (now "),
        (("python",), "was started with python 0 (now "),
        (("torch_threads",), "was started with torch_threads 0 (now 1)"),
    ],
)
def test_other_versions_or_threads_are_refused(
    keys: tuple[str, ...], message: str, stopped: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(stopped, tmp_path / "run")
    record = load_json(folder / "provenance.json")
    inner = record
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = "0"
    save_json(folder / "provenance.json", record)
    with pytest.raises(RunFolderError, match=re.escape(message)):
        resume(folder, Terminal())


def test_a_torn_checkpoint_is_refused_before_anything_is_done(
    stopped: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(stopped, tmp_path / "run")
    state = checkpoint_path(RunFolder(folder), "td3")
    state.parent.mkdir(parents=True)
    state.write_bytes(b"torn")
    with pytest.raises(ArtifactError, match=re.escape("state.safetensors cannot be read")):
        resume(folder, Terminal())
    assert not (folder / "metrics.csv").exists()


def test_a_run_in_use_is_refused(stopped: Path) -> None:
    with (
        locked(RunFolder(stopped)),
        pytest.raises(RunFolderError, match=re.escape("Another process is using")),
    ):
        resume(stopped, Terminal())


def test_another_reward_is_refused(stopped: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape("got --reward 'watch_time'")):
        resume(stopped, Terminal(), reward="watch_time")


def test_resume_allows_no_flag_but_reward() -> None:
    assert parse_resume(["td3", "--gamma", "0.9"]) is None
    assert parse_resume(["--resume", "runs/a"]) == Resumption(Path("runs/a"), None)
    assert parse_resume(["--resume=runs/a", "--reward", "m:f"]) == Resumption(Path("runs/a"), "m:f")
    with pytest.raises(ConfigError, match=re.escape("got td3 --gamma 0.9")):
        parse_resume(["td3", "--resume", "runs/a", "--gamma", "0.9"])
    with pytest.raises(ConfigError, match=re.escape("got --reward m:f")):  # fits no scorer
        parse_resume(["--resume", "runs/a", "--reward", "m:f"], command="pretrain")


def test_progress_reads_back(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert Progress.load(run) == Progress()
    progress = Progress(prepared=True, finished=("td3", "uniform"), metrics_bytes=7)
    progress.save(run)
    assert Progress.load(run) == progress
    (tmp_path / "checkpoints" / "progress.json").write_text(json.dumps({"finished": 3}))
    with pytest.raises(ArtifactError, match=re.escape("does not hold the progress of a run")):
        Progress.load(run)


def test_a_given_batch_that_changed_is_refused(tmp_path: Path) -> None:
    run = new_run_folder(tmp_path / "run", agent="iql")
    path = tmp_path / "batch.parquet"
    with pytest.raises(ArtifactError, match=re.escape(f"No file {path}. Make it: python -m")):
        note_given_batch(run, path)
    path.write_bytes(b"rows")
    note_given_batch(run, path)
    note_given_batch(run, path)
    path.write_bytes(b"other rows")
    with pytest.raises(RunFolderError, match=re.escape("is not the file that")):
        note_given_batch(run, path)
    assert load_json(run.path / "provenance.json")["status"] == "running"
