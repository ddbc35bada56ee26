"""The trials of a search, in memory or in an SQLite file that Optuna's tools open.

A record holds the sessions' outcomes and not just their means, so that a search that was stopped
is rebuilt without simulating anything twice.
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
    """A point, and what its sessions brought."""

    point: FloatArray  # (dimensions,) float64
    outcomes: FloatArray  # (sessions, 3) float64: reward, watch minutes, worth of interactions
    costs: tuple[int, ...]
    """Requests of each block of sessions."""

    @property
    def requests(self) -> int:
        """Requests of all blocks."""
        return sum(self.costs)

    def to_json(self) -> dict[str, Any]:
        """Numbers that read back to the last bit."""
        return {
            "point": self.point.tolist(),
            "outcomes": self.outcomes.tolist(),
            "costs": list(self.costs),
        }

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "Record":
        """Read what `to_json` made."""
        outcomes = np.array(record["outcomes"], dtype=np.float64)
        return cls(np.array(record["point"], dtype=np.float64), outcomes, tuple(record["costs"]))


class Study:
    """Records in the order in which they were made.

    Args:
        path: an SQLite file, made if it is not there; None keeps the records in memory.
        fingerprint: of everything that a search depends on.

    Raises:
        ArtifactError: if the file is not a search's, or of a search with another fingerprint.
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
                f"{path} cannot be read as a search's trials ({error}). Remove it to search anew."
            ) from error
        known = self._study.user_attrs.get(_FINGERPRINT)
        written = json.loads(json.dumps(fingerprint))
        if known is None:
            self._study.set_user_attr(_FINGERPRINT, written)
        elif known != written:
            raise ArtifactError(
                f"{path} holds the trials of another search ({known}), not of {written}. Remove it"
                " to search anew."
            )

    def add(self, record: Record) -> None:
        """Keep a record; in a file it is there once this returns."""
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
    """The records of a search's file.

    Raises:
        ArtifactError: if the file is missing or not a search's.
    """
    if not path.exists():
        raise ArtifactError(f"No trials of a search in {path}.")
    try:
        return _records_of(optuna.load_study(storage=_storage(path), study_name="search"))
    except Exception as error:
        raise ArtifactError(f"{path} cannot be read as a search's trials ({error}).") from error


def _records_of(study: optuna.Study) -> list[Record]:
    return [Record.from_json(trial.user_attrs[_RECORD]) for trial in study.get_trials()]


def _storage(path: Path) -> RDBStorage:
    return RDBStorage(f"sqlite:///{path}")
