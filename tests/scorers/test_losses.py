"""Losses of scorers against hand calculations, loops and scikit-learn."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mtf_rl.core.arrays import BoolArray, FloatArray
from mtf_rl.scorers import (
    doubly_robust_risk,
    inverse_propensity_risk,
    order_penalty,
    product_logit,
    task_losses,
)

SHAPE = (5, 3)
LOGITS = arrays(np.float32, SHAPE, elements=st.floats(-8, 8, width=32))
SHARES = arrays(np.float32, SHAPE, elements=st.floats(0, 1, width=32))
MASKS = arrays(np.bool_, SHAPE)


def test_task_losses_by_hand() -> None:
    # Task 0: -ln sigmoid(0) = ln 2 on its one row. Task 1: ln 2 on both rows, for any label.
    losses = task_losses(
        logits=torch.zeros(2, 2),
        targets=torch.tensor([[1.0, 0.0], [1.0, 0.3]]),
        mask=torch.tensor([[True, True], [False, True]]),
    )
    assert losses.tolist() == pytest.approx([math.log(2), math.log(2)])


@given(LOGITS, SHARES, MASKS)
def test_task_losses_equal_a_loop(logits: FloatArray, targets: FloatArray, mask: BoolArray) -> None:
    expected = []
    for task in range(SHAPE[1]):
        p = 1.0 / (1.0 + np.exp(-logits[:, task].astype(float)))
        y = targets[:, task]
        terms = -(y * np.log(p) + (1 - y) * np.log(1 - p))
        expected.append(sum(terms[mask[:, task]]) / max(1, mask[:, task].sum()))
    losses = task_losses(
        torch.from_numpy(logits), torch.from_numpy(targets), torch.from_numpy(mask)
    )
    assert losses.numpy() == pytest.approx(np.array(expected), rel=1e-4, abs=1e-5)


def test_a_row_outside_the_sample_space_passes_no_gradient_even_if_its_label_is_nan() -> None:
    logits = torch.zeros(2, 1, requires_grad=True)
    mask = torch.tensor([[True], [False]])
    task_losses(logits, torch.tensor([[1.0], [math.nan]]), mask).sum().backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad.flatten().tolist() == [-0.5, 0.0]


def test_a_task_without_rows_has_zero_loss() -> None:
    losses = task_losses(torch.ones(2, 1), torch.ones(2, 1), torch.zeros(2, 1, dtype=torch.bool))
    assert losses.item() == 0.0


def test_task_losses_are_finite_at_large_logits() -> None:
    losses = task_losses(torch.tensor([[200.0]]), torch.zeros(1, 1), torch.ones(1, 1))
    assert losses.item() == pytest.approx(200.0)


@given(st.floats(-30, 30), st.floats(-30, 30))
def test_product_logit_is_the_logit_of_the_product(first: float, second: float) -> None:
    a, b = torch.tensor(first, dtype=torch.float64), torch.tensor(second, dtype=torch.float64)
    product = torch.sigmoid(a) * torch.sigmoid(b)
    got = product_logit(a, b)
    assert torch.sigmoid(got).item() == pytest.approx(product.item(), rel=1e-9)
    assert got.item() <= min(first, second) + 1e-9


def test_product_logit_has_a_gradient_where_the_product_is_one_or_zero() -> None:
    for value in (80.0, -80.0):
        logits = torch.full((2,), value, requires_grad=True)
        product_logit(logits[0], logits[1]).backward()  # type: ignore[no-untyped-call]
        assert logits.grad is not None
        assert torch.isfinite(logits.grad).all()
        assert (logits.grad > 0.4).all()


def selected_rows(
    rows: int, seed: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rows whose errors rise with their propensity: (errors, propensities, r, draws)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=rows)
    propensities = np.clip(1 / (1 + np.exp(-1.5 * x)), 0.1, 0.9)
    truth = 1 / (1 + np.exp(-x))
    labels = (rng.random(rows) < truth).astype(float)
    prediction = 0.3
    errors = -(labels * np.log(prediction) + (1 - labels) * np.log(1 - prediction))
    expected = -(truth * np.log(prediction) + (1 - truth) * np.log(1 - prediction))
    return (
        torch.from_numpy(errors),
        torch.from_numpy(propensities),
        torch.from_numpy(expected),
        torch.from_numpy(rng.random((400, rows))),
    )


ERRORS, PROPENSITIES, EXPECTED, DRAWS = selected_rows(300, seed=0)
WRONG_PROPENSITIES = torch.full_like(PROPENSITIES, 0.5)
WRONG_ERRORS = torch.full_like(EXPECTED, 0.2)


def estimates(estimate: Callable[[torch.Tensor], torch.Tensor]) -> FloatArray:
    """Estimates from 400 draws of the observed rows with the true propensities."""
    observed = (DRAWS < PROPENSITIES).double()
    return np.array([estimate(row).item() for row in observed])


def is_unbiased(values: FloatArray) -> bool:
    """Whether the mean of `values` is within 3 standard errors of the full-information risk."""
    error = values.std(ddof=1) / math.sqrt(len(values))
    return bool(abs(values.mean() - ERRORS.mean().item()) < 3 * error)


def ips(propensities: torch.Tensor, *, self_normalised: bool) -> FloatArray:
    return estimates(
        lambda observed: (
            inverse_propensity_risk(
                ERRORS, observed, propensities, floor=0.01, self_normalised=self_normalised
            ).value
        )
    )


def dr(propensities: torch.Tensor, imputed: torch.Tensor) -> FloatArray:
    return estimates(
        lambda observed: (
            doubly_robust_risk(ERRORS, imputed, observed, propensities, floor=0.01).value
        )
    )


def test_risks_are_unbiased_with_true_propensities_and_the_naive_mean_is_biased() -> None:
    assert is_unbiased(ips(PROPENSITIES, self_normalised=False))
    assert is_unbiased(dr(PROPENSITIES, WRONG_ERRORS))
    assert not is_unbiased(estimates(lambda observed: ERRORS[observed > 0].mean()))
    assert not is_unbiased(ips(WRONG_PROPENSITIES, self_normalised=False))
    # SNIPS is consistent, not unbiased: closer than the naive mean, with less variance than IPS.
    snips = ips(PROPENSITIES, self_normalised=True)
    assert abs(snips.mean() - ERRORS.mean().item()) < 0.01
    assert snips.std() < ips(PROPENSITIES, self_normalised=False).std()


def test_dr_is_unbiased_with_true_imputed_errors_and_biased_if_both_parts_are_wrong() -> None:
    assert dr(WRONG_PROPENSITIES, ERRORS) == pytest.approx(ERRORS.mean().item())  # in every draw
    assert not is_unbiased(dr(WRONG_PROPENSITIES, WRONG_ERRORS))
    # A good imputation also reduces variance.
    assert dr(PROPENSITIES, EXPECTED).std() < dr(PROPENSITIES, WRONG_ERRORS).std()


def test_risks_by_hand() -> None:
    errors = torch.tensor([1.0, 3.0, math.nan])
    observed = torch.tensor([1.0, 1.0, 0.0])
    propensities = torch.tensor([0.5, 0.01, 0.9])
    risk = inverse_propensity_risk(errors, observed, propensities, floor=0.25)
    # Weights 1 / 0.5 = 2 and 1 / 0.25 = 4: (2 + 12) / 6; (2 + 4)^2 / (4 + 16).
    assert risk.value.item() == pytest.approx(14 / 6)
    assert risk.effective_sample_size.item() == pytest.approx(36 / 20)
    plain = inverse_propensity_risk(
        errors, observed, propensities, floor=0.25, self_normalised=False
    )
    assert plain.value.item() == pytest.approx(14 / 3)
    imputed = torch.tensor([1.0, 1.0, 2.0])
    robust = doubly_robust_risk(errors, imputed, observed, propensities, floor=0.25)
    # Imputed 1 + 1 + 2, corrections 2 (1 - 1) + 4 (3 - 1): 12 / 3; imputation 4 x 2^2 / 3.
    assert robust.value.item() == pytest.approx(4.0)
    assert robust.imputation.item() == pytest.approx(16 / 3)


def test_no_gradient_passes_through_the_propensity() -> None:
    errors = torch.ones(4, requires_grad=True)
    propensities = torch.full((4,), 0.5, requires_grad=True)
    observed = torch.tensor([1.0, 0.0, 1.0, 0.0])
    for risk in (
        inverse_propensity_risk(errors, observed, propensities, floor=0.1),
        doubly_robust_risk(errors, errors * 0.5, observed, propensities, floor=0.1),
    ):
        (risk.value + risk.imputation).backward()  # type: ignore[no-untyped-call]
        assert propensities.grad is None


def test_without_an_observed_row_the_risk_is_zero() -> None:
    errors, none = torch.full((3,), math.nan), torch.zeros(3)
    risk = inverse_propensity_risk(errors, none, torch.full((3,), 0.5), floor=0.1)
    assert (risk.value.item(), risk.effective_sample_size.item()) == (0.0, 0.0)


def test_order_penalty_by_hand() -> None:
    # Child 0.75 and 0.25, parent 0.5: only the first row violates the order, by 0.25.
    parent = torch.tensor([0.0, 0.0])
    child = torch.logit(torch.tensor([0.75, 0.25]))
    penalty = order_penalty(parent, child)
    assert penalty.excess.item() == pytest.approx(0.125)
    assert penalty.rate.item() == 0.5
    doubled = order_penalty(parent.repeat(2), child.repeat(2))
    assert doubled.excess.item() == pytest.approx(0.125)  # a mean, not a sum
