"""The held-out days of a run's log, without rows that its scorer or user model was fitted on."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mtf_rl.core.arrays import IntArray, select_rows
from mtf_rl.core.errors import DataError, LeakageError
from mtf_rl.core.files import load_json
from mtf_rl.data import Dataset, Split, read_log, split_by_time
from mtf_rl.data.impressions import Impressions
from mtf_rl.data.sessions import days_of, start_of_day_ms
from mtf_rl.evaluation.fidelity import SessionLog, sessions_since
from mtf_rl.experiments.assembly import Assembly
from mtf_rl.experiments.config import LogConfig
from mtf_rl.experiments.run_folder import RunFolder

__all__ = ["HeldOut", "read_held_out"]


@dataclass(frozen=True)
class HeldOut:
    """The sessions that begin in the test days, and the log that contains them."""

    dataset: Dataset
    log: SessionLog
    start_ms: int
    """Start of the held-out days, Unix time in ms."""
    previous_day_ms: int
    """Start of the day before, Unix time in ms; returns from that day are held out too."""
    return_days: IntArray  # days whose next day is held out

    def sessions_of(self, impressions: Impressions) -> SessionLog:
        """Sessions that begin in the test days, of another log over the same days."""
        rows = sessions_since(impressions, self.start_ms)
        chosen = select_rows(impressions, rows)
        return replace(self.log, impressions=chosen)

    def __str__(self) -> str:
        log = self.log
        days = [str(np.datetime64(int(day), "D")) for day in np.unique(log.impressions.days)]
        period = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
        return (
            f"Held out: {len(log.session_starts):,} sessions that begin on {period}, with"
            f" {len(log.request_starts):,} requests and {len(log.impressions.users):,} videos."
        )


def read_held_out(
    run: RunFolder, config: LogConfig, given: Path | None, assembly: Assembly
) -> HeldOut:
    """Read the held-out part of a run's log, from `given` or from the run's own path.

    Raises:
        DataError: if the log is missing or differs from the run's, or no session begins in its
            test days.
        LeakageError: if a held-out row was used in a fit.
    """
    dataset = _read_log(run, config, given, assembly)
    plan = config.time_plan(synthetic=assembly.world is not None)
    offset = dataset.schema.utc_offset_hours
    split = split_by_time(dataset.impressions, plan, utc_offset_hours=offset)
    _check_unseen(dataset, split, assembly)
    impressions = dataset.impressions
    rows = sessions_since(impressions, split.test_time_ms)
    if not rows.any():
        raise DataError("no session begins in the test days of the log; give a longer log")
    first = int(days_of(np.array([split.test_time_ms]), offset)[0])
    last = int(impressions.days.max())
    log = SessionLog(
        impressions=select_rows(impressions, rows),
        catalogue=dataset.catalogue,
        end_ms=start_of_day_ms(last + 1, offset),
        gap_ms=round(dataset.schema.session_gap_minutes * 60_000),
        schema=dataset.schema,
    )
    return HeldOut(
        dataset,
        log,
        split.test_time_ms,
        start_of_day_ms(first - 1, offset),
        np.arange(first - 1, last),
    )


def _read_log(run: RunFolder, config: LogConfig, given: Path | None, assembly: Assembly) -> Dataset:
    folder = given or config.data or run.data / "logs"
    if not folder.is_dir():
        raise DataError(
            f"the log of {run.path} is not in {folder}. Give the folder that holds its files now"
            " with --data DIR."
        )
    dataset = read_log(folder, session_gap_minutes=config.session_gap_minutes)
    rows_kept = load_json(run.data / "description.json")["rows_kept"]
    durations = dataset.catalogue.duration_seconds
    unchanged = (
        rows_kept == dataset.account.rows_kept
        and np.array_equal(durations, assembly.catalogue.duration_seconds)
        and np.isin(assembly.simulator.row_keys, dataset.impressions.keys).all()
    )
    if not unchanged:
        raise DataError(
            f"the files in {folder} are not the log that {run.path} was fitted on: expected"
            f" {rows_kept:,} rows that include all fitted ones, got"
            f" {dataset.account.rows_kept:,} rows. Restore the files, or train again."
        )
    return dataset


def _check_unseen(dataset: Dataset, split: Split, assembly: Assembly) -> None:
    fitted = np.concatenate([assembly.scores.scorer_keys, assembly.simulator.row_keys])
    leaked = int(np.isin(dataset.impressions.keys[split.test], fitted).sum())
    if leaked:
        raise LeakageError(
            f"{leaked} of the held-out rows were used in a fit: the test days of the settings"
            " differ from those of the fit. Train again."
        )
