"""The contract of scorers, checked on a few synthetic rows."""

import tempfile
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import expit

from mtf_rl.core.arrays import select_rows
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.data import CategoricalField, DenseColumn, FeatureLayout, FeatureRows, FeatureSide
from mtf_rl.experiments.contracts.contract import Check, Contract, require
from mtf_rl.scorers import (
    SCORERS,
    LabelledRows,
    Scorer,
    ScorerFitConfig,
    ScorerModel,
    fit_scorer,
)
from mtf_rl.scorers.split_scoring import PairScorer

__all__ = ["LAYOUT", "QUICK", "SCORER_CONTRACT", "ScorerSubject", "example_rows", "random_features"]

LAYOUT = FeatureLayout(
    categorical=(
        CategoricalField("user", 12, FeatureSide.USER),
        CategoricalField("video", 9, FeatureSide.VIDEO),
        CategoricalField("tab", 4, FeatureSide.PAIR),
    ),
    dense=(DenseColumn("age", FeatureSide.VIDEO), DenseColumn("rate", FeatureSide.PAIR)),
)
QUICK = ScorerFitConfig(
    batch_rows=64, learning_rate=0.01, embedding_learning_rate=0.01, max_epochs=2
)


def random_features(rows: int, seed: int = 0) -> FeatureRows:
    """Random features of `LAYOUT`, including missing and unseen values."""
    rng = np.random.default_rng(seed)
    sizes = [field.size for field in LAYOUT.categorical]
    return FeatureRows(
        categorical=rng.integers(0, sizes, size=(rows, len(sizes))),
        dense=rng.normal(size=(rows, len(LAYOUT.dense))).astype(np.float32),
    )


def example_rows(rows: int, seed: int = 0) -> LabelledRows:
    """Rows whose tasks are more likely for a larger second dense column, and hate less likely.

    A long view requires a click.
    """
    features = random_features(rows, seed)
    rng = np.random.default_rng(seed + 1000)
    offsets = np.linspace(0.5, -2.0, len(KUAIRAND_TASKS))
    signs = np.ones(len(KUAIRAND_TASKS))
    signs[6] = -1.0
    truth = expit(offsets + 2.0 * signs * features.dense[:, 1:2])  # (rows, tasks)
    targets = (rng.random((rows, len(KUAIRAND_TASKS))) < truth).astype(np.float32)
    targets[:, 1] *= targets[:, 0]  # no long view without a click
    targets[:, 7] = truth[:, 7]  # watch is a fraction
    return LabelledRows(
        features=features,
        targets=targets,
        mask=np.ones((rows, len(KUAIRAND_TASKS)), dtype=np.bool_),
        users=features.categorical[:, 0],
        keys=np.arange(rows, dtype=np.uint64) + np.uint64(seed * 1_000_000),
    )


class ScorerSubject:
    """A scorer with given settings, fitted once.

    Args:
        config: settings of the model.
    """

    def __init__(self, config: Any) -> None:
        self.config = config
        self.features = random_features(200, seed=3)
        self._fitted: Scorer | None = None

    @property
    def scorer(self) -> Scorer:
        """The scorer, fitted with seed 0."""
        if self._fitted is None:
            self._fitted = self.fit(seed=0)
        return self._fitted

    def fit(self, *, seed: int) -> Scorer:
        """Fit on 600 rows."""
        train, validation = _rows()
        rng = np.random.default_rng(seed)
        return fit_scorer(self.config, QUICK, LAYOUT, train, validation, rng=rng).scorer


@cache
def _rows() -> tuple[LabelledRows, LabelledRows]:
    return example_rows(600, seed=1), example_rows(300, seed=2)


def _model(subject: ScorerSubject) -> None:
    model = subject.config.build(LAYOUT, KUAIRAND_TASKS)
    require(
        isinstance(model, ScorerModel),
        f"build must return a mtf_rl.scorers.ScorerModel, got {type(model).__name__}",
    )
    asdict(subject.config)


def _probabilities(subject: ScorerSubject) -> None:
    predictions = subject.scorer.predict(subject.features)
    expected = (200, len(KUAIRAND_TASKS))
    require(
        predictions.shape == expected,
        f"predictions must have shape (rows, tasks) = {expected}, got {predictions.shape}",
    )
    inside = np.isfinite(predictions) & (predictions >= 0) & (predictions <= 1)
    require(inside.all(), "predictions must be finite and in [0, 1]")
    require(
        predictions.std(axis=0).min() > 1e-4,
        "predictions must differ between rows, got equal predictions of a task",
    )


def _row_alone(subject: ScorerSubject) -> None:
    together = subject.scorer.predict(subject.features)
    for row in range(0, 200, 23):
        alone = subject.scorer.predict(select_rows(subject.features, np.array([row])))[0]
        off = np.abs(alone - together[row]).max()
        require(
            off < 1e-6,
            f"row {row} must get the same prediction alone and in a batch, got a difference of"
            f" {off:.2g}",
        )


def _learns(subject: ScorerSubject) -> None:
    torch.manual_seed(0)
    model = subject.config.build(LAYOUT, KUAIRAND_TASKS)
    rows = select_rows(_rows()[0], np.arange(32))
    tensors = [
        torch.from_numpy(array)
        for array in (rows.features.categorical, rows.features.dense, rows.targets, rows.mask)
    ]
    optimizers: list[Any] = [torch.optim.Adam(model.dense_parameters(), lr=0.01)]
    if model.sparse_parameters():
        optimizers.append(torch.optim.SparseAdam(model.sparse_parameters(), lr=0.01))
    model.eval()  # dropout off
    first = last = 0.0
    for update in range(100):
        parts = model.losses(model.outputs(*tensors[:2]), *tensors[2:])
        loss = parts.per_task.sum() + parts.extra
        last = loss.item()
        first = first if update else last
        for optimizer in optimizers:
            optimizer.zero_grad()
        torch.autograd.backward(loss)
        for optimizer in optimizers:
            optimizer.step()
    require(
        last < 0.8 * first,
        f"100 steps on 32 rows must lower the loss below {0.8 * first:.3f}, got {last:.3f}",
    )


def _reads_back(subject: ScorerSubject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        subject.scorer.save(Path(folder))
        again = Scorer.load(Path(folder)).predict(subject.features)
    require(
        np.array_equal(again, subject.scorer.predict(subject.features)),
        "the loaded scorer must give the same predictions, got others",
    )


def _same_seed(subject: ScorerSubject) -> None:
    first, again = (
        scorer.predict(subject.features) for scorer in (subject.scorer, subject.fit(seed=0))
    )
    require(
        np.array_equal(first, again),
        "two fits with the same seed gave different predictions; draw random numbers only from"
        " torch",
    )


def _pairs(subject: ScorerSubject) -> None:
    """Check that pairs of users and videos get the logits of whole rows."""
    layout, rows = LAYOUT, subject.features
    parts = {
        side: FeatureRows(
            rows.categorical[:, [f.side == side for f in layout.categorical]],
            rows.dense[:, [c.side == side for c in layout.dense]],
        )
        for side in FeatureSide
    }
    numbers = np.arange(len(rows))
    pairs = PairScorer(
        subject.scorer.model, len(KUAIRAND_TASKS), parts[FeatureSide.USER], parts[FeatureSide.VIDEO]
    )
    split = pairs.logits(numbers, numbers, parts[FeatureSide.PAIR])
    off = np.abs(split - subject.scorer.logits(rows)).max()
    require(
        off < 1e-4,
        f"pairs must get the logits of whole rows, got a difference of {off:.2g}",
    )


def _missing(subject: ScorerSubject) -> None:
    for code in (0, 1):
        categorical = np.full_like(subject.features.categorical, code)
        blank = FeatureRows(categorical, subject.features.dense)
        predictions = subject.scorer.predict(blank)
        require(
            np.isfinite(predictions).all(),
            "predictions for missing or unseen values must be finite, got NaN or infinity",
        )


SCORER_CONTRACT = Contract(
    kind="scorer",
    registry=SCORERS,
    recognises=lambda own: hasattr(own, "build"),
    subject=lambda name: ScorerSubject(SCORERS.resolve(name)()),
    checks=(
        Check("the settings build a ScorerModel", _model),
        Check("the loss decreases on 32 rows", _learns),
        Check("probabilities are finite, in [0, 1] and differ between rows", _probabilities),
        Check("a prediction does not depend on the other rows of a batch", _row_alone),
        Check("missing and unseen values get finite predictions", _missing),
        Check("pairs of users and videos get the logits of whole rows", _pairs),
        Check("the same seed gives the same predictions", _same_seed),
        Check("a saved and loaded scorer gives the same predictions", _reads_back),
    ),
)
