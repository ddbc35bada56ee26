"""Losses of scorers: pure functions of a batch that return named parts."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

__all__ = [
    "CounterfactualRisk",
    "OrderPenalty",
    "cross_entropies",
    "doubly_robust_risk",
    "inverse_propensity_risk",
    "masked_means",
    "order_penalty",
    "product_logit",
    "task_losses",
]


def cross_entropies(logits: Tensor, targets: Tensor) -> Tensor:
    """L = -[y log sigmoid(z) + (1 - y) log(1 - sigmoid(z))] in nats, elementwise.

    `targets` are labels in [0, 1].
    """
    return binary_cross_entropy_with_logits(logits, targets, reduction="none")


def masked_means(losses: Tensor, mask: Tensor) -> Tensor:
    """L_k = sum_n m_nk l_nk / max(1, sum_n m_nk), (tasks,), of losses (batch, tasks).

    `mask` (batch, tasks) is bool, or the weight of the row for the task. Weight 0 excludes a row: a
    row outside a task's sample space must not count as a negative.
    """
    weights = mask.to(losses.dtype)  # (batch, tasks)
    return (weights * losses).sum(dim=0) / weights.sum(dim=0).clamp(min=1.0)


def task_losses(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """The mean cross-entropy of each task over its sample space, (tasks,).

    Args:
        logits: (batch, tasks).
        targets: (batch, tasks) in [0, 1]; values outside the sample space are ignored.
        mask: (batch, tasks), bool or the weight of the row for the task.
    """
    known = torch.where(mask > 0, targets, 0.0)
    return masked_means(cross_entropies(logits, known), mask)


def product_logit(first: Tensor, second: Tensor) -> Tensor:
    """The logit of sigmoid(a) sigmoid(b), any shape: -log(e^-a + e^-b + e^-(a + b)).

    ESMM's loss is the cross-entropy of this logit; the log-space form is numerically stable. Source
    of the product: Ma et al., "Entire space multi-task model", SIGIR 2018, equation 1.
    """
    return -torch.logsumexp(torch.stack([-first, -second, -first - second]), dim=0)


@dataclass(frozen=True)
class CounterfactualRisk:
    """An estimate of the mean error over all rows from the errors on the observed rows."""

    value: Tensor  # (), its gradient reaches the errors only, not the propensities
    imputation: Tensor  # (), loss for fitting the imputed errors; 0 without imputation
    effective_sample_size: Tensor  # (), (sum w)^2 / sum w^2 over the observed rows' weights


def inverse_propensity_risk(
    errors: Tensor,
    observed: Tensor,
    propensities: Tensor,
    *,
    floor: float,
    self_normalised: bool = True,
) -> CounterfactualRisk:
    """IPS: R = (1 / |D|) sum_D o e / p; SNIPS divides by sum_D o / p in place of |D|.

    IPS is unbiased if p is the true probability of o. Unlike the paper, we use p = max(propensity,
    floor), and SNIPS by default with a divisor of at least 1. We also stop the gradient at p;
    otherwise the model could lower the risk by predicting higher propensities.

    Source: Wang et al., "ESCM2: entire space counterfactual multi-task model for post-click
    conversion rate estimation", SIGIR 2022, equation 9; self-normalisation: Swaminathan and
    Joachims, "The self-normalized estimator for counterfactual learning", NeurIPS 2015.

    Args:
        errors: (batch,) at least 0; used only where observed.
        observed: (batch,) 0/1.
        propensities: (batch,) probability that the row is observed.
        floor: minimum propensity, in (0, 1].
        self_normalised: SNIPS if True, else IPS; the scale of SNIPS does not depend on the weights.
    """
    weights = _weights(observed, propensities, floor)  # (batch,)
    known = torch.where(observed > 0, errors, 0.0)
    total = weights.sum().clamp(min=1.0) if self_normalised else float(len(weights))
    value = (weights * known).sum() / total
    return CounterfactualRisk(value, value.new_zeros(()), _effective_sample_size(weights))


def doubly_robust_risk(
    errors: Tensor,
    imputed_errors: Tensor,
    observed: Tensor,
    propensities: Tensor,
    *,
    floor: float,
) -> CounterfactualRisk:
    """DR: R = (1 / |D|) sum_D [e^ + o (e - e^) / p], unbiased if p or e^ is right.

    p is floored and held constant, as in `inverse_propensity_risk`.

    `imputation` is (1 / |D|) sum_D o (e - e^)^2 / p. The caller decides which parameters each part
    trains: see `entire_space`. Source: Wang et al. 2022 (ESCM2), equations 11 and 12.

    Args:
        errors: (batch,) at least 0; used only where observed.
        imputed_errors: (batch,) at least 0, on all rows.
        observed: (batch,) 0/1.
        propensities: (batch,) probability that the row is observed.
        floor: minimum propensity, in (0, 1].
    """
    weights = _weights(observed, propensities, floor)  # (batch,)
    gaps = torch.where(observed > 0, errors - imputed_errors, 0.0)
    return CounterfactualRisk(
        value=(imputed_errors + weights * gaps).mean(),
        imputation=(weights * gaps**2).mean(),
        effective_sample_size=_effective_sample_size(weights),
    )


@dataclass(frozen=True)
class OrderPenalty:
    """Violation of p_child <= p_parent in a model's predictions."""

    excess: Tensor  # (), mean of max(p_child - p_parent, 0)
    rate: Tensor  # (), fraction of rows with p_child > p_parent


def order_penalty(parent_logits: Tensor, child_logits: Tensor) -> OrderPenalty:
    """AITM's behavioural calibrator, mean_n max(p_child - p_parent, 0), and the violation rate.

    Source: Xi et al., "Modeling the sequential dependence among audience multi-step conversions
    with multi-task learning", KDD 2021, equation 7; equation 4 of Wang et al., "Multi-task deep
    recommender systems: a survey", 2023 (arXiv 2302.03525): P(parent, not child) = p_parent -
    p_child is at least 0. The penalty is a mean over rows, so its weight does not depend on the
    batch size.

    Args:
        parent_logits: (batch,).
        child_logits: (batch,).
    """
    excess = torch.sigmoid(child_logits) - torch.sigmoid(parent_logits)  # (batch,)
    rate = (excess.detach() > 0).to(excess.dtype).mean()
    return OrderPenalty(excess.clamp(min=0.0).mean(), rate)


def _weights(observed: Tensor, propensities: Tensor, floor: float) -> Tensor:
    return observed / propensities.detach().clamp(min=floor)


def _effective_sample_size(weights: Tensor) -> Tensor:
    return weights.sum() ** 2 / (weights**2).sum().clamp(min=torch.finfo(weights.dtype).tiny)
