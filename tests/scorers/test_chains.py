"""Nested pairs of tasks: declaration, violations, and the order penalty."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from mtf_rl.core.errors import ConfigError
from mtf_rl.core.tasks import KUAIRAND_TASKS, Task, TaskSet
from mtf_rl.scorers import (
    AITMConfig,
    Chain,
    evaluate_scorer,
    fit_scorer,
    nesting_violations,
    order_penalty,
)
from tests.scorers.examples import LAYOUT, QUICK, SMALL, example_rows

ROWS = example_rows(4000, seed=1)
VALIDATION = example_rows(1000, seed=2)


def test_violations_by_hand() -> None:
    # Three rows without a click are in the sample space; one has a long view.
    targets = np.zeros((5, 8), dtype=np.float32)
    targets[0, [0, 1]] = 1.0
    targets[1, 1] = 1.0
    targets[4, 1] = 1.0
    mask = np.ones((5, 8), dtype=bool)
    mask[4, 1] = False
    pair = Chain().among(KUAIRAND_TASKS)
    assert (pair.parent, pair.child, pair.columns) == ("click", "long_view", (0, 1))
    assert nesting_violations(targets, mask, pair) == pytest.approx(1 / 3)
    assert nesting_violations(ROWS.targets, ROWS.mask, pair) == 0.0
    assert np.isnan(nesting_violations(np.ones((5, 8)), mask, pair))


def test_an_undeclared_chain_raises_an_error() -> None:
    with pytest.raises(ConfigError, match="chain click -> like is not declared"):
        Chain("click", "like").among(KUAIRAND_TASKS)


@pytest.mark.parametrize("name", ["esmm", "escm2_dr", "aitm"])
def test_a_scorer_with_a_chain_raises_an_error_on_tasks_without_one(name: str) -> None:
    tasks = TaskSet((Task("buy"), Task("save")))
    with pytest.raises(ConfigError, match=r"Declared: none\. .*use a scorer without a chain"):
        SMALL[name].build(LAYOUT, tasks)


@pytest.mark.parametrize("name", ["esmm", "aitm"])
def test_fitting_on_rows_that_violate_the_chain_only_warns(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    targets = ROWS.targets.copy()
    targets[:, 1] = 1.0 - targets[:, 0]
    rng = np.random.default_rng(0)
    with caplog.at_level(logging.WARNING):
        fit_scorer(SMALL[name], QUICK, LAYOUT, replace(ROWS, targets=targets), VALIDATION, rng=rng)
    assert "100.0 % of the training rows without click have long_view" in caplog.text
    caplog.clear()
    fit_scorer(SMALL[name], QUICK, LAYOUT, ROWS, VALIDATION, rng=rng)
    assert caplog.text == ""


def violations(weight: float) -> float:
    """Fraction of rows on which AITM predicts long_view above click."""
    small = SMALL["aitm"]
    assert isinstance(small, AITMConfig)
    config = replace(small, calibrator_weight=weight)
    # long_view labels are redrawn, so only the penalty keeps long_view below click.
    targets = ROWS.targets.copy()
    targets[:, 1] = np.random.default_rng(5).random(len(ROWS)) < 0.5
    settings = replace(QUICK, max_epochs=2, monitor_tasks=("click",))
    rows = replace(ROWS, targets=targets)
    fitted = fit_scorer(config, settings, LAYOUT, rows, VALIDATION, rng=np.random.default_rng(0))
    logits = torch.from_numpy(fitted.scorer.logits(VALIDATION.features))
    return order_penalty(logits[:, 0], logits[:, 1]).rate.item()


def test_the_calibrator_lowers_violations() -> None:
    assert violations(weight=5.0) < 0.5 * violations(weight=0.0)


def test_order_weight_lowers_violations_of_any_model() -> None:
    targets = ROWS.targets.copy()
    targets[:, 1] = np.random.default_rng(5).random(len(ROWS)) < 0.5
    rows = replace(ROWS, targets=targets)

    def excess(weight: float) -> float:
        settings = replace(QUICK, order_weight=weight, monitor_tasks=("click",))
        fitted = fit_scorer(
            SMALL["mmoe"], settings, LAYOUT, rows, VALIDATION, rng=np.random.default_rng(0)
        )
        p = 1 / (1 + np.exp(-fitted.scorer.logits(VALIDATION.features)))
        return float(np.maximum(p[:, 1] - p[:, 0], 0).mean())

    assert excess(5.0) < 0.5 * excess(0.0)


def test_esmm_recovers_known_effects() -> None:
    fitted = fit_scorer(
        SMALL["esmm"],
        replace(QUICK, max_epochs=4),
        LAYOUT,
        ROWS,
        VALIDATION,
        rng=np.random.default_rng(0),
    )
    report = evaluate_scorer(fitted.scorer, example_rows(3000, seed=4))
    assert report["long_view"].auc > 0.8
    assert report["long_view"].ece < 0.05
