"""Generates the logs of a world and writes them in KuaiRand's official layout."""

import math
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import lru_cache
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from pyarrow import csv

from mtf_rl.core.arrays import IntArray, select_rows
from mtf_rl.core.errors import ArtifactError
from mtf_rl.core.files import load_json, save_json
from mtf_rl.user_models.world.calibration import CalibrationRow, calibrate
from mtf_rl.user_models.world.config import WorldConfig
from mtf_rl.user_models.world.kuairand_layout import (
    FIRST_DAY,
    LOG_COLUMNS,
    log_table,
    statistic_counts,
    statistic_table,
    user_table,
    video_table,
)
from mtf_rl.user_models.world.rankers import LOGGING_RANKERS, LoggingRanker
from mtf_rl.user_models.world.simulate_logs import LoggedRows, roll
from mtf_rl.user_models.world.tally import Tally, tally
from mtf_rl.user_models.world.world import World

__all__ = ["SynthesisReport", "load_rankers", "load_world", "measure", "synthesize"]

WORLD_FILE = "world.json"
_FORMAT = "mtf_rl world 2"  # increase the number if the behaviour of the world changes
_SUFFIX = "world"
_CHUNK_USER_DAYS = 6000

Progress = Callable[[int, int], None]
"""Callback with (users done, total users)."""


@dataclass(frozen=True)
class _Chunk:
    """Results for a chunk of users: rows of the standard and the random log, and totals."""

    logs: tuple[bytes, bytes]
    rows: tuple[int, int]
    counts: dict[str, IntArray]
    tally: Tally


@dataclass(frozen=True)
class SynthesisReport:
    """The files written, and the comparison with the statistics the world is calibrated to."""

    files: tuple[str, ...]
    standard_rows: int
    random_rows: int
    calibration: tuple[CalibrationRow, ...]

    def to_markdown(self) -> str:
        """The numbers of rows and the calibration table."""
        met = sum(row.met for row in self.calibration)
        lines = [
            f"{self.standard_rows} standard and {self.random_rows} random rows.",
            f"{met} of {len(self.calibration)} targets within tolerance.",
            "",
            "| quantity | target | tolerance | produced | sampled | met |",
            "|---|---|---|---|---|---|",
            *(_line(row) for row in self.calibration),
        ]
        return "\n".join(lines) + "\n"


def _line(row: CalibrationRow) -> str:
    target = row.target
    sampled = "" if row.sampled is None else f"{row.sampled:.4g} ± {row.half_width:.2g}"
    return (
        f"| {target.name} | {target.value:.4g} | {target.low:.4g} to {target.high:.4g} "
        f"| {row.produced:.4g} | {sampled} | {'yes' if row.met else 'no'} |"
    )


def synthesize(
    config: WorldConfig,
    directory: Path,
    *,
    processes: int = 1,
    chunk_users: int | None = None,
    progress: Progress | None = None,
) -> SynthesisReport:
    """Simulate the logging rankers in a world and write its logs to `directory`.

    The files' bytes depend only on `config`. Memory holds at most `processes + 1` chunks of users.

    Args:
        config: settings of the world, including the number of days.
        directory: output folder; created if missing.
        processes: number of worker processes, at least 1. With more than one, a calling script
            needs the guard `if __name__ == "__main__":`.
        chunk_users: number of users per chunk; by default an equal number for each process, with at
            most 6000 user-days per chunk (about a gigabyte).
        progress: called after each chunk.
    """
    directory.mkdir(parents=True, exist_ok=True)
    period = _period(config.days)
    names = [f"log_{kind}_{period}_{_SUFFIX}.csv" for kind in ("standard", "random")]
    chunks = _chunks(config, chunk_users or _chunk_size(config, processes))
    rows = [0, 0]
    counts: dict[str, IntArray] = {}
    totals: Tally | None = None
    with ExitStack() as stack:
        logs = [stack.enter_context(_fresh_log(directory / name)) for name in names]
        for users, chunk in zip(chunks, _written(config, chunks, processes), strict=True):
            totals = chunk.tally if totals is None else totals.plus(chunk.tally)
            for kind, log in enumerate(logs):
                rows[kind] += chunk.rows[kind]
                log.write(chunk.logs[kind])
            for name, values in chunk.counts.items():
                counts[name] = counts.get(name, 0) + values
            if progress is not None:
                progress(int(users[-1]) + 1, config.users)
    files = [*names, *_write_features(_world(config), counts, directory)]
    save_json(directory / WORLD_FILE, _description(config))
    assert totals is not None
    return SynthesisReport(
        files=(*files, WORLD_FILE),
        standard_rows=rows[0],
        random_rows=rows[1],
        calibration=calibrate(totals),
    )


def measure(config: WorldConfig) -> tuple[CalibrationRow, ...]:
    """The calibration of a world's logs, which are simulated but not written."""
    world = _world(config)
    totals: Tally | None = None
    for users in _chunks(config, _chunk_size(config, 1)):
        rows, ends = roll(world, users, config.days, LOGGING_RANKERS)
        chunk_totals = tally(rows, ends, users=config.users, videos=config.videos)
        totals = chunk_totals if totals is None else totals.plus(chunk_totals)
    assert totals is not None
    return calibrate(totals)


def load_world(directory: Path) -> World | None:
    """The world of the logs in `directory`; None if they are not from a world.

    Raises:
        ArtifactError: if the description of the world cannot be read.
    """
    path = directory / WORLD_FILE
    if not path.exists():
        return None
    description = load_json(path)
    try:
        if description["format"] != _FORMAT:
            raise ArtifactError(
                f"{path} has format {description['format']!r}; this version reads {_FORMAT!r}."
                " Synthesize the logs again: `python -m mtf_rl.synthesize`."
            )
        return World(WorldConfig(**description["config"]))
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"{path} does not describe a world ({error}).") from error


def load_rankers(directory: Path) -> tuple[LoggingRanker, ...]:
    """The rankers that served the sessions of the logs in `directory`.

    Raises:
        ArtifactError: if their description cannot be read.
    """
    path = directory / WORLD_FILE
    try:
        records = load_json(path)["logging_rankers"]
        return tuple(
            LoggingRanker(**(record | {"weights": tuple(record["weights"])})) for record in records
        )
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"{path} does not describe its rankers ({error}).") from error


def _description(config: WorldConfig) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "config": asdict(config),
        "logging_rankers": [asdict(ranker) for ranker in LOGGING_RANKERS],
    }


def _chunk_size(config: WorldConfig, processes: int) -> int:
    rounds = math.ceil(config.users * config.days / (_CHUNK_USER_DAYS * processes))
    return math.ceil(config.users / (rounds * processes))


def _chunks(config: WorldConfig, size: int) -> list[IntArray]:
    starts = range(0, config.users, size)
    return [np.arange(start, min(start + size, config.users)) for start in starts]


def _period(days: int) -> str:
    last = FIRST_DAY + timedelta(days=days - 1)
    return f"{FIRST_DAY.month}_{FIRST_DAY.day:02d}_to_{last.month}_{last.day:02d}"


def _written(config: WorldConfig, chunks: list[IntArray], processes: int) -> Iterator[_Chunk]:
    """Yield each chunk of users in order; at most `processes + 1` are in progress or waiting."""
    if processes == 1 or len(chunks) == 1:
        for users in chunks:
            yield _write(config, users)
        return
    # Processes, not threads: Python code between the compiled loops holds the GIL half the time.
    with ProcessPoolExecutor(min(processes, len(chunks)), get_context("spawn")) as pool:
        waiting: deque[Future[_Chunk]] = deque()
        for users in chunks:
            waiting.append(pool.submit(_write, config, users))
            if len(waiting) > processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _write(config: WorldConfig, users: IntArray) -> _Chunk:
    """Simulate the users' days and serialise their rows."""
    world = _world(config)
    rows, ends = roll(world, users, config.days, LOGGING_RANKERS)
    parts = [select_rows(rows, rows.randomised == kind) for kind in (False, True)]
    return _Chunk(
        logs=(_csv(parts[0], world), _csv(parts[1], world)),
        rows=(len(parts[0].users), len(parts[1].users)),
        counts=statistic_counts(parts[0], world.videos),
        tally=tally(rows, ends, users=config.users, videos=config.videos),
    )


@lru_cache(maxsize=1)
def _world(config: WorldConfig) -> World:
    """The world, cached for the next chunk of the process."""
    return World(config)


def _csv(rows: LoggedRows, world: World) -> bytes:
    text = BytesIO()
    csv.write_csv(log_table(rows, world.videos), text, csv.WriteOptions(include_header=False))
    return text.getvalue()


def _fresh_log(path: Path) -> BinaryIO:
    file = path.open("wb")
    file.write((",".join(LOG_COLUMNS) + "\n").encode())
    return file


def _write_features(world: World, totals: dict[str, IntArray], directory: Path) -> list[str]:
    seed, days = world.config.seed, world.config.days
    tables = {
        "user_features": user_table(world.users, seed),
        "video_features_basic": video_table(world.videos, seed),
        "video_features_statistic": statistic_table(totals, world.videos, days),
    }
    for name, table in tables.items():
        table.to_csv(directory / f"{name}_{_SUFFIX}.csv", index=False, lineterminator="\n")
    return [f"{name}_{_SUFFIX}.csv" for name in tables]
