"""The contract of all registered scorers."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache
from multiprocessing import get_context

import numpy as np
import pytest
import torch

from mtf_rl.core.arrays import select_rows
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.data import FeatureRows
from mtf_rl.scorers import (
    SCORERS,
    FittedScorer,
    Scorer,
    ScorerModel,
    fit_scorer,
    scorer_name,
    task_losses,
)
from tests.scorers.examples import LAYOUT, QUICK, SMALL, example_rows, random_features

TRAIN, VALIDATION = example_rows(600, seed=1), example_rows(300, seed=2)
FEATURES = random_features(200, seed=3)

pytestmark = pytest.mark.parametrize("name", SCORERS)


def fit(name: str, seed: int = 0) -> FittedScorer:
    return fit_scorer(
        SMALL[name], QUICK, LAYOUT, TRAIN, VALIDATION, rng=np.random.default_rng(seed)
    )


def fit_digest(name: str, seed: int = 0) -> str:
    """A hash of the weights, for comparison across processes."""
    state = fit(name, seed).scorer.model.state_dict()
    content = b"".join(value.numpy().tobytes() for value in state.values())
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(scope="module")
def other_process() -> Iterator[ProcessPoolExecutor]:
    """One fresh interpreter for all scorers: starting it takes longer than fitting."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        yield pool


@pytest.fixture
def model(name: str) -> ScorerModel:
    torch.manual_seed(0)
    return SMALL[name].build(LAYOUT)


@pytest.fixture
def scorer(name: str) -> Scorer:
    return fitted_once(name)


@cache
def fitted_once(name: str) -> Scorer:
    return fit(name).scorer


def losses(model: ScorerModel, rows: int) -> torch.Tensor:
    batch = select_rows(TRAIN, np.arange(rows))
    outputs = model.outputs(
        torch.from_numpy(batch.features.categorical), torch.from_numpy(batch.features.dense)
    )
    parts = model.losses(outputs, torch.from_numpy(batch.targets), torch.from_numpy(batch.mask))
    return parts.per_task.sum() + parts.extra


def errors(model: ScorerModel, rows: int) -> float:
    """The sum of all tasks' cross-entropies, independent of the model's own loss."""
    batch = select_rows(TRAIN, np.arange(rows))
    logits = model(
        torch.from_numpy(batch.features.categorical), torch.from_numpy(batch.features.dense)
    )
    targets, mask = torch.from_numpy(batch.targets), torch.from_numpy(batch.mask)
    return task_losses(logits, targets, mask).sum().item()


def test_is_registered_under_its_name(name: str) -> None:
    assert scorer_name(SCORERS[name]()) == name
    assert type(SMALL[name]) is SCORERS[name]


def test_probabilities_are_finite_and_in_the_unit_interval(scorer: Scorer) -> None:
    predictions = scorer.predict(FEATURES)
    assert predictions.shape == (200, len(KUAIRAND_TASKS))
    assert predictions.dtype == np.float32
    assert np.isfinite(predictions).all()
    assert ((predictions >= 0) & (predictions <= 1)).all()
    assert predictions.std(axis=0).min() > 1e-4


def test_row_order_is_irrelevant(scorer: Scorer) -> None:
    order = np.random.default_rng(0).permutation(len(FEATURES))
    shuffled = scorer.predict(select_rows(FEATURES, order))
    assert shuffled == pytest.approx(scorer.predict(FEATURES)[order], abs=1e-6)


def test_every_weight_receives_a_gradient(model: ScorerModel) -> None:
    losses(model, rows=600).backward()  # type: ignore[no-untyped-call]
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        gradient = parameter.grad.to_dense()
        # A ReLU unit may be 0 for all rows, a gate or a whole expert may not.
        for group in gradient if gradient.dim() == 3 else [gradient]:
            assert group.abs().max() > 0, parameter_name


def test_memorises_32_rows(model: ScorerModel) -> None:
    optimizers = (
        torch.optim.Adam(model.dense_parameters(), lr=0.01),
        torch.optim.SparseAdam(model.sparse_parameters(), lr=0.01),
    )
    model.eval()  # dropout off
    before = errors(model, rows=32)
    for _ in range(300):
        for optimizer in optimizers:
            optimizer.zero_grad()
        losses(model, rows=32).backward()  # type: ignore[no-untyped-call]
        for optimizer in optimizers:
            optimizer.step()
    watch = TRAIN.targets[:32, 7].astype(float)
    unreachable = -(watch * np.log(watch) + (1 - watch) * np.log1p(-watch)).mean()
    assert errors(model, rows=32) - unreachable < 0.05 * (before - unreachable)


def test_results_depend_on_the_seed_and_not_on_the_process(
    name: str, other_process: ProcessPoolExecutor
) -> None:
    digest = fit_digest(name)
    assert fit_digest(name) == digest
    assert fit_digest(name, seed=1) != digest
    assert other_process.submit(fit_digest, name).result() == digest


@pytest.mark.parametrize("code", [0, 1], ids=["missing", "unseen"])
def test_missing_and_unseen_values_are_scored(scorer: Scorer, code: int) -> None:
    blank = FeatureRows(np.full_like(FEATURES.categorical, code), FEATURES.dense)
    predictions = scorer.predict(blank)
    assert np.isfinite(predictions).all()
    # Without known users, predictions must still be within a wide band of the overall mean.
    assert predictions.mean(axis=0) == pytest.approx(scorer.predict(FEATURES).mean(axis=0), abs=0.2)


def test_a_task_without_positive_rows_gets_low_scores_and_does_not_affect_others(name: str) -> None:
    targets = TRAIN.targets.copy()
    targets[:, 3] = 0.0
    validation_targets = VALIDATION.targets.copy()
    validation_targets[:, 3] = 0.0
    fitted = fit_scorer(
        SMALL[name],
        QUICK,
        LAYOUT,
        replace(TRAIN, targets=targets),
        replace(VALIDATION, targets=validation_targets),
        rng=np.random.default_rng(0),
    )
    predictions = fitted.scorer.predict(FEATURES)
    assert np.isfinite(predictions).all()
    assert predictions[:, 3].max() < 0.01
    assert np.corrcoef(predictions[:, 0], fitted_once(name).predict(FEATURES)[:, 0])[0, 1] > 0.8
