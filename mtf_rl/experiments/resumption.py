"""What an unfinished run has behind it, from which it goes on."""

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
    "held",
    "kept_metrics",
    "note_given_batch",
]


@dataclass(frozen=True)
class Progress:
    """What is finished and need not be done again."""

    prepared: bool = False
    """Whether data, scorer and simulator are there."""
    finished: tuple[str, ...] = ()
    """Policies whose learning ended."""
    metrics_bytes: int = 0
    """Length of `metrics.csv` after the last finished part."""

    def save(self, run: RunFolder) -> None:
        """Write `checkpoints/progress.json`."""
        save_json(_progress_path(run), vars(self))

    @classmethod
    def load(cls, run: RunFolder) -> "Progress":
        """Read what `save` wrote; a run that stopped before has nothing behind it.

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
            raise ArtifactError(f"{path} does not tell what is finished ({error}).") from error


def checkpoint_path(run: RunFolder, policy: str) -> Path:
    """Where the learner of a policy keeps its state."""
    return run.checkpoints / policy / "state.safetensors"


def kept_metrics(run: RunFolder, progress: Progress) -> int:
    """How many bytes of `metrics.csv` were written before the point from which the run goes on.

    Raises:
        ArtifactError: if the learner's checkpoint cannot be read.
    """
    for path in sorted(run.checkpoints.glob("*/state.safetensors")):
        if path.parent.name not in progress.finished:
            return load_checkpoint(path).mark
    return progress.metrics_bytes


def check_resumable(run: RunFolder, **surroundings: Any) -> None:
    """Refuse a run that is finished, or that would end with other numbers here.

    Args:
        run: the folder.
        **surroundings: what its provenance recorded, as it is now.

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
            f"{run.path} was begun with {', '.join(different)}; it would not end with the weights"
            f" of an uninterrupted run. Restore them, or start anew: --config"
            f" {run.path / 'config.json'}"
        )


@contextmanager
def held(run: RunFolder) -> Iterator[None]:
    """Keep other processes from working in the folder meanwhile; a killed one lets go of it.

    Raises:
        RunFolderError: if another process works in it.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    with (run.path / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunFolderError(f"Another process is at work in {run.path}.") from error
        yield


def note_given_batch(run: RunFolder, path: Path) -> None:
    """Record the checksum of the dataset that a run is given, or hold it against the record.

    Raises:
        ArtifactError: if there is no such file.
        RunFolderError: if a resumed run would go on with other rows.
    """
    if not path.exists():
        raise ArtifactError(f"No file {path}. Make it: python -m mtf_rl.collect RUN --out {path}")
    checksum = sha256_of(path)
    record = load_json(run.path / "provenance.json")
    known = record.get("batch_sha256", checksum)
    if known != checksum:
        raise RunFolderError(
            f"{path} is not the file that {run.path} began with: its SHA-256 is {checksum}, not"
            f" {known}. Restore it, or start anew"
        )
    run.write_provenance(record["status"], batch_sha256=checksum)


def _surroundings(record: dict[str, Any]) -> dict[str, Any]:
    """What the numbers of a run depend on beside its settings."""
    own = {name: record.get(name) for name in ("python", "torch_threads", "torch_device")}
    return own | dict(record.get("versions", {}))


def _progress_path(run: RunFolder) -> Path:
    return run.checkpoints / "progress.json"
