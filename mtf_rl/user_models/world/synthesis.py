"""Logs of a world, written in KuaiRand's official layout."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import csv

from mtf_rl.core.arrays import IntArray, select_rows
from mtf_rl.core.errors import ArtifactError
from mtf_rl.core.files import load_json, save_json
from mtf_rl.user_models.world.calibration import CalibrationRow, calibrate
from mtf_rl.user_models.world.config import WorldConfig
from mtf_rl.user_models.world.official import (
    FIRST_DAY,
    LOG_COLUMNS,
    log_table,
    statistic_counts,
    statistic_table,
    user_table,
    video_table,
)
from mtf_rl.user_models.world.rankers import LOGGING_RANKERS
from mtf_rl.user_models.world.rolling import DayEnds, LoggedRows, roll
from mtf_rl.user_models.world.tally import Tally, tally
from mtf_rl.user_models.world.world import World

__all__ = ["SynthesisReport", "load_world", "measure", "synthesize"]

WORLD_FILE = "world.json"
_FORMAT = "mtf_rl world 1"
_SUFFIX = "world"
_CHUNK_USERS = 500

Progress = Callable[[int, int], None]
"""Called with (users done, users in all)."""
_Rolled = tuple[LoggedRows, DayEnds]


@dataclass(frozen=True)
class SynthesisReport:
    """What was written, and how close it is to the figures that a world is calibrated to."""

    files: tuple[str, ...]
    standard_rows: int
    random_rows: int
    calibration: tuple[CalibrationRow, ...]

    def to_markdown(self) -> str:
        """The files' rows and the calibration table."""
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
    threads: int = 1,
    chunk_users: int = _CHUNK_USERS,
    progress: Progress | None = None,
) -> SynthesisReport:
    """Roll the logging rankers through a world and write its logs to `directory`.

    The bytes depend on `config` alone. Memory holds at most `threads + 1` chunks of users.

    Args:
        config: the world, and the days to log.
        directory: where the files go; made if absent.
        threads: how many chunks are rolled at once.
        chunk_users: users rolled together.
        progress: told after each chunk.
    """
    world = World(config)
    directory.mkdir(parents=True, exist_ok=True)
    period = _period(config.days)
    names = [f"log_{kind}_{period}_{_SUFFIX}.csv" for kind in ("standard", "random")]
    chunks = _chunks(config.users, chunk_users)
    rows = [0, 0]
    totals: dict[str, IntArray] = {}
    counted: Tally | None = None
    with ExitStack() as stack:
        logs = [stack.enter_context(_fresh_log(directory / name)) for name in names]
        for users, (part, ends) in zip(chunks, _rolled(world, chunks, threads), strict=True):
            found = tally(part, ends, users=config.users, videos=config.videos)
            counted = found if counted is None else counted.plus(found)
            for kind, log in enumerate(logs):
                chosen = select_rows(part, part.randomised == bool(kind))
                rows[kind] += len(chosen.users)
                _append(log, log_table(chosen, world.videos))
            standard = select_rows(part, ~part.randomised)
            for name, values in statistic_counts(standard, world.videos).items():
                totals[name] = totals.get(name, 0) + values
            if progress is not None:
                progress(int(users[-1]) + 1, config.users)
    files = [*names, *_write_features(world, totals, directory)]
    save_json(directory / WORLD_FILE, _description(config))
    assert counted is not None
    return SynthesisReport(
        files=(*files, WORLD_FILE),
        standard_rows=rows[0],
        random_rows=rows[1],
        calibration=calibrate(counted),
    )


def measure(config: WorldConfig, *, threads: int = 1) -> tuple[CalibrationRow, ...]:
    """The calibration of a world's logs, which are rolled but not written."""
    world = World(config)
    chunks = _chunks(config.users, _CHUNK_USERS)
    counted: Tally | None = None
    for rows, ends in _rolled(world, chunks, threads):
        found = tally(rows, ends, users=config.users, videos=config.videos)
        counted = found if counted is None else counted.plus(found)
    assert counted is not None
    return calibrate(counted)


def load_world(directory: Path) -> World | None:
    """The world whose logs lie in `directory`, or None where the logs are not a world's.

    Raises:
        ArtifactError: if its description cannot be read.
    """
    path = directory / WORLD_FILE
    if not path.exists():
        return None
    description = load_json(path)
    try:
        if description["format"] != _FORMAT:
            raise ArtifactError(f"{path} is of format {description['format']!r}, not {_FORMAT!r}.")
        return World(WorldConfig(**description["config"]))
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"{path} does not describe a world ({error}).") from error


def _description(config: WorldConfig) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "config": asdict(config),
        "logging_rankers": [asdict(ranker) for ranker in LOGGING_RANKERS],
    }


def _chunks(users: int, size: int) -> list[IntArray]:
    return [np.arange(start, min(start + size, users)) for start in range(0, users, size)]


def _period(days: int) -> str:
    last = FIRST_DAY + timedelta(days=days - 1)
    return f"{FIRST_DAY.month}_{FIRST_DAY.day:02d}_to_{last.month}_{last.day:02d}"


def _rolled(world: World, chunks: list[IntArray], threads: int) -> Iterator[_Rolled]:
    """The rows of each chunk of users, in order; at most `threads` are being made."""
    days = world.config.days
    if threads == 1:
        for users in chunks:
            yield roll(world, users, days, LOGGING_RANKERS)
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[_Rolled]] = deque()
        for users in chunks:
            waiting.append(pool.submit(roll, world, users, days, LOGGING_RANKERS))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _fresh_log(path: Path) -> BinaryIO:
    file = path.open("wb")
    file.write((",".join(LOG_COLUMNS) + "\n").encode())
    return file


def _append(log: BinaryIO, table: pd.DataFrame) -> None:
    options = csv.WriteOptions(include_header=False)
    csv.write_csv(pa.Table.from_pandas(table, preserve_index=False), log, options)


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
