"""Fits leaving, pausing and returning on a log."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.special import expit, logit
from torch import Tensor, nn
from torch.nn import functional

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray, select_rows
from mtf_rl.core.errors import DataError
from mtf_rl.core.randomness import hash_words
from mtf_rl.user_models import likelihoods
from mtf_rl.user_models.censoring import return_targets
from mtf_rl.user_models.fit_config import (
    REPLAY_FRACTION,
    RESPONSES_FRACTION,
    Progress,
    UserModelFitConfig,
)
from mtf_rl.user_models.fit_log import ReplayedLog, SideInputs, measured_prior
from mtf_rl.user_models.fit_reports import event_reports
from mtf_rl.user_models.fit_torch import (
    MIN_RATE,
    PredictorBlock,
    float_tensor,
    minimise,
    tensors,
    to_numpy,
)
from mtf_rl.user_models.networks import SessionNetwork, Standardiser
from mtf_rl.user_models.replay import NO_REQUEST
from mtf_rl.user_models.reports import PartReport
from mtf_rl.user_models.sessions import (
    FittedLeaving,
    FittedPausing,
    FittedReturning,
    Leaving,
    Pausing,
    Returning,
    log_gap,
    session_features,
)
from mtf_rl.user_models.traces import SessionTrace

__all__ = ["SessionParts", "fit_hazard", "fit_session_parts"]

# Separates this hash from other uses of the seed.
_HOLD_OUT_SALT = 0x484F4C44

MIN_EVENTS = 100
MIN_NON_RETURNS = 20
RETURN_HOLD_OUT = 0.2
LATER_DAYS_STRENGTH = 20.0


class _TooLittleDataError(Exception):
    """The log has too little data to fit a part; the message gives the reason."""


@dataclass(frozen=True)
class SessionParts:
    """Leaving, pausing and returning, with a sentence for each part that uses the prior."""

    leaving: Leaving
    pausing: Pausing
    returning: Returning
    prior_parts: tuple[str, ...]
    reports: tuple[PartReport, ...]


def fit_session_parts(
    log: ReplayedLog, traces: SessionTrace, config: UserModelFitConfig, on_progress: Progress
) -> SessionParts:
    """Fit each part, or use the declared prior if the log has too little data for it.

    `traces` (requests,) holds the trace after each request.
    """
    prior = measured_prior(log, config)
    fits: dict[str, Callable[[], tuple[Any, list[PartReport]]]] = {
        "leaving": lambda: _fit_leaving(log, traces, config),
        "pausing": lambda: _fit_pausing(log, config),
        "returning": lambda: _fit_returning(log, traces, config),
    }
    parts: dict[str, Any] = {}
    sentences = []
    reports = []
    for name, fit in fits.items():
        on_progress(name, REPLAY_FRACTION + RESPONSES_FRACTION)
        try:
            _refuse_fragments(log, config)
            parts[name], part_reports = fit()
            reports += part_reports
        except _TooLittleDataError as reason:
            parts[name] = prior
            sentences.append(f"{prior.sentences[name]}, because {reason}")
    return SessionParts(**parts, prior_parts=tuple(sentences), reports=tuple(reports))


def _refuse_fragments(log: ReplayedLog, config: UserModelFitConfig) -> None:
    """Raise `_TooLittleDataError` if the log's sessions are fragments, or `prior` is `always`."""
    if config.prior == "always":
        raise _TooLittleDataError("the setting is prior=always")
    starts = log.requests.steps == 0
    fraction = (starts & (log.requests.next_ms == NO_REQUEST)).sum() / starts.sum()
    if config.prior == "auto" and fraction > config.fragment_fraction:
        raise _TooLittleDataError(
            f"{100 * fraction:.0f} % of the log's sessions have only one request"
        )


def _require(kind: str, count: int, minimum: int, config: UserModelFitConfig) -> None:
    """Raise an error for fewer than `minimum` events, or for no events if `prior` is `never`."""
    if config.prior == "never" and count == 0:
        raise DataError(f"The log has no {kind} to fit on. Allow the declared prior: prior=auto.")
    if config.prior != "never" and count < minimum:
        raise _TooLittleDataError(f"the log has only {count} {kind}")


def _fit_leaving(
    log: ReplayedLog, traces: SessionTrace, config: UserModelFitConfig
) -> tuple[FittedLeaving, list[PartReport]]:
    chosen = np.flatnonzero(log.followed_up)
    events = log.requests.next_ms[chosen] == NO_REQUEST
    train = log.train_requests[chosen]
    _require("observed leaves", int(events[train].sum()), MIN_EVENTS, config)
    _require("held-out requests", int((~train).sum()), MIN_EVENTS, config)
    features = _features_after(log, traces, chosen)
    network = fit_hazard(log, chosen, features, events, train, config)
    users = log.requests.users[chosen]
    probabilities = expit(network.logits(users[~train], features[~train])[:, 0])
    return FittedLeaving(network), event_reports("leaving", events, users, train, probabilities)


def _fit_pausing(
    log: ReplayedLog, config: UserModelFitConfig
) -> tuple[FittedPausing, list[PartReport]]:
    stayed = log.followed_up & (log.requests.next_ms != NO_REQUEST)
    train = np.flatnonzero(stayed & log.train_requests)
    held_out = np.flatnonzero(stayed & ~log.train_requests)
    _require("gaps between requests", len(train), MIN_EVENTS, config)
    _require("held-out gaps between requests", len(held_out), MIN_EVENTS, config)
    gaps = log.requests.gap_seconds
    part = FittedPausing.fit(select_rows(log.replayed.after, train), gaps[train])
    train_gaps, test_gaps = log_gap(gaps[train]), log_gap(gaps[held_out])
    predicted = part.predict(select_rows(log.replayed.after, held_out))
    mean = likelihoods.log_normal(test_gaps, predicted, float(part.std)).mean()
    single = likelihoods.log_normal(test_gaps, train_gaps.mean(), float(train_gaps.std())).mean()
    report = PartReport("ln gap", len(test_gaps), float(mean), "one log-normal", float(single))
    return part, [report]


def _fit_returning(
    log: ReplayedLog, traces: SessionTrace, config: UserModelFitConfig
) -> tuple[FittedReturning, list[PartReport]]:
    """Fit returns after sessions; validation is by user, as there are too few days to split."""
    requests = log.requests
    ends = np.flatnonzero(requests.next_ms == NO_REQUEST)
    days = log.dataset.impressions.days[requests.rows[ends, 0]]
    targets = return_targets(log.dataset.impressions, ~log.split.test, requests.users[ends], days)
    known = targets.next_day_known
    chosen = ends[known]
    events = targets.days[known] == 1
    users = requests.users[chosen]
    train = hash_words(_HOLD_OUT_SALT, config.seed, users) >= RETURN_HOLD_OUT * 2.0**64
    _require("next-day returns", int(events[train].sum()), MIN_EVENTS, config)
    _require("missed next days", int((~events[train]).sum()), MIN_NON_RETURNS, config)
    _require("held-out days", int((~train).sum()), MIN_NON_RETURNS, config)
    features = _features_after(log, traces, chosen)
    network = fit_hazard(log, chosen, features, events, train, config)
    probabilities = expit(network.logits(users[~train], features[~train])[:, 0])
    reports = event_reports("next-day return", events, users, train, probabilities)[:1]
    returns, chances = targets.later_days()
    later = (returns + LATER_DAYS_STRENGTH * config.declared.later_day_return) / (
        chances + LATER_DAYS_STRENGTH
    )
    return FittedReturning(network, np.asarray(later)), reports


def _features_after(log: ReplayedLog, traces: SessionTrace, requests: IntArray) -> FloatArray:
    after = select_rows(log.replayed.after, requests)
    return session_features(after, select_rows(traces, requests))


class _HazardModule(nn.Module):
    """Torch module of a `SessionNetwork` with one output."""

    def __init__(
        self, inputs: SideInputs, features: int, rate: float, config: UserModelFitConfig
    ) -> None:
        super().__init__()
        hidden, factors = config.session_hidden, config.session_factors
        self.hidden = hidden
        self.user = PredictorBlock(inputs, config.embedding, hidden + factors)
        self.session = nn.Linear(features, hidden + factors, bias=False)
        self.product = nn.Linear(factors, hidden, bias=False)
        self.output = nn.Linear(hidden, 1)
        with torch.no_grad():
            self.output.bias.fill_(float(logit(np.clip(rate, MIN_RATE, 1.0 - MIN_RATE))))
            self.output.weight.mul_(0.1)

    def forward(self, categorical: Tensor, dense: Tensor, features: Tensor) -> Tensor:
        user = self.user(categorical, dense)  # (batch, hidden + factors)
        session = self.session(features)  # (batch, hidden + factors)
        products = user[:, self.hidden :] * session[:, self.hidden :]
        hidden = user[:, : self.hidden] + session[:, : self.hidden] + self.product(products)
        logits: Tensor = self.output(torch.relu(hidden))[:, 0]
        return logits  # (batch,)

    def export(self, log: ReplayedLog, session: Standardiser) -> SessionNetwork:
        user = self.user.table(log.user_table)  # (users, hidden + factors)
        weights = to_numpy(self.session.weight).T  # (features, hidden + factors)
        return SessionNetwork(
            user_part=user[:, : self.hidden],
            user_factors=user[:, self.hidden :],
            session=session,
            session_weights=weights[:, : self.hidden],
            session_factors=weights[:, self.hidden :],
            product_weights=to_numpy(self.product.weight).T,
            output_weights=to_numpy(self.output.weight).T,
            output_bias=to_numpy(self.output.bias),
        )


def fit_hazard(
    log: ReplayedLog,
    requests: IntArray,
    features: FloatArray,
    events: BoolArray,
    train: BoolArray,
    config: UserModelFitConfig,
) -> SessionNetwork:
    """Fit a network for P(event) after each of `requests`.

    Args:
        log: the replayed log.
        requests: request numbers, (events,).
        features: session features after each request, (events, features).
        events: whether the event happened, (events,).
        train: True for training rows, False for early-stopping rows, (events,).
        config: sizes and optimizer settings.
    """
    first_rows = np.searchsorted(log.request_of_row, requests)
    inputs = log.user_inputs.take(first_rows)
    standardiser = Standardiser.fit(features[train])
    categorical, dense = tensors(inputs)
    session, target = float_tensor(standardiser(features)), float_tensor(events)
    module = _HazardModule(inputs, features.shape[1], float(events[train].mean()), config)

    def loss(index: Tensor) -> Tensor:
        logits = module(categorical[index], dense[index], session[index])
        return functional.binary_cross_entropy_with_logits(logits, target[index])

    minimise(
        module,
        loss,
        np.flatnonzero(train),
        np.flatnonzero(~train),
        config,
        batch_size=config.session_batch_size,
        weight_decay=config.session_weight_decay,
    )
    return module.export(log, standardiser)
