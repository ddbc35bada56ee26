"""Fit the simulator's user model on its half of a log."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit, logit
from torch import Tensor, nn
from torch.nn import functional

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray, select_rows
from mtf_rl.core.errors import DataError
from mtf_rl.core.randomness import hash_words
from mtf_rl.data import Dataset, Split
from mtf_rl.user_models import likelihoods
from mtf_rl.user_models.calibration import calibrated
from mtf_rl.user_models.censoring import return_targets
from mtf_rl.user_models.fit_config import FitConfig
from mtf_rl.user_models.fit_log import (
    ReplayedLog,
    SideInputs,
    hour_shares,
    measured_prior,
    unplayed_click,
)
from mtf_rl.user_models.fit_reports import event_reports, response_reports
from mtf_rl.user_models.fitted import FittedUserModel
from mtf_rl.user_models.networks import ResponseNetwork, SessionNetwork, Standardiser
from mtf_rl.user_models.play import (
    NUM_OUTCOMES,
    NUM_PLAY_FEATURES,
    PlayTimes,
    allowed_outcomes,
    play_features,
    play_outcomes,
)
from mtf_rl.user_models.replay import (
    NO_REQUEST,
)
from mtf_rl.user_models.reports import FitReport, PartReport
from mtf_rl.user_models.responses import (
    FIRST_INTERACTION,
    NUM_INTERACTIONS,
    NUM_ROW_FEATURES,
    ResponseModel,
    request_features,
    row_features,
)
from mtf_rl.user_models.session_features import history_features
from mtf_rl.user_models.sessions import (
    FittedLeaving,
    FittedPausing,
    FittedReturning,
    Leaving,
    Pausing,
    Returning,
    log_gap,
)

__all__ = ["Progress", "fit_user_model"]

Progress = Callable[[str, float], None]
"""Called with the name of a stage and the share of the whole fit that is done, in [0, 1]."""

# It keeps this hash apart from other uses of the seed.
_HOLD_OUT_SALT = 0x484F4C44

# Rough shares of the time that a fit takes.
REPLAY_SHARE = 0.1
RESPONSES_SHARE = 0.8

MIN_EVENTS = 100
MIN_NON_RETURNS = 20
MIN_RATE = 1e-5
RETURN_HOLD_OUT = 0.2
LATER_DAYS_STRENGTH = 20.0
EVALUATION_BATCH = 1 << 14
MIN_STEPS = 64
MIN_BATCH = 64


def fit_user_model(
    dataset: Dataset,
    split: Split,
    half: BoolArray,
    *,
    config: FitConfig | None = None,
    on_progress: Progress | None = None,
) -> FittedUserModel:
    """The user model of the rows in `half` (rows,) that are not test rows.

    Weights are fitted on the training rows of the half; its validation rows decide when to stop
    and are what the report speaks of. Of the other half's rows only one fact is used: on which
    days before the test a user was active at all, since the return after a session is otherwise
    not seen.

    Raises:
        DataError: if the half has no training or no validation rows, or if `config.prior` is
            `never` and the log has nothing to fit a part on.
    """
    config = config or FitConfig()
    report_progress = on_progress or (lambda stage, share: None)
    report_progress("replay", 0.0)
    log = ReplayedLog.make(dataset, split, half, config)
    with _reproducible_torch(config.seed):
        responses, reports = _fit_responses(log, config, report_progress)
        parts = _fit_session_parts(log, config, report_progress)
    report_progress("done", 1.0)
    return FittedUserModel(
        responses=responses,
        leaving=parts.leaving,
        pausing=parts.pausing,
        returning=parts.returning,
        hour_shares=hour_shares(log),
        catalogue=dataset.catalogue,
        row_keys=np.unique(dataset.impressions.keys[log.rows_used]).astype(np.uint64),
        prior_parts=parts.prior_parts,
        report=FitReport((*reports, *parts.reports)),
    )


# --- responses ---


@dataclass(frozen=True)
class _ResponseData:
    """What is known and what is answered, per row; tensors share the `rows` axis."""

    user: tuple[Tensor, Tensor]  # categorical, dense
    video: tuple[Tensor, Tensor]
    session: Tensor  # (rows, session features), standardised
    row: Tensor  # (rows, row features)
    play: Tensor  # (rows, play features)
    outcome: Tensor  # (rows,)
    allowed: Tensor  # (rows, outcomes)
    interactions: Tensor  # (rows, interactions)


def _fit_responses(
    log: ReplayedLog, config: FitConfig, on_progress: Progress
) -> tuple[ResponseModel, list[PartReport]]:
    impressions = log.impressions
    session_raw = request_features(log.replayed.before, log.requests.tabs)
    session = Standardiser.fit(session_raw[log.train_requests])
    per_request = row_features(log.replayed.overlap)  # (requests, slate, row features)
    duration, play = impressions.duration_seconds, impressions.play_seconds
    outcomes = play_outcomes(play, duration)
    data = _ResponseData(
        user=_tensors(log.user_inputs),
        video=_tensors(log.video_inputs),
        session=_float(session(session_raw)[log.request_of_row]),
        row=_float(per_request[log.request_of_row, log.place_of_row]),
        play=_float(play_features(play, duration)),
        outcome=torch.as_tensor(outcomes),
        allowed=torch.as_tensor(allowed_outcomes(duration)),
        interactions=_float(impressions.feedback[:, FIRST_INTERACTION:]),
    )
    module = _ResponseModule(log, data, config)
    _minimise(
        module,
        lambda index: module.loss(data, index),
        np.flatnonzero(log.train),
        np.flatnonzero(~log.train),
        config,
        config.weight_decay,
        lambda share: on_progress("responses", REPLAY_SHARE + share * RESPONSES_SHARE),
    )
    model = ResponseModel(
        network=module.export(log, session),
        play_weights=_numpy(module.play.weight).T,
        play_times=PlayTimes.fit(play[log.train], duration[log.train]),
        unplayed_click=np.asarray(unplayed_click(impressions, log.train)),
        scene_shifts=np.zeros((2, NUM_OUTCOMES + NUM_INTERACTIONS)),
    )
    model = calibrated(log, model)
    return model, response_reports(log, model)


class _Side(nn.Module):
    """Categories and numbers of one side to its part of the hidden layer."""

    def __init__(self, inputs: SideInputs, embedding: int, outputs: int) -> None:
        super().__init__()
        offsets = np.cumsum([0, *inputs.sizes[:-1]])
        self.offsets: Tensor
        self.register_buffer("offsets", torch.as_tensor(offsets))
        self.embedding = nn.Embedding(sum(inputs.sizes), embedding)
        nn.init.normal_(self.embedding.weight, std=0.1)
        self.linear = nn.Linear(embedding * len(inputs.sizes) + inputs.dense.shape[1], outputs)

    def forward(self, categorical: Tensor, dense: Tensor) -> Tensor:
        embedded = self.embedding(categorical + self.offsets)  # (rows, fields, embedding)
        outputs: Tensor = self.linear(torch.cat([embedded.flatten(1), dense], dim=1))
        return outputs  # (rows, outputs)

    def table(self, inputs: SideInputs) -> FloatArray:
        """The outputs for every user (or video), as an array."""
        with torch.no_grad():
            return _numpy(self(*_tensors(inputs)))


class _ResponseModule(nn.Module):
    """The network of `ResponseNetwork`, with the weights of the play in the interactions."""

    def __init__(self, log: ReplayedLog, data: _ResponseData, config: FitConfig) -> None:
        super().__init__()
        hidden, factors = config.hidden, config.factors
        self.hidden = hidden
        self.user = _Side(log.user_inputs, config.embedding, hidden + factors)
        self.video = _Side(log.video_inputs, config.embedding, hidden + factors)
        self.session = nn.Linear(data.session.shape[1], hidden, bias=False)
        self.row = nn.Linear(NUM_ROW_FEATURES + factors, hidden, bias=False)
        self.output = nn.Linear(hidden, NUM_OUTCOMES + NUM_INTERACTIONS)
        self.play = nn.Linear(NUM_PLAY_FEATURES, NUM_INTERACTIONS, bias=False)
        self._start_at_rates(data, torch.as_tensor(log.train))

    def _start_at_rates(self, data: _ResponseData, train: Tensor) -> None:
        """Biases of the training rows: the rate of each outcome, and interactions given it."""
        outcome, interactions = data.outcome[train], data.interactions[train].double()
        counts = torch.bincount(outcome, minlength=NUM_OUTCOMES).double()
        overall = interactions.mean(dim=0).clamp(min=MIN_RATE)
        sums = torch.zeros(NUM_OUTCOMES, NUM_INTERACTIONS).double()
        sums.index_add_(0, outcome, interactions)
        strength = likelihoods.PRIOR_STRENGTH
        rates = (sums + strength * overall) / (
            counts[:, None] + strength
        )  # (outcomes, interactions)
        with torch.no_grad():
            self.output.weight.mul_(0.1)
            self.output.bias[:NUM_OUTCOMES] = ((counts + 1.0) / (counts + 1.0).sum()).log()
            self.output.bias[NUM_OUTCOMES:] = overall.logit()
            self.play.weight.zero_()
            self.play.weight[:, :NUM_OUTCOMES] = (rates.logit() - overall.logit()).T

    def loss(self, data: _ResponseData, index: Tensor) -> Tensor:
        """Minus the mean log likelihood of the rows' play outcomes and interactions."""
        user = self.user(data.user[0][index], data.user[1][index])  # (batch, hidden + factors)
        video = self.video(data.video[0][index], data.video[1][index])
        products = user[:, self.hidden :] * video[:, self.hidden :]
        row = torch.cat([data.row[index], products], dim=1)
        hidden = user[:, : self.hidden] + video[:, : self.hidden]
        hidden = hidden + self.session(data.session[index]) + self.row(row)
        logits = self.output(torch.relu(hidden))  # (batch, outcomes + interactions)
        masked = logits[:, :NUM_OUTCOMES].masked_fill(~data.allowed[index], -torch.inf)
        play = functional.cross_entropy(masked, data.outcome[index])
        interactions = functional.binary_cross_entropy_with_logits(
            logits[:, NUM_OUTCOMES:] + self.play(data.play[index]),
            data.interactions[index],
            reduction="sum",
        )
        return play + interactions / len(index)

    def export(self, log: ReplayedLog, session: Standardiser) -> ResponseNetwork:
        user, video = self.user.table(log.user_table), self.video.table(log.video_table)
        return ResponseNetwork(
            user_part=user[:, : self.hidden],
            user_factors=user[:, self.hidden :],
            video_part=video[:, : self.hidden],
            video_factors=video[:, self.hidden :],
            session=session,
            session_weights=_numpy(self.session.weight).T,
            row_weights=_numpy(self.row.weight).T,
            output_weights=_numpy(self.output.weight).T,
            output_bias=_numpy(self.output.bias),
        )


# --- leaving, pausing, returning ---


class _TooLittleDataError(Exception):
    """The log cannot teach a part; the message says why."""


@dataclass(frozen=True)
class _SessionParts:
    leaving: Leaving
    pausing: Pausing
    returning: Returning
    prior_parts: tuple[str, ...]
    reports: tuple[PartReport, ...]


def _fit_session_parts(log: ReplayedLog, config: FitConfig, on_progress: Progress) -> _SessionParts:
    """Each part fitted where the log can teach it, and declared where it cannot."""
    prior = measured_prior(log, config)
    fits: dict[str, Callable[[ReplayedLog, FitConfig], tuple[Any, list[PartReport]]]] = {
        "leaving": _fit_leaving,
        "pausing": _fit_pausing,
        "returning": _fit_returning,
    }
    parts: dict[str, Any] = {}
    sentences = []
    reports = []
    for name, fit in fits.items():
        on_progress(name, REPLAY_SHARE + RESPONSES_SHARE)
        try:
            _refuse_fragments(log, config)
            parts[name], part_reports = fit(log, config)
            reports += part_reports
        except _TooLittleDataError as reason:
            parts[name] = prior
            sentences.append(f"{prior.sentences[name]}, since {reason}")
    return _SessionParts(**parts, prior_parts=tuple(sentences), reports=tuple(reports))


def _refuse_fragments(log: ReplayedLog, config: FitConfig) -> None:
    """Refuse to fit session parts on a log that is no record of whole sessions."""
    if config.prior == "always":
        raise _TooLittleDataError("the configuration asks for it")
    starts = log.requests.steps == 0
    share = (starts & (log.requests.next_ms == NO_REQUEST)).sum() / starts.sum()
    if config.prior == "auto" and share > config.fragment_share:
        raise _TooLittleDataError(f"{share:.0%} of the log's sessions have only one request")


def _require(what: str, count: int, minimum: int, config: FitConfig) -> None:
    """Refuse to fit on fewer than `minimum` events, or on none if the prior is forbidden."""
    if config.prior == "never" and count == 0:
        raise DataError(f"The log has no {what} to fit on. Allow the declared prior: prior=auto.")
    if config.prior != "never" and count < minimum:
        raise _TooLittleDataError(f"the log has only {count} {what}")


def _fit_leaving(log: ReplayedLog, config: FitConfig) -> tuple[FittedLeaving, list[PartReport]]:
    chosen = np.flatnonzero(log.followed_up)
    events = log.requests.next_ms[chosen] == NO_REQUEST
    train = log.train_requests[chosen]
    _require("observed leaves", int(events[train].sum()), MIN_EVENTS, config)
    _require("held-out requests", int((~train).sum()), MIN_EVENTS, config)
    features = history_features(select_rows(log.replayed.after, chosen))
    network = _fit_hazard(log, chosen, features, events, train, config)
    users = log.requests.users[chosen]
    probabilities = expit(network.logits(users[~train], features[~train])[:, 0])
    return FittedLeaving(network), event_reports("leaving", events, users, train, probabilities)


def _fit_pausing(log: ReplayedLog, config: FitConfig) -> tuple[FittedPausing, list[PartReport]]:
    stayed = log.followed_up & (log.requests.next_ms != NO_REQUEST)
    train = np.flatnonzero(stayed & log.train_requests)
    held_out = np.flatnonzero(stayed & ~log.train_requests)
    _require("gaps between requests", len(train), MIN_EVENTS, config)
    _require("held-out gaps between requests", len(held_out), MIN_EVENTS, config)
    gaps = log.requests.gap_seconds
    part = FittedPausing.fit(select_rows(log.replayed.after, train), gaps[train])
    known, unknown = log_gap(gaps[train]), log_gap(gaps[held_out])
    predicted = part.predict(select_rows(log.replayed.after, held_out))
    mean = likelihoods.log_normal(unknown, predicted, float(part.deviation)).mean()
    reference = likelihoods.log_normal(unknown, known.mean(), float(known.std())).mean()
    report = PartReport("ln gap", len(unknown), float(mean), "one log-normal", float(reference))
    return part, [report]


def _fit_returning(log: ReplayedLog, config: FitConfig) -> tuple[FittedReturning, list[PartReport]]:
    """The last requests of whole sessions, held out by user: days are too few to split again."""
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
    features = history_features(select_rows(log.replayed.after, chosen))
    network = _fit_hazard(log, chosen, features, events, train, config)
    probabilities = expit(network.logits(users[~train], features[~train])[:, 0])
    reports = event_reports("next-day return", events, users, train, probabilities)[:1]
    seen, chances = targets.later_days()
    later = (seen + LATER_DAYS_STRENGTH * config.declared.later_day_return) / (
        chances + LATER_DAYS_STRENGTH
    )
    return FittedReturning(network, np.asarray(later)), reports


class _HazardModule(nn.Module):
    """The network of `SessionNetwork`, with one output."""

    def __init__(self, inputs: SideInputs, features: int, rate: float, config: FitConfig) -> None:
        super().__init__()
        hidden = config.session_hidden
        self.user = _Side(inputs, config.embedding, hidden)
        self.session = nn.Linear(features, hidden, bias=False)
        self.output = nn.Linear(hidden, 1)
        with torch.no_grad():
            self.output.bias.fill_(float(logit(np.clip(rate, MIN_RATE, 1.0 - MIN_RATE))))
            self.output.weight.mul_(0.1)

    def forward(self, categorical: Tensor, dense: Tensor, features: Tensor) -> Tensor:
        hidden = self.user(categorical, dense) + self.session(features)
        logits: Tensor = self.output(torch.relu(hidden))[:, 0]
        return logits  # (batch,)


def _fit_hazard(
    log: ReplayedLog,
    requests: IntArray,
    features: FloatArray,
    events: BoolArray,
    train: BoolArray,
    config: FitConfig,
) -> SessionNetwork:
    """P(event) after some `requests`, whose `features`, `events` and `train` are given."""
    first_rows = np.searchsorted(log.request_of_row, requests)
    inputs = log.user_inputs.take(first_rows)
    standardiser = Standardiser.fit(features[train])
    categorical, dense = _tensors(inputs)
    session, target = _float(standardiser(features)), _float(events)
    module = _HazardModule(inputs, features.shape[1], float(events[train].mean()), config)

    def loss(index: Tensor) -> Tensor:
        logits = module(categorical[index], dense[index], session[index])
        return functional.binary_cross_entropy_with_logits(logits, target[index])

    _minimise(
        module,
        loss,
        np.flatnonzero(train),
        np.flatnonzero(~train),
        config,
        config.session_weight_decay,
    )
    return SessionNetwork(
        user_part=module.user.table(log.user_table),
        session=standardiser,
        session_weights=_numpy(module.session.weight).T,
        output_weights=_numpy(module.output.weight).T,
        output_bias=_numpy(module.output.bias),
    )


# --- torch ---


def _minimise(
    module: nn.Module,
    loss: Callable[[Tensor], Tensor],
    train: IntArray,
    held_out: IntArray,
    config: FitConfig,
    weight_decay: float,
    on_progress: Callable[[float], None] = lambda share: None,
) -> None:
    """AdamW on `loss(row numbers)`; the state with the best held-out loss is restored."""
    batch_size = int(np.clip(len(train) // MIN_STEPS, MIN_BATCH, config.batch_size))
    steps = -(-len(train) // batch_size) * config.max_epochs
    optimiser = torch.optim.AdamW(
        module.parameters(), lr=config.learning_rate, weight_decay=weight_decay
    )
    schedule = torch.optim.lr_scheduler.LinearLR(
        optimiser, start_factor=1.0, end_factor=0.1, total_iters=steps
    )
    shuffle = torch.Generator().manual_seed(config.seed)
    numbers = torch.as_tensor(train)
    best, best_state, waited = _mean_loss(loss, held_out), _copy_state(module), 0
    for epoch in range(config.max_epochs):
        shuffled = numbers[torch.randperm(len(numbers), generator=shuffle)]
        for index in torch.split(shuffled, batch_size):
            optimiser.zero_grad()
            loss(index).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
        now = _mean_loss(loss, held_out)
        on_progress((epoch + 1) / config.max_epochs)
        if now < best:
            best, best_state, waited = now, _copy_state(module), 0
        else:
            waited += 1
            if waited >= config.patience:
                break
    module.load_state_dict(best_state)


def _mean_loss(loss: Callable[[Tensor], Tensor], rows: IntArray) -> float:
    with torch.no_grad():
        total = 0.0
        for index in torch.split(torch.as_tensor(rows), EVALUATION_BATCH):
            total += float(loss(index)) * len(index)
    return total / len(rows)


def _copy_state(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


@contextmanager
def _reproducible_torch(seed: int) -> Iterator[None]:
    """One thread and a seeded generator inside, both as they were outside."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)


def _tensors(inputs: SideInputs) -> tuple[Tensor, Tensor]:
    return torch.as_tensor(inputs.categorical), _float(inputs.dense)


def _float(array: NDArray[Any]) -> Tensor:
    return torch.as_tensor(np.asarray(array, dtype=np.float32))


def _numpy(tensor: Tensor) -> FloatArray:
    values: FloatArray = tensor.detach().double().numpy()
    return values
