"""Models of a chain over all rows: the child's probability is the parent's times a conditional one.

ESMM: p_child = p_parent q with q = P(child | parent), both fitted over all rows (Ma et al., SIGIR
2018). q is never told what it is, so it may learn P(child) in place of P(child | do(parent)).
ESCM2 adds a counterfactual risk that does: the error of q on the rows with the parent, weighted to
stand for all rows (Wang et al., SIGIR 2022, equation 14):

    L = L_parent + lambda_c R + lambda_g L_child,

and for the doubly robust risk lambda_c times the loss of its imputation.

Multi-IPW and Multi-DR (Zhang et al., "Large-scale causal approaches to debiasing post-click
conversion rate estimation with multi-task learning", WWW 2020) are lambda_g = 0; ESMM is lambda_c =
0. Tasks outside the chain have their own towers on the same trunk, and their own losses.

Differs from the papers: towers share a trunk, not the embeddings alone; the imputation is one
affine map of that trunk, which it does not train; and the child's label over all rows is its own,
not the product with the parent's, since that is what the score is to mean: the two differ in the
fraction of rows that `nesting_violations` reports.
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
    """Also the parts of the chain; `logits` holds the product for the child."""

    conditional: Tensor = field(kw_only=True)  # (batch,) logit of P(child | parent)
    imputed: Tensor | None = field(kw_only=True)  # (batch,) logit of the imputed child label


class EntireSpace(Network):
    """A shared trunk, a tower per task, and the child's logit as that of a product.

    The imputation network guesses the child's label y~ on rows without the parent, so the imputed
    error e^ = l(q, y~) follows q and the doubly robust risk teaches q on all rows. Differs from the
    paper, which predicts the error itself: held constant, as it must be, that would leave q with
    the gradient of IPS.
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
            # The trunk is not to serve the imputation, which would cost the tasks.
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
        """R over the rows `known` (batch,); gradients reach q and the imputation alone."""
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
        guesses = torch.sigmoid(outputs.imputed[known])
        floor = self.risk.propensity_floor
        taught = doubly_robust_risk(
            errors,
            cross_entropies(conditional, guesses.detach()),
            observed,
            propensities,
            floor=floor,
        )
        imputing = doubly_robust_risk(
            errors.detach(),
            cross_entropies(conditional.detach(), guesses),
            observed,
            propensities,
            floor=floor,
        )
        return CounterfactualRisk(taught.value, imputing.imputation, taught.effective_sample_size)


@dataclass(frozen=True)
class RiskWeights:
    """How the parts of the loss add up."""

    counterfactual: float = 0.0  # lambda_c
    entire_space: float = 1.0  # lambda_g
    propensity_floor: float = 1.0
    self_normalised: bool = True
    doubly_robust: bool = False
