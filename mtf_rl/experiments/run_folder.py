"""A run's folder: settings, provenance, metrics and artifacts, never overwritten."""

import csv
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import mtf_rl
from mtf_rl.core.errors import RunFolderError
from mtf_rl.core.files import load_json, replace_atomically, save_json, sha256_of
from mtf_rl.core.origin import remedy
from mtf_rl.experiments.settings import settings_to_json

__all__ = [
    "MetricWriter",
    "RunFolder",
    "birth_record",
    "check_free",
    "free_folder",
    "library_versions",
    "new_run_folder",
    "open_run_folder",
    "write_csv",
    "write_table",
]

RUN_FORMAT = 2
"""Version of the run folder's format; it changes when names in its files change."""
_VERSIONS_OF = (
    "numpy",
    "numba",
    "pandas",
    "pyarrow",
    "torch",
    "gymnasium",
    "stable-baselines3",
    "safetensors",
    "optuna",
    "cmaes",
    "botorch",
    "scipy",
)


class MetricWriter:
    """Writes metrics to `metrics.csv` (step,name,value) and to TensorBoard.

    Args:
        folder: folder of the run.
        keep: bytes of an existing `metrics.csv` to keep; the rest is removed, and TensorBoard's
            events are written again.
    """

    def __init__(self, folder: Path, keep: int = 0) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter  # a slow import

        path = folder / "metrics.csv"
        kept = path.read_bytes()[:keep].decode() if keep else "step,name,value\r\n"
        replace_atomically(path, kept.encode())
        self._file = path.open("a", newline="")
        self._csv = csv.writer(self._file)
        for events in folder.glob("events.out.tfevents.*"):
            events.unlink()
        self.tensorboard = SummaryWriter(str(folder))
        for row in csv.DictReader(kept.splitlines()):
            self.tensorboard.add_scalar(row["name"], float(row["value"]), int(row["step"]))

    def __call__(self, step: int, name: str, value: float) -> None:
        """Record `value` of the metric `name` at `step`."""
        self._csv.writerow([step, name, repr(float(value))])
        self.tensorboard.add_scalar(name, value, step)

    def length(self) -> int:
        """Flush `metrics.csv`, and return its length in bytes."""
        self._file.flush()
        return os.fstat(self._file.fileno()).st_size

    def prefixed(self, prefix: str) -> "_PrefixedSink":
        """A sink that writes metrics under the names PREFIX/..."""
        return _PrefixedSink(self, prefix)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        self.tensorboard.close()


class _PrefixedSink:
    def __init__(self, writer: MetricWriter, prefix: str) -> None:
        self._writer, self._prefix = writer, prefix

    def __call__(self, step: int, name: str, value: float) -> None:
        self._writer(step, f"{self._prefix}/{name}", value)


class RunFolder:
    """Paths and provenance of a run."""

    def __init__(self, path: Path, *, is_new: bool = False) -> None:
        self.path = path
        self._is_new = is_new
        self.data = path / "data"
        self.scorer = path / "scorer"
        self.simulator = path / "simulator"
        self.policies = path / "policy"
        self.checkpoints = path / "checkpoints"

    def write_config(self, settings: Any) -> None:
        """Write every setting, resolved, to `config.json`."""
        save_json(self.path / "config.json", settings_to_json(settings))

    def write_provenance(self, status: str, **facts: Any) -> None:
        """Create or update `provenance.json`; the first call records command, code and versions."""
        path = self.path / "provenance.json"
        record = load_json(path) if path.exists() else birth_record()
        record |= {"status": status, "end": None if status == "running" else _now(), **facts}
        save_json(path, record)

    @contextmanager
    def recorded(self, *, keep: int = 0, **facts: Any) -> Iterator[MetricWriter]:
        """Record the start and end of the run's work, and yield its metric writer.

        Files that were written before an interruption stay.

        Args:
            keep: bytes of `metrics.csv` that a resumed run keeps.
            **facts: further facts for the provenance.
        """
        self.write_provenance("running", **facts)
        try:
            with MetricWriter(self.path, keep) as metrics:
                yield metrics
            self.write_checksums()
        except BaseException as error:
            self.write_provenance(f"stopped: {type(error).__name__}: {error}", **facts)
            self._remove_if_bare()
            raise
        self.write_provenance("finished", **facts)

    def _remove_if_bare(self) -> None:
        """Remove the folder of a new run that stopped before it wrote any artifact."""
        made = (self.data / "logs", self.scorer, self.simulator, self.policies, self.checkpoints)
        if self._is_new and not any(folder.exists() for folder in made):
            shutil.rmtree(self.path)

    def write_checksums(self) -> None:
        """Add the SHA-256 of every artifact to `provenance.json`."""
        folders = (self.data, self.scorer, self.simulator, self.policies)
        files = [file for folder in folders for file in sorted(folder.rglob("*")) if file.is_file()]
        sums = {str(file.relative_to(self.path)): sha256_of(file) for file in files}
        record = load_json(self.path / "provenance.json")
        save_json(self.path / "provenance.json", record | {"checksums": sums})

    def write_text(self, name: str, text: str) -> None:
        """Write a text file."""
        replace_atomically(self.path / name, text.encode())


def write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows with equal keys as PATH.csv and PATH.json."""
    write_csv(path.with_suffix(".csv"), rows)
    save_json(path.with_suffix(".json"), rows)


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows with equal keys as CSV; texts with commas are quoted."""
    lines = [",".join(rows[0])] if rows else []
    lines += [",".join(_cell(value) for value in row.values()) for row in rows]
    replace_atomically(path, ("\n".join(lines) + "\n").encode())


def new_run_folder(path: Path | None, *, agent: str, root: Path = Path("runs")) -> RunFolder:
    """Make a folder for a run: `path`, or `runs/<agent>-<n>` with the first free n.

    Raises:
        RunFolderError: if `path` exists and is not an empty folder.
    """
    if path is None:
        path = _first_free(root, agent)
    elif not path.exists():
        path.mkdir(parents=True)
    else:
        check_free(path, "--run-dir")
    folder = RunFolder(path, is_new=True)
    folder.write_provenance("running")
    return folder


def _first_free(root: Path, agent: str) -> Path:
    """Make the first free folder, safely if other processes do the same."""
    root.mkdir(parents=True, exist_ok=True)
    number = 0
    while True:
        path = root / f"{agent}-{number}"
        try:
            path.mkdir(exist_ok=False)
        except FileExistsError:
            number += 1
        else:
            return path


def free_folder(path: Path) -> Path:
    """The first of `path`, `path`-2, `path`-3, ... that is missing or empty."""
    candidate, number = path, 1
    while candidate.exists() and any(candidate.iterdir()):
        number += 1
        candidate = path.with_name(f"{path.name}-{number}")
    return candidate


def check_free(path: Path, option: str) -> None:
    """Refuse a folder whose files would be overwritten.

    Raises:
        RunFolderError: if `path` exists and is not an empty folder.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise RunFolderError(
            f"{option} {path} is in use (it exists and is not an empty folder). "
            f"Choose another, or remove it."
        )


def open_run_folder(path: Path) -> RunFolder:
    """Open the folder of an existing run.

    Raises:
        RunFolderError: if it is missing or is not a run's.
    """
    if not (path / "config.json").is_file():
        raise RunFolderError(
            f"{path} is not a run folder (no config.json in it). "
            f"Make one: python -m mtf_rl.train --run-dir {path}"
        )
    _refuse_old(path)
    return RunFolder(path)


def _refuse_old(path: Path) -> None:
    """Refuse a run in the format of an earlier version of this program.

    Raises:
        RunFolderError: with the command that makes the run again.
    """
    if not (path / "provenance.json").is_file():
        return
    record = load_json(path / "provenance.json")
    written = record.get("format", 1) if isinstance(record, dict) else None
    if written != RUN_FORMAT:
        raise RunFolderError(
            f"{path} is a run of format {written}, this program reads format {RUN_FORMAT}. Move it"
            f" away. {remedy(path, 'Then make it again')}"
        )


def birth_record() -> dict[str, Any]:
    """The command, commit, device and versions of this process."""
    return {
        "format": RUN_FORMAT,
        "command": " ".join(sys.argv),
        "commit": _commit(),
        "start": _now(),
        "device": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "versions": library_versions(),
    }


def library_versions() -> dict[str, str]:
    """Versions of this program and of the libraries that affect its numbers."""
    import importlib.metadata

    return {"mtf_rl": mtf_rl.__version__} | {
        name: importlib.metadata.version(name) for name in _VERSIONS_OF
    }


def _commit() -> str | None:
    """The commit of the source tree; None if the program does not run from one."""
    git = shutil.which("git")
    if git is None:
        return None
    answer = subprocess.run(
        [git, "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
    )
    return answer.stdout.strip() or None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _cell(value: Any) -> str:
    text = repr(value) if isinstance(value, float) else str(value)
    quoted = text.replace('"', '""')
    return f'"{quoted}"' if set(text) & {",", '"', "\n"} else text
