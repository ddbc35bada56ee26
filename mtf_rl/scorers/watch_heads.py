"""How time is modelled: what a head's parameters say about min(seconds, cap) of a task in seconds.

Every head states the expected share E[min(play, cap)] / cap as a logit, which is what calibration,
metrics and fusion take, and a loss in nats a row. Its first parameter is the watch tower's logit.
The cap is the task's, 120 s for KuaiRand's `watch`.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid, softplus
from typing_extensions import override

from mtf_rl.core.registry import Registry

__all__ = ["WATCH_HEADS", "LogNormalHead", "ShareHead", "SurvivalHead", "WatchHead"]

SHARE_FLOOR = 1e-6
# Below this the log-normal's quotients overflow; above 5 its mean has no meaning any more.
SIGMA_RANGE = (0.05, 5.0)
# Thresholds of a cap of 120 s; those of another cap are in proportion. KuaiRand's of a valid play
# and a long view are among them.
SURVIVAL_SECONDS = (0.0, 3.0, 7.0, 12.0, 18.0, 30.0, 60.0, 90.0)
SURVIVAL_CAP_SECONDS = 120.0


class WatchHead(ABC):
    """A model of play time, given its parameters for each row.

    Args:
        cap_seconds: from which longer plays count the same.
    """

    parameters: int
    """How many numbers describe a row."""

    def __init__(self, cap_seconds: float) -> None:
        self.cap_seconds = cap_seconds

    @abstractmethod
    def logit(self, parameters: Tensor) -> Tensor:
        """The logit of the expected share, (batch,), of `parameters` (batch, parameters)."""

    @abstractmethod
    def loss(self, parameters: Tensor, fractions: Tensor) -> Tensor:
        """Nats of each row, (batch,), whose share played is `fractions` (batch,) in [0, 1]."""


class ShareHead(WatchHead):
    """The share itself as a soft label of a cross-entropy."""

    parameters = 1

    @override
    def logit(self, parameters: Tensor) -> Tensor:
        return parameters[:, 0]

    @override
    def loss(self, parameters: Tensor, fractions: Tensor) -> Tensor:
        return binary_cross_entropy_with_logits(parameters[:, 0], fractions, reduction="none")


class LogNormalHead(WatchHead):
    """Zero-inflated log-normal play time, censored at the cap.

    P(play > 0) = p; log play ~ N(mu, sigma^2) where it is positive. With z = (ln c - mu) / sigma,
    E[min(play, c)] = p [exp(mu + sigma^2 / 2) Phi(z - sigma) + c Phi(-z)].

    Source: Wang et al., "A deep probabilistic model for customer lifetime value prediction", 2019,
    equation 6. Differs from the paper: rows at the cap are censored here, so the mean is that of
    the capped time and needs no clipping; sigma is kept in [0.05, 5].
    """

    parameters = 3

    @override
    def logit(self, parameters: Tensor) -> Tensor:
        some, mu, sigma = _log_normal(parameters)
        log_cap = math.log(self.cap_seconds)
        z = (log_cap - mu) / sigma
        below = torch.exp(mu + sigma**2 / 2 - log_cap + torch.special.log_ndtr(z - sigma))
        fraction = torch.sigmoid(some) * (below + torch.special.ndtr(-z))
        return torch.logit(fraction.clamp(SHARE_FLOOR, 1.0 - SHARE_FLOOR))

    @override
    def loss(self, parameters: Tensor, fractions: Tensor) -> Tensor:
        some, mu, sigma = _log_normal(parameters)
        log_cap = math.log(self.cap_seconds)
        log_play = torch.log(fractions.clamp(min=SHARE_FLOOR)) + log_cap
        z = (log_play - mu) / sigma
        density = -0.5 * z**2 - torch.log(sigma) - log_play - 0.5 * math.log(2 * math.pi)
        survival = torch.special.log_ndtr((mu - log_cap) / sigma)
        played = torch.where(fractions < 1.0, density, survival)
        return -torch.where(fractions > 0.0, logsigmoid(some) + played, logsigmoid(-some))


class SurvivalHead(WatchHead):
    """P(play > t) at thresholds t_1 < t_2 < ..., each a product of conditional probabilities.

    P(play > t_j) = prod_{i <= j} sigmoid(z_i), where z_i is the logit of P(play > t_i | play >
    t_{i-1}), learnt from the rows that were played past t_{i-1}. E[min(play, c)] is the area under
    the curve: straight lines between thresholds, and from the last one to P(play >= c), which is
    the last parameter.
    """

    def __init__(self, cap_seconds: float, seconds: Sequence[float] = SURVIVAL_SECONDS) -> None:
        super().__init__(cap_seconds)
        scale = cap_seconds / SURVIVAL_CAP_SECONDS
        self.seconds = torch.tensor([*(scale * start for start in seconds), cap_seconds])
        self.parameters = len(self.seconds)

    @override
    def logit(self, parameters: Tensor) -> Tensor:
        survival = torch.exp(torch.cumsum(logsigmoid(parameters), dim=1))  # (batch, thresholds)
        seconds = self.seconds.to(survival)
        area = torch.trapezoid(survival, seconds, dim=1) / self.cap_seconds  # (batch,)
        return torch.logit(area.clamp(SHARE_FLOOR, 1.0 - SHARE_FLOOR))

    @override
    def loss(self, parameters: Tensor, fractions: Tensor) -> Tensor:
        play = (fractions * self.cap_seconds)[:, None]  # (batch, 1)
        past = play > self.seconds.to(play)  # (batch, thresholds)
        past[:, -1] = fractions >= 1.0
        at_risk = torch.cat([torch.ones_like(past[:, :1]), past[:, :-1]], dim=1)
        losses = binary_cross_entropy_with_logits(parameters, past.to(play), reduction="none")
        return (losses * at_risk).sum(dim=1)


WATCH_HEADS: Registry[Callable[[float], WatchHead]] = Registry(
    "watch head",
    {"share": ShareHead, "log_normal": LogNormalHead, "survival": SurvivalHead},
)
"""By name, what makes a head from the cap of the task in seconds."""


def _log_normal(parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Logit of any play, mu and sigma, (batch,) each; mu starts near 10 s, sigma near 1."""
    some, mu, raw = parameters.unbind(dim=1)
    sigma = softplus(raw + math.log(math.e - 1.0)).clamp(*SIGMA_RANGE)
    return some, mu + math.log(10.0), sigma
