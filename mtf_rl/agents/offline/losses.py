"""Losses of batch RL as pure functions of a minibatch.

Shapes: values and weights are (batch, 1), actions (batch, action_dim).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "AutoencoderLoss",
    "CloningLoss",
    "advantage_weights",
    "autoencoder_loss",
    "conservative_gap",
    "critic_loss",
    "expectile_loss",
    "log_mean_exp_q",
    "soft_clipped_double_q",
    "softmax_weights",
    "td3_bc_loss",
    "td_target",
]


def td_target(rewards: Tensor, dones: Tensor, next_values: Tensor, gamma: float) -> Tensor:
    """Target y = r + gamma (1 - terminated) V(s'), (batch, 1), without gradient."""
    target: Tensor = rewards + gamma * (1.0 - dones) * next_values
    return target.detach()


def critic_loss(values: Sequence[Tensor], target: Tensor) -> Tensor:
    """Loss sum_j mean (Q_j - y)^2 over the critics j."""
    return torch.stack([F.mse_loss(value, target) for value in values]).sum()


@dataclass(frozen=True)
class CloningLoss:
    """Parts of TD3+BC's actor loss."""

    total: Tensor
    value: Tensor  # mean Q
    cloning: Tensor  # mean squared distance from the logged actions
    weight: Tensor  # lambda


def td3_bc_loss(values: Tensor, actions: Tensor, logged: Tensor, *, alpha: float) -> CloningLoss:
    """Loss -lambda mean Q(s, pi(s)) + mean (pi(s) - a)^2, lambda = alpha / mean |Q(s, pi(s))|.

    TD3+BC (Fujimoto and Gu, NeurIPS 2021, eq. 3 to 5). The second mean runs over rows and action
    entries, as in the authors' code.
    """
    weight = alpha / values.detach().abs().mean().clamp_min(1e-8)
    value, cloning = values.mean(), F.mse_loss(actions, logged)
    return CloningLoss(cloning - weight * value, value.detach(), cloning.detach(), weight)


def expectile_loss(errors: Tensor, expectile: float) -> Tensor:
    """Loss mean |tau - 1{u < 0}| u^2 (IQL, Kostrikov et al., ICLR 2022, eq. 3)."""
    weight = torch.where(errors < 0.0, 1.0 - expectile, expectile)
    return (weight * errors**2).mean()


def advantage_weights(advantages: Tensor, beta: float, max_weight: float) -> Tensor:
    """min(exp(beta A), max_weight), without gradient (IQL, eq. 7, clipped as in its code)."""
    return torch.exp((beta * advantages.detach()).clamp_max(50.0)).clamp_max(max_weight)


def softmax_weights(advantages: Tensor, temperature: float) -> Tensor:
    """exp(A / lambda) divided by its mean over the minibatch (AWAC, Nair et al., 2020, eq. 13).

    Unlike the paper, which leaves out the partition function, we divide by its minibatch estimate:
    the step size then does not depend on the scale of the advantages.
    """
    return len(advantages) * torch.softmax(advantages.detach() / temperature, dim=0)


def log_mean_exp_q(values: Tensor, log_densities: Tensor) -> Tensor:
    """Log of the integral of exp Q(s, a) over actions, by importance sampling, (batch,).

    Args:
        values: Q of sampled actions, (batch, samples).
        log_densities: log densities under the sampling distributions, (batch, samples).
    """
    samples = torch.log(torch.tensor(float(values.shape[1])))
    return torch.logsumexp(values - log_densities, dim=1) - samples


def conservative_gap(values: Tensor, log_densities: Tensor, logged_values: Tensor) -> Tensor:
    """CQL(H)'s regulariser: mean of log integral exp Q - mean of Q on the data.

    CQL (Kumar et al., NeurIPS 2020, eq. 4 and appendix F). Unlike the authors' code, we divide by
    the number of samples, which changes the gap by a constant.
    """
    return log_mean_exp_q(values, log_densities).mean() - logged_values.mean()


@dataclass(frozen=True)
class AutoencoderLoss:
    """Parts of the conditional autoencoder's loss."""

    total: Tensor
    reconstruction: Tensor
    divergence: Tensor


def autoencoder_loss(
    decoded: Tensor, actions: Tensor, mean: Tensor, log_std: Tensor
) -> AutoencoderLoss:
    """Loss mean (D(s, z) - a)^2 + KL(N(mean, std^2) || N(0, 1)) / 2.

    BCQ (Fujimoto et al., ICML 2019, eq. 12). As in the authors' code, the divergence is averaged
    over latent entries too and has weight 1/2.
    """
    reconstruction = F.mse_loss(decoded, actions)
    variance = torch.exp(2.0 * log_std)
    divergence = 0.5 * (mean**2 + variance - 1.0 - 2.0 * log_std).mean()
    return AutoencoderLoss(
        reconstruction + 0.5 * divergence, reconstruction.detach(), divergence.detach()
    )


def soft_clipped_double_q(values: Tensor, fraction: float) -> Tensor:
    """Value lambda min_j Q_j + (1 - lambda) max_j Q_j (BCQ, eq. 13); j is the first axis."""
    return fraction * values.min(dim=0).values + (1.0 - fraction) * values.max(dim=0).values
