"""Progress of an unfinished run, and the checks before it is resumed."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtf_rl.agents import load_checkpoint
from mtf_rl.core.errors import ArtifactError, RunFolderError
from mtf_rl.core.files import load_json, save_json, sha256_of
from mtf_rl.experiments.run_folder import RunFolder, birth_record

__all__ = [
    "Progress",
    "check_resumable",
    "checkpoint_path",
    "kept_metrics",
    "locked",
    "note_given_batch",
]


@dataclass(frozen=True)
class Progress:
    """The finished parts of a run."""

    prepared: bool = False
    """Whether data, scorer and simulator are finished."""
    finished: tuple[str, ...] = ()
    """Names of the policies whose training is finished."""
    metrics_bytes: int = 0
    """Length of `metrics.csv` after the last finished part, in bytes."""

    def save(self, run: RunFolder) -> None:
        """Write `checkpoints/progress.json`."""
        save_json(_progress_path(run), vars(self))

    @classmethod
    def load(cls, run: RunFolder) -> "Progress":
        """Read what `save` wrote; without a file nothing is finished.

        Raises:
            ArtifactError: if the file is torn.
        """
        path = _progress_path(run)
        if not path.exists():
            return cls()
        record = load_json(path)
        try:
            return cls(record["prepared"], tuple(record["finished"]), record["metrics_bytes"])
        except (KeyError, TypeError) as error:
            raise ArtifactError(f"{path} does not hold the progress of a run ({error}).") from error


def checkpoint_path(run: RunFolder, policy: str) -> Path:
    """Checkpoint file of the learner of a policy."""
    return run.checkpoints / policy / "state.safetensors"


def kept_metrics(run: RunFolder, progress: Progress) -> int:
    """Length of `metrics.csv` in bytes at the point from which the run resumes.

    Raises:
        ArtifactError: if the learner's checkpoint cannot be read.
    """
    for path in sorted(run.checkpoints.glob("*/state.safetensors")):
        if path.parent.name not in progress.finished:
            return load_checkpoint(path).mark
    return progress.metrics_bytes


def check_resumable(run: RunFolder, **surroundings: Any) -> None:
    """Refuse a run that is finished, or that would give other numbers in this environment.

    Args:
        run: the folder.
        **surroundings: current values of facts in its provenance.

    Raises:
        RunFolderError: naming what differs.
    """
    record = load_json(run.path / "provenance.json")
    if record.get("status") == "finished":
        raise RunFolderError(f"{run.path} is finished; there is nothing to resume.")
    was = _surroundings(record)
    now = _surroundings(birth_record() | surroundings)
    different = [
        f"{name} {was.get(name)} (now {now.get(name)})"
        for name in sorted(was.keys() | now.keys())
        if was.get(name) != now.get(name)
    ]
    if different:
        raise RunFolderError(
            f"{run.path} was started with {', '.join(different)}. Resumed, it would give other"
            f" weights than an uninterrupted run. Restore these, or start a new run: --config"
            f" {run.path / 'config.json'}"
        )


@contextmanager
def locked(run: RunFolder) -> Iterator[None]:
    """Lock the folder against other processes; the lock ends with this process.

    Raises:
        RunFolderError: if another process holds the lock.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    with (run.path / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunFolderError(
                f"Another process is using {run.path}. Wait until it ends, or stop it."
            ) from error
        yield


def note_given_batch(run: RunFolder, path: Path) -> None:
    """Record the checksum of a run's given dataset, or compare it with the record.

    Raises:
        ArtifactError: if the file is missing.
        RunFolderError: if the file changed since the run was started.
    """
    if not path.exists():
        raise ArtifactError(f"No file {path}. Make it: python -m mtf_rl.collect RUN --out {path}")
    checksum = sha256_of(path)
    record = load_json(run.path / "provenance.json")
    known = record.get("batch_sha256", checksum)
    if known != checksum:
        raise RunFolderError(
            f"{path} is not the file that {run.path} was started with: expected SHA-256 {known},"
            f" got {checksum}. Restore the file, or start a new run"
        )
    run.write_provenance(record["status"], batch_sha256=checksum)


def _surroundings(record: dict[str, Any]) -> dict[str, Any]:
    """Facts other than settings that the numbers of a run depend on."""
    own = {name: record.get(name) for name in ("python", "torch_threads", "torch_device")}
    return own | dict(record.get("versions", {}))


def _progress_path(run: RunFolder) -> Path:
    return run.checkpoints / "progress.json"
