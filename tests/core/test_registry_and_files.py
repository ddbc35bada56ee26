"""Registries suggest names; files are written atomically and checked when read."""

import re
from pathlib import Path

import numpy as np
import pytest

from mtf_rl.core.errors import ArtifactError, UnknownNameError
from mtf_rl.core.files import load_arrays, load_json, replace_atomically, save_arrays, save_json
from mtf_rl.core.registry import Registry


def test_the_error_of_an_unknown_name_suggests_the_nearest() -> None:
    registry = Registry("scorer", {"mmoe": 1, "ple": 2})
    with pytest.raises(
        UnknownNameError,
        match=re.escape("Unknown scorer 'mmo'. Did you mean 'mmoe'? Known: mmoe, ple."),
    ):
        registry["mmo"]
    with pytest.raises(UnknownNameError, match=re.escape("Unknown scorer 'xyz'. Known: mmoe")):
        registry["xyz"]
    assert list(registry) == ["mmoe", "ple"]
    assert "mmoe" in registry
    assert "mmo" not in registry
    assert len(registry) == 2


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    save_json(path, {"a": 1})
    with pytest.raises(TypeError):
        replace_atomically(path, "text is not bytes")  # type: ignore[arg-type]
    assert load_json(path) == {"a": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["settings.json"]


def test_equal_arrays_are_saved_as_equal_bytes(tmp_path: Path) -> None:
    arrays = {"x": np.arange(5), "y": np.eye(2)}
    save_arrays(tmp_path / "a.npz", arrays)
    save_arrays(tmp_path / "b.npz", arrays)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    np.testing.assert_array_equal(load_arrays(tmp_path / "a.npz")["y"], np.eye(2))


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "evil.npz", x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ArtifactError, match=re.escape("evil.npz cannot be read")):
        load_arrays(tmp_path / "evil.npz")


def test_the_error_of_a_damaged_or_missing_file_names_it(tmp_path: Path) -> None:
    (tmp_path / "damaged.json").write_text('{"a": ')
    with pytest.raises(ArtifactError, match=re.escape("damaged.json is not a JSON file")):
        load_json(tmp_path / "damaged.json")
    with pytest.raises(ArtifactError, match=re.escape("No file")):
        load_arrays(tmp_path / "none.npz")
