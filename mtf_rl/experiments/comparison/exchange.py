"""Writes finished jobs to one file, with which another machine resumes the same comparison."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mtf_rl.core.errors import ArtifactError
from mtf_rl.core.files import load_json, replace_atomically, save_json
from mtf_rl.experiments.comparison.config import ComparisonConfig
from mtf_rl.experiments.comparison.work import Job, rescored_path, rescored_rewards

__all__ = ["adopt_jobs", "save_jobs"]

_VERSION = 1


def save_jobs(
    path: Path, jobs: Iterable[Job], config: ComparisonConfig, digest: str, scorer_seeds: range
) -> None:
    """Write the results of finished jobs, one per line, without policies and trials.

    Each result has a checksum of its job's settings, and is only used for the same settings.
    """
    lines = []
    for job in jobs:
        if job.finished(config, digest) is None:
            continue
        record = load_json(job.folder(config) / "result.json")
        by_seed = {seed: rescored_rewards(job, seed, config, digest) for seed in scorer_seeds}
        rescored = {str(seed): rewards for seed, rewards in by_seed.items() if rewards is not None}
        asked = _checksum(record["fingerprint"])
        lines.append(json.dumps({"asked": asked, "result": record["result"], "rescored": rescored}))
    head = json.dumps({"version": _VERSION, "run": digest})
    replace_atomically(path, ("\n".join([head, *lines]) + "\n").encode())


def adopt_jobs(path: Path, jobs: Iterable[Job], config: ComparisonConfig, digest: str) -> int:
    """Copy results from `save_jobs` to the folders of jobs that are not finished here.

    A result is copied if its run, settings, budget and versions are the same. Copied jobs have no
    policy; it is trained again if it is needed.

    Returns:
        Number of copied results.

    Raises:
        ArtifactError: if the file is missing, torn or of another version.
    """
    records = _records(path)
    taken = 0
    for job in jobs:
        asked = job.fingerprint(config, digest)
        record = records.get((job.contestant, job.track, job.seed, job.fraction))
        if record is None or record["asked"] != _checksum(asked):
            continue
        if job.finished(config, digest) is not None:
            continue
        folder = job.folder(config)
        save_json(folder / "asked.json", asked)
        save_json(folder / "result.json", {"fingerprint": asked, "result": record["result"]})
        for seed, rewards in record["rescored"].items():
            save_json(
                rescored_path(job, int(seed), config), {"fingerprint": asked, "rewards": rewards}
            )
        taken += 1
    return taken


def _records(path: Path) -> dict[tuple[str, str, int, float], dict[str, Any]]:
    try:
        head, *lines = map(json.loads, path.read_text().splitlines())
        if head["version"] != _VERSION:
            raise ArtifactError(
                f"{path} has version {head['version']}, expected {_VERSION}. Run compare there with"
                f" this version of the program, and copy jobs.jsonl from its folder again"
            )
        records = {}
        for line in lines:
            record = {part: line[part] for part in ("asked", "result", "rescored")}
            result = record["result"]
            job = (result["contestant"], result["track"], result["seed"], result["fraction"])
            records[job] = record
        return records
    except FileNotFoundError as error:
        raise ArtifactError(f"No file {path}; give jobs.jsonl of a comparison's folder") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"{path} does not hold the jobs of a comparison ({error!r}); give jobs.jsonl of its"
            f" folder"
        ) from error


def _checksum(fingerprint: Any) -> str:
    return hashlib.sha256(json.dumps(fingerprint, sort_keys=True).encode()).hexdigest()[:16]
