"""The scorer as an artifact: saving, loading, and errors for damaged files and wrong features."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtf_rl.core.errors import ArtifactError, ShapeError
from mtf_rl.data import CategoricalField, FeatureLayout, FeatureRows, FeatureSide
from mtf_rl.scorers import Scorer, evaluate_scorer, fit_scorer
from tests.scorers.examples import LAYOUT, QUICK, SMALL, example_rows

ROWS = example_rows(300)
VALIDATION = example_rows(200, 1)


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    rng = np.random.default_rng(0)
    return fit_scorer(SMALL["mmoe"], QUICK, LAYOUT, ROWS, VALIDATION, rng=rng).scorer


def edit_card(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    card = json.loads((folder / "card.json").read_text())
    change(card)
    (folder / "card.json").write_text(json.dumps(card))


def test_load_restores_everything_that_was_saved(scorer: Scorer, tmp_path: Path) -> None:
    scorer.save(tmp_path)
    again = Scorer.load(tmp_path, layout=LAYOUT)
    assert again.config == scorer.config
    assert again.layout == LAYOUT
    assert again.calibration == scorer.calibration
    assert again.base_rates == pytest.approx(ROWS.base_rates())
    # Validation rows are used for early stopping and calibration, so they are recorded.
    assert np.array_equal(again.row_keys, np.union1d(ROWS.keys, VALIDATION.keys))
    assert np.array_equal(again.predict(ROWS.features), scorer.predict(ROWS.features))


def test_saving_twice_writes_the_same_bytes(scorer: Scorer, tmp_path: Path) -> None:
    scorer.save(tmp_path / "a")
    scorer.save(tmp_path / "b")
    for name in ("card.json", "weights.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_card_contains_the_report(scorer: Scorer, tmp_path: Path) -> None:
    report = evaluate_scorer(scorer, ROWS)
    scorer.save(tmp_path, report=report)
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["metrics"][0]["task"] == "click"
    assert card["metrics"][0]["auc"] == pytest.approx(report["click"].auc)
    assert card["model"] == "mmoe"
    assert card["rows"] == 500


@pytest.mark.parametrize("name", ["weights.safetensors", "row_keys.npz"])
def test_a_truncated_file_is_named(scorer: Scorer, tmp_path: Path, name: str) -> None:
    scorer.save(tmp_path)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    message = rf"{re.escape(str(tmp_path / name))} has changed.*Fit the scorer again"
    with pytest.raises(ArtifactError, match=message):
        Scorer.load(tmp_path)


@pytest.mark.parametrize("name", ["card.json", "weights.safetensors", "row_keys.npz"])
def test_a_missing_file_is_named(scorer: Scorer, tmp_path: Path, name: str) -> None:
    scorer.save(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(ArtifactError, match=re.escape(str(tmp_path / name))):
        Scorer.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda card: card.update(format=99), "has format 99"),
        (lambda card: card.update(model="plee"), "Unknown scorer 'plee'. Did you mean 'ple'?"),
        (lambda card: card.pop("layout"), "is not a scorer's card (KeyError: 'layout')"),
        (lambda card: card["config"].pop("experts"), "is not a scorer's card (KeyError: "),
        (lambda card: card["config"].update(experts=4), "weights.safetensors does not match"),
        (lambda card: card["config"].update(experts=0), "experts must be at least 1, got 0"),
        (lambda card: card.update(tasks=["click"]), "tasks must be a list of objects"),
        (lambda card: card["calibration"].pop("shift"), "is not a scorer's card (TypeError: "),
        (lambda card: card.update(layout=3), "is not a scorer's card (TypeError: "),
    ],
)
def test_an_invalid_card_raises_an_error_that_names_the_fault(
    scorer: Scorer, tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    scorer.save(tmp_path)
    edit_card(tmp_path, change)
    with pytest.raises(ArtifactError, match=re.escape(message)):
        Scorer.load(tmp_path)


@pytest.mark.parametrize("text", ["[]", "{", '"card"', "null"])
def test_a_file_that_is_not_a_card_raises_an_error(
    scorer: Scorer, tmp_path: Path, text: str
) -> None:
    scorer.save(tmp_path)
    (tmp_path / "card.json").write_text(text)
    with pytest.raises(ArtifactError, match=re.escape("card.json is not")):
        Scorer.load(tmp_path)


def test_another_layout_raises_an_error_that_names_the_differences(
    scorer: Scorer, tmp_path: Path
) -> None:
    scorer.save(tmp_path)
    grown = CategoricalField("video", 10, FeatureSide.VIDEO)
    changed = FeatureLayout((LAYOUT.categorical[0], grown, LAYOUT.categorical[2]), LAYOUT.dense)
    with pytest.raises(ArtifactError, match="differ in video"):
        Scorer.load(tmp_path, layout=changed)
    swapped = FeatureLayout(LAYOUT.categorical[::-1], LAYOUT.dense)
    with pytest.raises(ArtifactError, match="differ in their order"):
        Scorer.load(tmp_path, layout=swapped)


def test_features_with_a_wrong_shape_raise_an_error(scorer: Scorer) -> None:
    features = ROWS.features
    with pytest.raises(ShapeError, match=re.escape("(rows, fields) = (300, 3), got (300, 2)")):
        scorer.predict(FeatureRows(features.categorical[:, :2], features.dense))
    with pytest.raises(ShapeError, match=re.escape("(rows, dense) = (300, 2), got (300, 1)")):
        scorer.predict(FeatureRows(features.categorical, features.dense[:, :1]))


@pytest.mark.parametrize("value", [-1, 9])
def test_an_index_outside_its_field_raises_an_error(scorer: Scorer, value: int) -> None:
    categorical = ROWS.features.categorical.copy()
    categorical[7, 1] = value
    with pytest.raises(ShapeError, match=re.escape("categorical field video must be in [0, 9)")):
        scorer.predict(FeatureRows(categorical, ROWS.features.dense))


def test_zero_rows_give_zero_predictions(scorer: Scorer) -> None:
    empty = FeatureRows(np.empty((0, 3), dtype=np.int64), np.empty((0, 2), dtype=np.float32))
    assert scorer.predict(empty).shape == (0, 8)
