"""A fitted scorer: predicts calibrated probabilities from features; saved without pickle."""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError

from mtf_rl.core.arrays import FloatArray, IntArray, check_shape
from mtf_rl.core.errors import ArtifactError, ConfigError, ShapeError, UnknownNameError
from mtf_rl.core.files import (
    load_arrays,
    load_json,
    replace_atomically,
    save_arrays,
    save_json,
    sha256_of,
)
from mtf_rl.core.plugins import refuse_unrepeated
from mtf_rl.core.tasks import KUAIRAND_TASKS, TaskSet
from mtf_rl.data import FeatureLayout, FeatureRows
from mtf_rl.scorers.calibration import Calibration, TabCalibration
from mtf_rl.scorers.chains import Chain
from mtf_rl.scorers.model import PREDICT_ROWS, ScorerConfig, ScorerModel
from mtf_rl.scorers.registry import SCORERS, scorer_name
from mtf_rl.scorers.report import ScorerReport

__all__ = ["Scorer", "model_logits", "sigmoid", "tab_codes"]

FORMAT = 3
CARD = "card.json"
WEIGHTS = "weights.safetensors"
ROW_KEYS = "row_keys.npz"


@dataclass(frozen=True)
class Scorer:
    """A fitted model with everything needed to predict: layout, calibration, tasks."""

    config: ScorerConfig
    layout: FeatureLayout
    model: ScorerModel
    calibration: Calibration | TabCalibration
    base_rates: tuple[float, ...]  # (tasks,) mean targets of the training rows
    row_keys: IntArray
    """(rows,) uint64, ascending: keys of all rows used for training, early stopping, calibration
    or history features."""

    tasks: TaskSet = KUAIRAND_TASKS
    """Predicted tasks, in the order of the outputs."""

    def logits(self, features: FeatureRows) -> FloatArray:
        """Logits (rows, tasks) float32 before calibration.

        Raises:
            ShapeError: if the features do not match this scorer's layout.
        """
        _check_features(features, self.layout)
        return model_logits(self.model, features, len(self.tasks))

    def predict(self, features: FeatureRows) -> FloatArray:
        """Calibrated probabilities (rows, tasks) float32 in [0, 1], in task order.

        Raises:
            ShapeError: if the features do not match this scorer's layout.
        """
        return self.calibrated(self.logits(features), features)

    def calibrated(self, logits: FloatArray, features: FeatureRows) -> FloatArray:
        """Calibrated probabilities (rows, tasks) float32 from the logits (rows, tasks)."""
        return self.calibration.apply(logits, tab_codes(features, self.layout))

    def save(self, folder: Path, *, report: ScorerReport | None = None) -> None:
        """Write weights and row keys, then the card with their checksums.

        Args:
            folder: target folder; created if missing. A scorer in it is replaced.
            report: metrics to store in the card.
        """
        replace_atomically(folder / WEIGHTS, safetensors.torch.save(self.model.state_dict()))
        save_arrays(folder / ROW_KEYS, {"row_keys": self.row_keys})
        save_json(folder / CARD, self._card(folder, report))

    @staticmethod
    def load(folder: Path, *, layout: FeatureLayout | None = None) -> "Scorer":
        """Read a scorer that `save` wrote; runs no code from the files.

        Args:
            folder: a scorer's folder.
            layout: expected feature layout; must equal the layout that the scorer was fitted on.

        Raises:
            ArtifactError: if a file is missing, corrupt, of another version, or `layout` differs.
            ConfigError: if the card names a `module:Class` model that the caller did not name.
        """
        card = load_json(folder / CARD)
        if isinstance(card, dict):
            refuse_unrepeated(card.get("model"), source=folder / CARD)
        try:
            scorer = _from_card(folder, card)
        except (KeyError, TypeError, AttributeError, ConfigError, UnknownNameError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise ArtifactError(
                f"{folder / CARD} is not a scorer's card ({reason}). Fit the scorer again."
            ) from error
        if layout is not None and layout != scorer.layout:
            raise ArtifactError(_layout_difference(folder, scorer.layout, layout))
        return scorer

    def _card(self, folder: Path, report: ScorerReport | None) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "model": scorer_name(self.config),
            "config": asdict(self.config),
            "tasks": self.tasks.to_json(),
            "base_rates": list(self.base_rates),
            "rows": len(self.row_keys),
            "calibration": self.calibration.to_json(),
            "parameters": sum(weight.numel() for weight in self.model.parameters()),
            "layout": self.layout.to_json(),
            "metrics": None if report is None else report.to_records(),
            "sha256": {name: sha256_of(folder / name) for name in (WEIGHTS, ROW_KEYS)},
        }


def model_logits(model: ScorerModel, features: FeatureRows, tasks: int) -> FloatArray:
    """Logits (rows, tasks) float32 in eval mode, computed in chunks of `PREDICT_ROWS` rows."""
    model.eval()
    device = next(model.parameters()).device
    rows = len(features.categorical)
    logits = np.empty((rows, tasks), dtype=np.float32)
    with torch.inference_mode():
        for start in range(0, rows, PREDICT_ROWS):
            chunk = slice(start, start + PREDICT_ROWS)
            categorical = torch.from_numpy(features.categorical[chunk]).to(device)
            dense = torch.from_numpy(features.dense[chunk]).to(device)
            logits[chunk] = model(categorical, dense).cpu().numpy()
    return logits


def tab_codes(features: FeatureRows, layout: FeatureLayout) -> IntArray | None:
    """Codes of the field `tab`, (rows,); None if the layout has no such field."""
    names = [field.name for field in layout.categorical]
    return features.categorical[:, names.index("tab")] if "tab" in names else None


def sigmoid(logits: FloatArray) -> FloatArray:
    """Elementwise sigmoid of logits of any shape."""
    return np.asarray(torch.sigmoid(torch.from_numpy(logits)))


def _check_features(features: FeatureRows, layout: FeatureLayout) -> None:
    rows = len(features.categorical)
    check_shape(
        "categorical", features.categorical, "rows, fields", (rows, len(layout.categorical))
    )
    check_shape("dense", features.dense, "rows, dense", (rows, len(layout.dense)))
    if rows == 0:
        return
    lowest, highest = features.categorical.min(axis=0), features.categorical.max(axis=0)
    for field, low, high in zip(layout.categorical, lowest, highest, strict=True):
        if low < 0 or high >= field.size:
            raise ShapeError(
                f"categorical field {field.name} must be in [0, {field.size}), got {low} to {high}"
            )


def _from_card(folder: Path, card: dict[str, Any]) -> Scorer:
    if card["format"] != FORMAT:
        raise ArtifactError(
            f"{folder / CARD} has format {card['format']}; this version reads format {FORMAT}."
            " Fit the scorer again: `python -m mtf_rl.pretrain`, or `python -m mtf_rl.train`."
        )
    for name, expected in card["sha256"].items():
        _check_sum(folder / name, expected)
    config = _config_from(SCORERS.resolve(card["model"]), card["config"])
    layout = FeatureLayout.from_json(card["layout"])
    tasks = TaskSet.from_json(card["tasks"])
    return Scorer(
        config=config,
        layout=layout,
        model=_load_model(folder / WEIGHTS, config, layout, tasks),
        calibration=_calibration_from(card["calibration"]),
        base_rates=tuple(card["base_rates"]),
        row_keys=load_arrays(folder / ROW_KEYS)["row_keys"],
        tasks=tasks,
    )


def _check_sum(path: Path, expected: str) -> None:
    if not path.is_file():
        raise ArtifactError(f"{path} is missing; {CARD} lists it. Fit the scorer again.")
    if sha256_of(path) != expected:
        raise ArtifactError(
            f"{path} has changed: its checksum differs from the one in {CARD}."
            " Fit the scorer again."
        )


def _config_from(kind: type[ScorerConfig], values: dict[str, Any]) -> ScorerConfig:
    names = {field.name for field in fields(kind)}
    if names != set(values):
        raise KeyError(f"fields {sorted(values)} of {kind.__name__}")
    return kind(**{name: _setting_from(value) for name, value in values.items()})


def _setting_from(value: Any) -> Any:
    if isinstance(value, dict):
        return Chain(**value)
    return tuple(value) if isinstance(value, list) else value


def _calibration_from(document: dict[str, Any]) -> Calibration | TabCalibration:
    kind = TabCalibration if "by_tab" in document else Calibration
    return kind.from_json(document)


def _load_model(
    path: Path, config: ScorerConfig, layout: FeatureLayout, tasks: TaskSet
) -> ScorerModel:
    with torch.random.fork_rng(devices=[]):
        model = config.build(layout, tasks)
    try:
        model.load_state_dict(safetensors.torch.load(path.read_bytes()))
    except (SafetensorError, RuntimeError) as error:
        raise ArtifactError(
            f"{path} does not match the model in {CARD}: {error}. Fit the scorer again."
        ) from error
    model.eval()
    return model


def _layout_difference(folder: Path, saved: FeatureLayout, given: FeatureLayout) -> str:
    fields = {*saved.categorical} ^ {*given.categorical}
    columns = {*saved.dense} ^ {*given.dense}
    names = {field.name for field in fields} | {column.name for column in columns}
    return (
        f"The scorer in {folder} was fitted on other features than the given ones. They differ in"
        f" {', '.join(sorted(names)) or 'their order'}. Fit the scorer again with this encoder."
    )
