"""The multi-task loss against hand sums, loops and scikit-learn."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mtf_rl.core.arrays import BoolArray, FloatArray
from mtf_rl.scorers import FixedWeights, multi_task_loss

SHAPE = (5, 3)
LOGITS = arrays(np.float32, SHAPE, elements=st.floats(-8, 8, width=32))
SHARES = arrays(np.float32, SHAPE, elements=st.floats(0, 1, width=32))
MASKS = arrays(np.bool_, SHAPE)


def test_by_hand() -> None:
    # Task 0: -ln sigmoid(0) = ln 2 on its one row. Task 1: ln 2 twice, whatever the labels.
    losses = multi_task_loss(
        logits=torch.zeros(2, 2),
        targets=torch.tensor([[1.0, 0.0], [1.0, 0.3]]),
        mask=torch.tensor([[True, True], [False, True]]),
        task_weights=torch.tensor([3.0, 0.5]),
    )
    assert losses.per_task.tolist() == pytest.approx([math.log(2), math.log(2)])
    assert losses.total.item() == pytest.approx(3.5 * math.log(2))


@given(LOGITS, SHARES, MASKS)
def test_agrees_with_a_loop(logits: FloatArray, targets: FloatArray, mask: BoolArray) -> None:
    expected = []
    for task in range(SHAPE[1]):
        p = 1.0 / (1.0 + np.exp(-logits[:, task].astype(float)))
        y = targets[:, task]
        terms = -(y * np.log(p) + (1 - y) * np.log(1 - p))
        expected.append(sum(terms[mask[:, task]]) / max(1, mask[:, task].sum()))
    weights = torch.tensor([1.0, 2.0, 0.0])
    losses = multi_task_loss(
        torch.from_numpy(logits), torch.from_numpy(targets), torch.from_numpy(mask), weights
    )
    assert losses.per_task.numpy() == pytest.approx(np.array(expected), rel=1e-4, abs=1e-5)
    total = expected[0] + 2 * expected[1]
    assert losses.total.item() == pytest.approx(total, rel=1e-4, abs=1e-5)


def test_a_row_outside_the_sample_space_passes_no_gradient_even_if_its_label_is_nan() -> None:
    logits = torch.zeros(2, 1, requires_grad=True)
    mask = torch.tensor([[True], [False]])
    losses = multi_task_loss(logits, torch.tensor([[1.0], [math.nan]]), mask, torch.ones(1))
    losses.total.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad.flatten().tolist() == [-0.5, 0.0]


def test_a_task_with_no_row_costs_nothing() -> None:
    losses = multi_task_loss(
        torch.ones(2, 1), torch.ones(2, 1), torch.zeros(2, 1, dtype=torch.bool), torch.ones(1)
    )
    assert losses.total.item() == 0.0


def test_large_logits_stay_finite() -> None:
    losses = multi_task_loss(
        torch.tensor([[200.0]]), torch.zeros(1, 1), torch.ones(1, 1), torch.ones(1)
    )
    assert losses.total.item() == pytest.approx(200.0)


def test_fixed_weights_do_not_change_with_progress() -> None:
    weighting = FixedWeights((1.0, 0.25))
    assert weighting(0.0).tolist() == weighting(1.0).tolist() == [1.0, 0.25]
