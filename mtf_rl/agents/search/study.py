"""The trials of a search, stored in memory or in an SQLite file that Optuna's tools can open.

A record holds the outcomes of every session, so a stopped search resumes without simulating
anything twice.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.storages import RDBStorage

from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.errors import ArtifactError

__all__ = ["Record", "Study", "read_records"]

OUTCOMES = ("reward", "watch_minutes", "interactions")
_RECORD, _FINGERPRINT = "record", "fingerprint"


@dataclass(frozen=True)
class Record:
    """A point and the outcomes of its sessions."""

    point: FloatArray  # (dimensions,) float64
    outcomes: FloatArray  # (sessions, 3) float64: reward, watch minutes, worth of interactions
    costs: tuple[int, ...]
    """Requests of each block of sessions."""

    @property
    def requests(self) -> int:
        """Requests of all blocks."""
        return sum(self.costs)

    def to_json(self) -> dict[str, Any]:
        """A JSON-compatible record that `from_json` reads back exactly."""
        return {
            "point": self.point.tolist(),
            "outcomes": self.outcomes.tolist(),
            "costs": list(self.costs),
        }

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "Record":
        """Read a record that `to_json` made."""
        outcomes = np.array(record["outcomes"], dtype=np.float64)
        return cls(np.array(record["point"], dtype=np.float64), outcomes, tuple(record["costs"]))


class Study:
    """Stores records in the order in which they were made.

    Args:
        path: an SQLite file, created if it does not exist; None stores nothing.
        fingerprint: everything that the search depends on.

    Raises:
        ArtifactError: if the file is not of a search, or of a search with another fingerprint.
    """

    def __init__(self, path: Path | None, fingerprint: dict[str, Any]) -> None:
        self._path = path
        self._study: optuna.Study | None = None
        self.stored: list[Record] = []
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._study = optuna.create_study(
                storage=_storage(path),
                study_name="search",
                directions=["maximize"] * len(OUTCOMES),
                load_if_exists=True,
            )
            self._study.set_user_attr("values", list(OUTCOMES))
            self.stored = _records_of(self._study)
        except Exception as error:
            raise ArtifactError(
                f"{path} cannot be read as the trials of a search ({error}). Remove it to search"
                " from the start."
            ) from error
        known = self._study.user_attrs.get(_FINGERPRINT)
        written = json.loads(json.dumps(fingerprint))
        if known is None:
            self._study.set_user_attr(_FINGERPRINT, written)
        elif known != written:
            raise ArtifactError(
                f"{path} holds the trials of another search: expected {written}, got {known}."
                " Remove it to search from the start."
            )

    def add(self, record: Record) -> None:
        """Store a record; if there is a file, the record is on disk when this returns."""
        if self._study is None:
            return
        names = [f"x{column}" for column in range(len(record.point))]
        box = optuna.distributions.FloatDistribution(-1.0, 1.0)
        trial = optuna.trial.create_trial(
            params=dict(zip(names, record.point.tolist(), strict=True)),
            distributions=dict.fromkeys(names, box),
            values=record.outcomes.mean(axis=0).tolist(),
            user_attrs={_RECORD: record.to_json()},
        )
        self._study.add_trial(trial)


def read_records(path: Path) -> list[Record]:
    """Read the records of a search's file.

    Raises:
        ArtifactError: if the file is missing or not of a search.
    """
    if not path.exists():
        raise ArtifactError(f"{path} does not exist; give the SQLite file of a search.")
    try:
        return _records_of(optuna.load_study(storage=_storage(path), study_name="search"))
    except Exception as error:
        raise ArtifactError(
            f"{path} cannot be read as the trials of a search ({error})."
        ) from error


def _records_of(study: optuna.Study) -> list[Record]:
    return [Record.from_json(trial.user_attrs[_RECORD]) for trial in study.get_trials()]


def _storage(path: Path) -> RDBStorage:
    return RDBStorage(f"sqlite:///{path}")
