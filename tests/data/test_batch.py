"""Batch datasets: exact round trips, next observations, error messages."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtf_rl.core.errors import ArtifactError, DataError, ShapeError
from mtf_rl.data import BatchDataset


def dataset() -> BatchDataset:
    """Session 4 ends by leaving after two requests, session 9 is truncated after one."""
    return BatchDataset(
        observations=np.array([[1, 2], [3, 4], [5, 6]], dtype=np.float32),
        actions=np.array([[0.5], [-1.0], [0.25]], dtype=np.float32),
        log_densities=np.array([-0.7, -0.1, 0.3]),
        behaviours=np.array([1, 1, 0]),
        rewards=np.array([1.0, 0.0, 2.5], dtype=np.float32),
        terminated=np.array([False, True, False]),
        truncated=np.array([False, False, True]),
        sessions=np.array([4, 4, 9]),
        requests=np.array([0, 1, 0], dtype=np.int32),
        final_observations=np.array([[7, 8]], dtype=np.float32),
        behaviour_names=("uniform_random", "near"),
        observation_names=("a", "b"),
        parameter_names=("click",),
        evaluator="simulator",
    )


def test_next_observations_equal_hand_computed_values() -> None:
    # The next request's observation; zeros after leaving; the final observation after truncation.
    np.testing.assert_array_equal(dataset().next_observations, [[3, 4], [0, 0], [7, 8]])


def test_a_batch_survives_a_file_round_trip(tmp_path: Path) -> None:
    dataset().save(tmp_path / "batch.parquet")
    loaded = BatchDataset.load(tmp_path / "batch.parquet")
    for name, value in vars(dataset()).items():
        loaded_value = getattr(loaded, name)
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(loaded_value, value)
            assert loaded_value.dtype == value.dtype, name
        else:
            assert loaded_value == value


def test_pandas_can_read_the_file(tmp_path: Path) -> None:
    dataset().save(tmp_path / "batch.parquet")
    frame = pq.read_table(tmp_path / "batch.parquet").to_pandas()
    assert frame.behaviour.tolist() == ["near", "near", "uniform_random"]
    assert frame.observation[1].tolist() == [3, 4]
    assert frame.final_observation[0] is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rewards": np.array([1.0, np.nan, 0.0])}, "rewards must be finite; row 1 breaks this"),
        ({"actions": np.array([[0.5], [0.0], [1.5]])}, "actions must be in [-1, 1]; row 2 breaks"),
        ({"requests": np.array([0, 2, 0])}, "requests must count up from 0 in each session; row 1"),
        ({"sessions": np.array([4, 5, 9])}, "requests must count up from 0 in each session; row 1"),
        ({"terminated": np.array([True, True, False])}, "terminated or truncated must be True in"),
        ({"behaviours": np.array([0, 2, 0])}, "behaviours must be indices in ('uniform_random', "),
        (
            {"log_densities": np.array([0.0, 0.0, -np.inf])},
            "log_densities must be finite or NaN; row 2",
        ),
    ],
)
def test_invalid_rows_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        replace(dataset(), **change)


def test_wrong_shapes_and_an_empty_batch_are_refused() -> None:
    with pytest.raises(ShapeError, match=re.escape("observations must have shape (rows, obs_dim)")):
        replace(dataset(), observations=np.zeros((3, 5)))
    with pytest.raises(ShapeError, match=re.escape("(truncated rows, obs_dim) = (1, 2)")):
        replace(dataset(), final_observations=np.zeros((0, 2)))
    with pytest.raises(DataError, match=re.escape("needs at least one row, got none")):
        replace(dataset(), rewards=np.zeros(0))


def test_invalid_batch_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "batch.parquet"
    with pytest.raises(ArtifactError, match=re.escape("Make it: python -m mtf_rl.collect RUN")):
        BatchDataset.load(path)
    path.write_text("no parquet")
    with pytest.raises(ArtifactError, match=re.escape("is not a Parquet file")):
        BatchDataset.load(path)
    pq.write_table(pa.table({"session": [1]}), path)
    with pytest.raises(DataError, match=re.escape("lacks the metadata mtf_rl.batch with")):
        BatchDataset.load(path)
    dataset().save(path)
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["reward"]), path)
    with pytest.raises(DataError, match=re.escape("has no column reward of a batch dataset")):
        BatchDataset.load(path)
    wrong = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(9, dtype=np.float32)), 3)
    position = table.column_names.index("observation")
    pq.write_table(table.set_column(position, "observation", wrong), path)
    with pytest.raises(DataError, match=re.escape("column observation must have lists of 2")):
        BatchDataset.load(path)


def test_missing_log_densities_are_loaded_as_nan(tmp_path: Path) -> None:
    path = tmp_path / "batch.parquet"
    dataset().save(path)
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["log_density"]), path)
    assert np.isnan(BatchDataset.load(path).log_densities).all()
    position = table.column_names.index("log_density")
    densities = pa.array([-0.5, None, -0.1], pa.float64())
    pq.write_table(table.set_column(position, "log_density", densities), path)
    np.testing.assert_array_equal(BatchDataset.load(path).log_densities, [-0.5, np.nan, -0.1])


def old_file(path: Path, evaluator: str, **changed: object) -> None:
    """Write a batch of version 1, with the old key `judge`."""
    dataset().save(path)
    table = pq.read_table(path)
    document = json.loads(table.schema.metadata[b"mtf_rl.batch"])
    del document["evaluator"]
    document |= {"version": 1, "judge": evaluator} | changed
    pq.write_table(table.replace_schema_metadata({b"mtf_rl.batch": json.dumps(document)}), path)


@pytest.mark.parametrize(
    ("old", "new"), [("synthetic_truth", "ground_truth"), ("simulator", "simulator")]
)
def test_the_old_spelling_is_read_with_a_note_and_never_written(
    old: str,
    new: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mtf_rl.core.deprecation._NOTED", set())
    old_file(tmp_path / "old.parquet", old)
    batches = [BatchDataset.load(tmp_path / "old.parquet") for _ in range(2)]
    assert batches[1].evaluator == new
    noted = capsys.readouterr().err.splitlines()
    assert noted[0].startswith("judge in a batch's metadata is the old spelling of evaluator;")
    assert noted[1:] == (
        []
        if old == new
        else [f"evaluator {old} is the old spelling of {new}; the next release refuses it."]
    )
    batches[0].save(tmp_path / "new.parquet")
    document = json.loads(pq.read_table(tmp_path / "new.parquet").schema.metadata[b"mtf_rl.batch"])
    assert (document["version"], document["evaluator"]) == (2, new)
    assert "judge" not in document


def test_the_error_of_an_unknown_version_has_the_command_to_make_it_again(tmp_path: Path) -> None:
    old_file(tmp_path / "b.parquet", "simulator", version=3)
    path = tmp_path / "b.parquet"
    table = pq.read_table(path)
    document = json.loads(table.schema.metadata[b"mtf_rl.batch"]) | {"evaluator": "simulator"}
    pq.write_table(table.replace_schema_metadata({b"mtf_rl.batch": json.dumps(document)}), path)
    with pytest.raises(DataError, match=r"version 3, .*Make it again: python -m mtf_rl\.collect"):
        BatchDataset.load(tmp_path / "b.parquet")
