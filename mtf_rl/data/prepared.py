"""Write and read a `Dataset` as Parquet files with checksums."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mtf_rl.core.errors import ArtifactError, MtfRlError
from mtf_rl.core.files import load_json, replace_atomically, save_json, sha256_of
from mtf_rl.core.log_schema import LogSchema
from mtf_rl.core.tasks import KUAIRAND_TASKS, TaskSet
from mtf_rl.core.videos import VideoCatalogue
from mtf_rl.data.accounts import FileAccount, RowAccount
from mtf_rl.data.dataset import Dataset, DurationFills
from mtf_rl.data.feature_tables import CategoricalColumn, FeatureTable, NumericColumn
from mtf_rl.data.impressions import Impressions
from mtf_rl.data.schema import FileKind
from mtf_rl.data.sources import SourceFile

__all__ = ["is_prepared", "read_prepared", "tasks_of_log", "write_prepared"]

_VERSION = 2
_TABLES = ("impressions", "users", "videos", "catalogue")


def write_prepared(dataset: Dataset, directory: Path) -> None:
    """Write four Parquet files, and `dataset.json` with their checksums."""
    tables = {
        "impressions": _impression_columns(dataset.impressions, dataset.tasks),
        "users": _feature_columns(dataset.users),
        "videos": _feature_columns(dataset.videos),
        "catalogue": _catalogue_columns(dataset.catalogue),
    }
    for name, columns in tables.items():
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table(dict(columns)), sink, compression="zstd")
        replace_atomically(directory / f"{name}.parquet", sink.getvalue().to_pybytes())
    document = {
        "version": _VERSION,
        "num_tags": dataset.catalogue.num_tags,
        "schema": dataset.schema.to_json(),
        "duration_fills": asdict(dataset.duration_fills),
        "account": [asdict(file) for file in dataset.account.files],
        "files": [asdict(file) for file in dataset.files],
        "users": _feature_names(dataset.users),
        "videos": _feature_names(dataset.videos),
        "sha256": {name: sha256_of(directory / f"{name}.parquet") for name in _TABLES},
    }
    save_json(directory / "dataset.json", document)


def is_prepared(directory: Path) -> bool:
    """Whether `directory` was written by `write_prepared`."""
    return (directory / "dataset.json").is_file()


def tasks_of_log(directory: Path) -> TaskSet:
    """The tasks of a log that `read_log` reads, without reading its rows.

    Raises:
        ArtifactError: if the description of prepared files is damaged.
    """
    if not is_prepared(directory):
        return KUAIRAND_TASKS
    document = load_json(directory / "dataset.json")
    try:
        return LogSchema.from_json(document["schema"]).tasks
    except (LookupError, TypeError, ValueError, MtfRlError) as error:
        raise ArtifactError(_invalid(directory, error)) from error


def read_prepared(directory: Path) -> Dataset:
    """Read a dataset written by `write_prepared`.

    Raises:
        ArtifactError: if a file is missing, damaged, changed, or of another version.
    """
    document = load_json(directory / "dataset.json")
    try:
        if document["version"] != _VERSION:
            raise ValueError(f"version {document['version']}, expected {_VERSION}")
        tables = {name: _read_table(directory, name, document["sha256"][name]) for name in _TABLES}
        return _assemble(document, tables)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ArtifactError(_invalid(directory, error)) from error


def _invalid(directory: Path, error: Exception) -> str:
    return (
        f"{directory} does not have valid prepared data ({error}). Prepare it again:"
        " python -m mtf_rl.prepare DIR --out OUT"
    )


def _assemble(document: dict[str, Any], tables: dict[str, dict[str, NDArray[Any]]]) -> Dataset:
    impressions = tables["impressions"]
    schema = LogSchema.from_json(document["schema"])
    feedback = np.stack([impressions.pop(name) for name in schema.tasks.feedback_names], axis=1)
    catalogue = tables["catalogue"]
    tags = [values for name, values in catalogue.items() if name.startswith("tag_")]
    return Dataset(
        impressions=Impressions(feedback=feedback, **impressions),
        users=_feature_table(document["users"], tables["users"]),
        videos=_feature_table(document["videos"], tables["videos"]),
        catalogue=VideoCatalogue(
            duration_seconds=catalogue["duration_seconds"],
            tags=np.stack(tags, axis=1),
            authors=catalogue["authors"],
            num_tags=document["num_tags"],
        ),
        account=RowAccount(tuple(FileAccount(**file) for file in document["account"])),
        files=tuple(
            SourceFile(
                file["name"],
                FileKind(file["kind"]),
                file["rows"],
                file["sha256"],
                tuple(file["ignored_columns"]),
            )
            for file in document["files"]
        ),
        duration_fills=DurationFills(**document["duration_fills"]),
        schema=schema,
    )


def _read_table(directory: Path, name: str, sha256: str) -> dict[str, NDArray[Any]]:
    path = directory / f"{name}.parquet"
    if not path.is_file() or sha256_of(path) != sha256:
        raise ValueError(f"{path.name} is missing or was changed")
    table = pq.read_table(path)
    return {
        column: table.column(column).to_numpy(zero_copy_only=False) for column in table.column_names
    }


def _impression_columns(impressions: Impressions, tasks: TaskSet) -> Mapping[str, NDArray[Any]]:
    columns = dict(vars(impressions))
    feedback = columns.pop("feedback")
    return columns | {name: feedback[:, k] for k, name in enumerate(tasks.feedback_names)}


def _catalogue_columns(catalogue: VideoCatalogue) -> Mapping[str, NDArray[Any]]:
    tags = {
        f"tag_{position}": catalogue.tags[:, position]
        for position in range(catalogue.tags.shape[1])
    }
    return {
        "duration_seconds": catalogue.duration_seconds,
        "authors": catalogue.authors,
        **tags,
    }


def _feature_columns(table: FeatureTable) -> Mapping[str, NDArray[Any]]:
    return {
        "ids": table.ids,
        "known": table.known,
        **{column.name: column.codes for column in table.categorical},
        **{column.name: column.values for column in table.numeric},
    }


def _feature_names(table: FeatureTable) -> dict[str, Any]:
    return {
        "categorical": {column.name: list(column.values) for column in table.categorical},
        "numeric": [column.name for column in table.numeric],
    }


def _feature_table(names: dict[str, Any], columns: dict[str, NDArray[Any]]) -> FeatureTable:
    return FeatureTable(
        ids=columns["ids"],
        known=columns["known"],
        categorical=tuple(
            CategoricalColumn(name, columns[name], tuple(values))
            for name, values in names["categorical"].items()
        ),
        numeric=tuple(NumericColumn(name, columns[name]) for name in names["numeric"]),
    )
