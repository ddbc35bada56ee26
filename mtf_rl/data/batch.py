"""Batch dataset: complete sessions of a behaviour policy, with the log densities of actions."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray, check_shape, refuse_rows
from mtf_rl.core.deprecation import note_old_spelling
from mtf_rl.core.errors import ArtifactError, DataError
from mtf_rl.core.files import replace_atomically

__all__ = ["BatchDataset"]

_METADATA = b"mtf_rl.batch"
_VERSION = 2
_OLD_KEYS = {"judge": "evaluator"}  # of version 1's metadata, accepted for one release
_OLD_EVALUATORS = {"synthetic_truth": "ground_truth", "world": "ground_truth"}
_VECTORS = ("observation", "action", "final_observation")


@dataclass(frozen=True)
class BatchDataset:
    """Requests of complete sessions, one row each, in order.

    The next observation of a request is the observation of the session's next request. After the
    last request there is none if the user left; if the session was truncated, it is in
    `final_observations`.

    Raises:
        ShapeError: if the shapes of arrays disagree.
        DataError: if there is no row, a value is not finite, an action is outside [-1, 1], or the
            rows are not complete sessions in order; the message has the first invalid row.
    """

    observations: FloatArray  # (rows, obs_dim) float32
    actions: FloatArray  # (rows, action_dim) float32 in [-1, 1]
    log_densities: FloatArray  # (rows,) float64, of the actions; NaN where unknown
    behaviours: IntArray  # (rows,), indices in `behaviour_names`; constant within a session
    rewards: FloatArray  # (rows,) float32
    terminated: BoolArray  # (rows,), the user left
    truncated: BoolArray  # (rows,), the session was truncated
    sessions: IntArray  # (rows,) int64
    requests: IntArray  # (rows,) int32, from 0 in each session
    final_observations: FloatArray  # (truncated rows, obs_dim) float32
    behaviour_names: tuple[str, ...]
    observation_names: tuple[str, ...]
    parameter_names: tuple[str, ...]
    evaluator: str  # source of the feedback: `simulator` or `ground_truth`
    setting: Mapping[str, Any] | None = None
    """Settings of ranking and reward: formula, action_map, tasks, base, radius, base_rates (one per
    task, used by some formulas), reward. None: unknown."""

    def __post_init__(self) -> None:
        rows = len(self.rewards)
        if rows == 0:
            raise DataError("a batch dataset needs at least one row, got none")
        obs_dim, width = len(self.observation_names), len(self.parameter_names)
        check_shape("observations", self.observations, "rows, obs_dim", (rows, obs_dim))
        check_shape("actions", self.actions, "rows, action_dim", (rows, width))
        for name in ("log_densities", "behaviours", "terminated", "truncated", "sessions"):
            check_shape(name, getattr(self, name), "rows", (rows,))
        check_shape("requests", self.requests, "rows", (rows,))
        cut = (int(self.truncated.sum()), obs_dim)
        check_shape("final_observations", self.final_observations, "truncated rows, obs_dim", cut)
        for name in ("observations", "actions", "rewards"):
            refuse_rows(~np.isfinite(getattr(self, name)), f"{name} must be finite")
        refuse_rows(np.isinf(self.log_densities), "log_densities must be finite or NaN")
        if not np.isfinite(self.final_observations).all():
            raise DataError("final_observations must be finite, got NaN or infinity")
        refuse_rows(np.abs(self.actions) > 1.0, "actions must be in [-1, 1]")
        refuse_rows(
            (self.behaviours < 0) | (self.behaviours >= len(self.behaviour_names)),
            f"behaviours must be indices in {self.behaviour_names}",
        )
        self._check_order()

    def _check_order(self) -> None:
        starts = self.requests == 0
        follows = np.zeros(len(starts), dtype=np.bool_)
        follows[1:] = (np.diff(self.sessions) == 0) & (np.diff(self.requests) == 1)
        refuse_rows(~(starts ^ follows), "requests must count up from 0 in each session")
        ends = np.append(starts[1:], [True])
        refuse_rows(
            (self.terminated | self.truncated) != ends,
            "terminated or truncated must be True in the last row of each session, and only there",
        )
        refuse_rows(self.terminated & self.truncated, "a row cannot be terminated and truncated")

    @property
    def next_observations(self) -> FloatArray:
        """The observation after each request, (rows, obs_dim); zeros where the user left."""
        following = np.zeros_like(self.observations)
        following[:-1] = self.observations[1:]
        following[self.terminated] = 0.0
        following[self.truncated] = self.final_observations
        return following

    def save(self, path: Path) -> None:
        """Write a Parquet file with one row per request."""
        final = np.zeros((len(self.rewards), self.observations.shape[1]), dtype=np.float32)
        final[self.truncated] = self.final_observations
        names = pa.DictionaryArray.from_arrays(
            pa.array(self.behaviours.astype(np.int32)), pa.array(self.behaviour_names)
        )
        columns = {
            "session": pa.array(self.sessions.astype(np.int64)),
            "request": pa.array(self.requests.astype(np.int32)),
            "observation": _vectors(self.observations),
            "action": _vectors(self.actions),
            "log_density": pa.array(self.log_densities.astype(np.float64)),
            "behaviour": names,
            "reward": pa.array(self.rewards.astype(np.float32)),
            "terminated": pa.array(self.terminated),
            "truncated": pa.array(self.truncated),
            "final_observation": _vectors(final, present=self.truncated),
        }
        document = {
            "version": _VERSION,
            "behaviour_names": self.behaviour_names,
            "observation_names": self.observation_names,
            "parameter_names": self.parameter_names,
            "evaluator": self.evaluator,
            "setting": None if self.setting is None else dict(self.setting),
        }
        table = pa.table(columns).replace_schema_metadata({_METADATA: json.dumps(document)})
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        replace_atomically(path, sink.getvalue().to_pybytes())

    @classmethod
    def load(cls, path: Path) -> "BatchDataset":
        """Read a file written by `save`, or one with the same columns and metadata.

        Raises:
            ArtifactError: if the file is missing or not a Parquet file.
            DataError: if a column or the metadata is missing, or the rows are invalid.
        """
        try:
            table = pq.read_table(path)
        except FileNotFoundError as error:
            raise ArtifactError(f"No file {path}. Make it: python -m mtf_rl.collect RUN") from error
        except (OSError, pa.ArrowInvalid) as error:
            raise ArtifactError(f"{path} is not a Parquet file ({error}).") from error
        document = _document(path, table)
        missing = sorted(set(_NEEDED) - set(table.column_names))
        if missing:
            raise DataError(f"{path} has no column {', '.join(missing)} of a batch dataset")
        return cls(**_arrays(path, table, document))


_NEEDED = (
    "session",
    "request",
    "observation",
    "action",
    "behaviour",
    "reward",
    "terminated",
    "truncated",
    "final_observation",
)


def _arrays(path: Path, table: pa.Table, document: dict[str, Any]) -> dict[str, Any]:
    names = tuple(document["behaviour_names"])
    obs_dim, width = len(document["observation_names"]), len(document["parameter_names"])
    sizes = {"observation": obs_dim, "action": width, "final_observation": obs_dim}
    vectors = {name: _matrix(path, table, name, sizes[name]) for name in _VECTORS}
    truncated = _plain(table, "truncated").astype(np.bool_)
    behaviours = table.column("behaviour").to_pylist()
    unknown = sorted({str(name) for name in behaviours} - set(names))
    if unknown:
        raise DataError(
            f"{path}, column behaviour: values must be among {names}, got {', '.join(unknown)}"
        )
    positions = {name: position for position, name in enumerate(names)}
    return {
        "observations": vectors["observation"],
        "actions": vectors["action"],
        "log_densities": _log_densities(table),
        "behaviours": np.array([positions[name] for name in behaviours], dtype=np.int64),
        "rewards": _plain(table, "reward").astype(np.float32),
        "terminated": _plain(table, "terminated").astype(np.bool_),
        "truncated": truncated,
        "sessions": _plain(table, "session").astype(np.int64),
        "requests": _plain(table, "request").astype(np.int32),
        "final_observations": vectors["final_observation"][truncated],
        "behaviour_names": names,
        "observation_names": tuple(document["observation_names"]),
        "parameter_names": tuple(document["parameter_names"]),
        "evaluator": str(document["evaluator"]),
        "setting": document.get("setting"),
    }


def _document(path: Path, table: pa.Table) -> dict[str, Any]:
    raw = (table.schema.metadata or {}).get(_METADATA)
    try:
        document = json.loads(raw or b"null")
    except ValueError as error:
        raise DataError(f"{path}: the metadata {_METADATA.decode()} is not JSON") from error
    if isinstance(document, dict) and document.get("version") == 1:
        document = _version_1_to_2(document)
    needed = {"version", "behaviour_names", "observation_names", "parameter_names", "evaluator"}
    if not isinstance(document, dict) or not needed <= set(document):
        raise DataError(
            f"{path} lacks the metadata {_METADATA.decode()} with {', '.join(sorted(needed))}"
        )
    if document["version"] != _VERSION:
        raise DataError(
            f"{path} has version {document['version']}, but this program reads version {_VERSION}."
            " Make it again: python -m mtf_rl.collect RUN"
        )
    return document


def _version_1_to_2(document: dict[str, Any]) -> dict[str, Any]:
    """Convert the metadata of version 1 to the names of version 2."""
    renamed = {}
    for name, value in document.items():
        if name in _OLD_KEYS:
            note_old_spelling(f"{name} in a batch's metadata", _OLD_KEYS[name])
        renamed[_OLD_KEYS.get(name, name)] = value
    evaluator = renamed.get("evaluator")
    if evaluator in _OLD_EVALUATORS:
        note_old_spelling(f"evaluator {evaluator}", _OLD_EVALUATORS[evaluator])
        renamed["evaluator"] = _OLD_EVALUATORS[evaluator]
    return renamed | {"version": _VERSION}


def _vectors(values: FloatArray, present: BoolArray | None = None) -> pa.Array:
    flat = pa.array(np.ascontiguousarray(values, dtype=np.float32).ravel())
    mask = None if present is None else pa.array(~present)
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1], mask=mask)


def _matrix(path: Path, table: pa.Table, name: str, size: int) -> FloatArray:
    """A column of vectors as (rows, size) float32; zeros for empty cells."""
    column = table.column(name).combine_chunks()
    kind = column.type
    if not (pa.types.is_fixed_size_list(kind) and kind.list_size == size):
        raise DataError(f"{path}, column {name} must have lists of {size} numbers, got {kind}")
    filled = np.zeros((len(column), size), dtype=np.float32)
    present = np.asarray(column.is_valid())
    filled[present] = np.asarray(column.flatten(), dtype=np.float32).reshape(-1, size)
    return filled


def _log_densities(table: pa.Table) -> FloatArray:
    """Log densities (rows,); NaN if missing, which learners accept and estimators refuse."""
    if "log_density" not in table.column_names:
        return np.full(table.num_rows, np.nan)
    column = table.column("log_density").cast(pa.float64())
    return np.asarray(column.fill_null(np.nan), dtype=np.float64)


def _plain(table: pa.Table, name: str) -> NDArray[Any]:
    column = table.column(name)
    if column.null_count:
        raise DataError(f"column {name} has {column.null_count} empty values")
    return np.asarray(column)
