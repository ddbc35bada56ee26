"""Entire-space models: the child's probability is the parent's times a conditional probability.

ESMM: p_child = p_parent q with q = P(child | parent), both fitted on all rows (Ma et al., SIGIR
2018). No loss term constrains q itself, so q may fit P(child) instead of P(child | do(parent)).
ESCM2 adds a counterfactual risk R for q: its error on the rows with the parent, weighted to
represent all rows (Wang et al., SIGIR 2022, equation 14):

    L = L_parent + lambda_c R + lambda_g L_child.

The doubly robust risk also adds lambda_c times the loss of its imputation.

Multi-IPW and Multi-DR (Zhang et al., "Large-scale causal approaches to debiasing post-click
conversion rate estimation with multi-task learning", WWW 2020) have lambda_g = 0; ESMM has
lambda_c = 0. Tasks outside the pair have their own towers on the same trunk, and their own losses.

Unlike the papers:

- Towers share a trunk, and not only the embeddings.
- The imputation is one affine map of that trunk; its loss does not train the trunk.
- The child's label on all rows is the child's own label, not its product with the parent's, because
  the score predicts the child itself. `nesting_violations` reports how often the two differ.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from typing_extensions import override

from mtf_rl.core.tasks import TaskSet
from mtf_rl.data import FeatureLayout
from mtf_rl.scorers.configs import ESMMConfig
from mtf_rl.scorers.layers import GroupedLinear, GroupedMLP, InputLayer, Towers
from mtf_rl.scorers.losses import (
    CounterfactualRisk,
    cross_entropies,
    doubly_robust_risk,
    inverse_propensity_risk,
    product_logit,
)
from mtf_rl.scorers.model import ModelLosses, Network, NetworkOutputs, Outputs, Reader

__all__ = ["EntireSpace", "EntireSpaceOutputs", "RiskWeights"]


@dataclass(frozen=True)
class EntireSpaceOutputs(NetworkOutputs):
    """Network outputs whose child logit is the product's, with the factors of the product."""

    conditional: Tensor = field(kw_only=True)  # (batch,) logit of P(child | parent)
    imputed: Tensor | None = field(kw_only=True)  # (batch,) logit of the imputed child label


class EntireSpace(Network):
    """A shared trunk and one tower per task; the child's logit is that of a product.

    The imputation network predicts the child's label y~ on rows without the parent. The imputed
    error e^ = l(q, y~) depends on q, so the doubly robust risk fits q on all rows. Unlike the
    paper, we do not predict the error itself: it would be constant in q, and q would get only the
    gradient of IPS.
    """

    def __init__(
        self, config: "ESMMConfig", layout: FeatureLayout, tasks: TaskSet, risk: "RiskWeights"
    ) -> None:
        super().__init__()
        self.pair = self.chain = config.chain.among(tasks)
        self.risk = risk
        self.input = InputLayer(layout, config.embedding_dim, config.dense_bins)
        self.trunk = GroupedMLP(1, self.input.width, config.trunk_widths, config.dropout)
        self.towers = Towers(
            self.trunk.width,
            config.tower_widths,
            config.dropout,
            config.watch_head,
            tasks=tasks,
        )
        self.imputation = GroupedLinear(1, self.trunk.width, 1) if risk.doubly_robust else None

    @override
    def readers(self) -> tuple[Reader, ...]:
        return (self.trunk.reader,)

    @override
    def combine(self, read: Sequence[Tensor]) -> EntireSpaceOutputs:
        parent, child = self.pair.columns
        shared = self.trunk.after_reading(read[0])  # (1, batch, width)
        towers = self.towers(shared.expand(len(self.towers.tasks), -1, -1))
        conditional = towers.logits[:, child]
        columns = list(towers.logits.unbind(dim=1))
        columns[child] = product_logit(columns[parent], conditional)
        imputed = None
        if self.imputation is not None:
            # Detached: training the trunk for the imputation would hurt the tasks.
            imputed = self.imputation(shared.detach())[0, :, 0]
        return EntireSpaceOutputs(
            torch.stack(columns, dim=1), towers.watch, conditional=conditional, imputed=imputed
        )

    @override
    def losses(self, outputs: Outputs, targets: Tensor, mask: Tensor) -> ModelLosses:
        assert isinstance(outputs, EntireSpaceOutputs)
        losses = super().losses(outputs, targets, mask)
        if self.risk.counterfactual == 0.0:
            return losses
        known = mask[:, list(self.pair.columns)].all(dim=1)  # (batch,)
        risk = self.counterfactual_risk(outputs, targets, known)
        scale = torch.ones_like(losses.per_task)
        scale[self.pair.columns[1]] = self.risk.entire_space
        return ModelLosses(
            per_task=losses.per_task * scale,
            extra=self.risk.counterfactual * (risk.value + risk.imputation),
            measures={
                "counterfactual_risk": risk.value.detach(),
                "effective_sample_size": risk.effective_sample_size.detach(),
            },
        )

    def counterfactual_risk(
        self, outputs: EntireSpaceOutputs, targets: Tensor, known: Tensor
    ) -> CounterfactualRisk:
        """The risk R on the rows `known` (batch,) bool; only q and the imputation get gradients."""
        parent, child = self.pair.columns
        observed = targets[known, parent]  # (rows,)
        labels = torch.where(observed > 0, targets[known, child], 0.0)
        propensities = torch.sigmoid(outputs.logits[known, parent])
        conditional = outputs.conditional[known]
        errors = cross_entropies(conditional, labels)
        if outputs.imputed is None:
            return inverse_propensity_risk(
                errors,
                observed,
                propensities,
                floor=self.risk.propensity_floor,
                self_normalised=self.risk.self_normalised,
            )
        imputed_labels = torch.sigmoid(outputs.imputed[known])
        floor = self.risk.propensity_floor
        conditional_risk = doubly_robust_risk(
            errors,
            cross_entropies(conditional, imputed_labels.detach()),
            observed,
            propensities,
            floor=floor,
        )
        imputation_risk = doubly_robust_risk(
            errors.detach(),
            cross_entropies(conditional.detach(), imputed_labels),
            observed,
            propensities,
            floor=floor,
        )
        return CounterfactualRisk(
            conditional_risk.value,
            imputation_risk.imputation,
            conditional_risk.effective_sample_size,
        )


@dataclass(frozen=True)
class RiskWeights:
    """Weights of the loss terms and options of the counterfactual risk."""

    counterfactual: float = 0.0  # lambda_c
    entire_space: float = 1.0  # lambda_g
    propensity_floor: float = 1.0
    self_normalised: bool = True
    doubly_robust: bool = False
