"""Finished jobs as one file, by which another machine goes on with the same comparison."""

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
    """Write the results of finished jobs, one a line, without policies and trials.

    What a job depends on stands as a checksum: only who asks for the same can take it.
    """
    lines = []
    for job in jobs:
        if job.finished(config, digest) is None:
            continue
        record = load_json(job.folder(config) / "result.json")
        found = {seed: rescored_rewards(job, seed, config, digest) for seed in scorer_seeds}
        rescored = {str(seed): rewards for seed, rewards in found.items() if rewards is not None}
        asked = _checksum(record["fingerprint"])
        lines.append(json.dumps({"asked": asked, "result": record["result"], "rescored": rescored}))
    head = json.dumps({"version": _VERSION, "run": digest})
    replace_atomically(path, ("\n".join([head, *lines]) + "\n").encode())


def adopt_jobs(path: Path, jobs: Iterable[Job], config: ComparisonConfig, digest: str) -> int:
    """Put results from `save_jobs` in the folders of jobs that are not finished here.

    Taken are those whose run, settings, budget and versions of libraries are the ones asked for
    here. A job adopted so has no policy; where one is needed it is learnt again.

    Returns:
        How many were taken.

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
                f"{path} has version {head['version']}, expected {_VERSION}; write it again with"
                f" this version: it is jobs.jsonl of a comparison's folder"
            )
        records = {}
        for line in lines:
            record = {part: line[part] for part in ("asked", "result", "rescored")}
            result = record["result"]
            job = (result["contestant"], result["track"], result["seed"], result["fraction"])
            records[job] = record
        return records
    except FileNotFoundError as error:
        raise ArtifactError(f"No file {path}; it is jobs.jsonl of a comparison's folder") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"{path} does not hold the jobs of a comparison ({error!r}); give jobs.jsonl of its"
            f" folder"
        ) from error


def _checksum(fingerprint: Any) -> str:
    return hashlib.sha256(json.dumps(fingerprint, sort_keys=True).encode()).hexdigest()[:16]
