"""Watch heads: models of the capped time min(seconds, cap) of a task in seconds.

Every head gives the logit of the expected fraction E[min(play, cap)] / cap, which calibration,
metrics and fusion use, and a loss in nats per row. Its first parameter is the watch tower's logit.
The cap is set by the task: 120 s for KuaiRand's `watch`.
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

FRACTION_FLOOR = 1e-6
# Below 0.05 the log-normal's quotients overflow; above 5 its mean is meaningless.
SIGMA_RANGE = (0.05, 5.0)
# Thresholds for a cap of 120 s; they are scaled in proportion to other caps. KuaiRand's thresholds
# of a valid play (7 s) and a long view (18 s) are among them.
SURVIVAL_SECONDS = (0.0, 3.0, 7.0, 12.0, 18.0, 30.0, 60.0, 90.0)
SURVIVAL_CAP_SECONDS = 120.0


class WatchHead(ABC):
    """A distribution of play time with parameters for each row.

    Args:
        cap_seconds: cap on play time in seconds, above 0; longer plays count as the cap.
    """

    parameters: int
    """Number of parameters per row, at least 1."""

    def __init__(self, cap_seconds: float) -> None:
        self.cap_seconds = cap_seconds

    @abstractmethod
    def logit(self, parameters: Tensor) -> Tensor:
        """Logit of the expected fraction of the cap, (batch,), from (batch, parameters)."""

    @abstractmethod
    def loss(self, parameters: Tensor, fractions: Tensor) -> Tensor:
        """Loss of each row in nats, (batch,).

        Args:
            parameters: (batch, parameters).
            fractions: (batch,) played fraction of the cap, in [0, 1].
        """


class ShareHead(WatchHead):
    """Cross-entropy with the played fraction of the cap as a soft label."""

    parameters = 1

    @override
    def logit(self, parameters: Tensor) -> Tensor:
        return parameters[:, 0]

    @override
    def loss(self, parameters: Tensor, fractions: Tensor) -> Tensor:
        return binary_cross_entropy_with_logits(parameters[:, 0], fractions, reduction="none")


class LogNormalHead(WatchHead):
    """Zero-inflated log-normal play time, censored at the cap.

    P(play > 0) = p; log play ~ N(mu, sigma^2) if play is positive. With z = (ln c - mu) / sigma,
    E[min(play, c)] = p [exp(mu + sigma^2 / 2) Phi(z - sigma) + c Phi(-z)].

    Source: Wang et al., "A deep probabilistic model for customer lifetime value prediction", 2019,
    equation 6. Unlike the paper, we censor rows at the cap, so the mean is that of the capped time
    and needs no clipping; we also clamp sigma to [0.05, 5].
    """

    parameters = 3

    @override
    def logit(self, parameters: Tensor) -> Tensor:
        any_play, mu, sigma = _log_normal(parameters)
        log_cap = math.log(self.cap_seconds)
        z = (log_cap - mu) / sigma
        below = torch.exp(mu + sigma**2 / 2 - log_cap + torch.special.log_ndtr(z - sigma))
        fraction = torch.sigmoid(any_play) * (below + torch.special.ndtr(-z))
        return torch.logit(fraction.clamp(FRACTION_FLOOR, 1.0 - FRACTION_FLOOR))

    @override
    def loss(self, parameters: Tensor, fractions: Tensor) -> Tensor:
        any_play, mu, sigma = _log_normal(parameters)
        log_cap = math.log(self.cap_seconds)
        log_play = torch.log(fractions.clamp(min=FRACTION_FLOOR)) + log_cap
        z = (log_play - mu) / sigma
        density = -0.5 * z**2 - torch.log(sigma) - log_play - 0.5 * math.log(2 * math.pi)
        survival = torch.special.log_ndtr((mu - log_cap) / sigma)
        played = torch.where(fractions < 1.0, density, survival)
        return -torch.where(fractions > 0.0, logsigmoid(any_play) + played, logsigmoid(-any_play))


class SurvivalHead(WatchHead):
    """Discrete-time survival model: P(play > t) at thresholds t_1 < t_2 < ... up to the cap c.

    P(play > t_j) = prod_{i <= j} sigmoid(z_i), where z_i is the logit of P(play > t_i | play >
    t_{i-1}), fitted on the rows that were played past t_{i-1}. The last parameter gives
    P(play >= c). E[min(play, c)] is the area under the survival curve, linear between thresholds.
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
        return torch.logit(area.clamp(FRACTION_FLOOR, 1.0 - FRACTION_FLOOR))

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
"""Constructor of each head by name; it takes the cap in seconds."""


def _log_normal(parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Logit of P(play > 0), mu and sigma, (batch,) each; exp(mu) starts near 10 s, sigma near 1."""
    any_play, mu, raw = parameters.unbind(dim=1)
    sigma = softplus(raw + math.log(math.e - 1.0)).clamp(*SIGMA_RANGE)
    return any_play, mu + math.log(10.0), sigma
