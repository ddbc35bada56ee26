"""Fits the response model on a log."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mtf_rl.user_models import likelihoods
from mtf_rl.user_models.calibration import calibrated
from mtf_rl.user_models.fit_config import (
    REPLAY_FRACTION,
    RESPONSES_FRACTION,
    Progress,
    UserModelFitConfig,
)
from mtf_rl.user_models.fit_log import ReplayedLog, unplayed_click
from mtf_rl.user_models.fit_reports import response_reports
from mtf_rl.user_models.fit_torch import (
    MIN_RATE,
    PredictorBlock,
    float_tensor,
    minimise,
    tensors,
    to_numpy,
)
from mtf_rl.user_models.fit_unranked import with_unranked
from mtf_rl.user_models.networks import ResponseNetwork, Standardiser
from mtf_rl.user_models.play import (
    NUM_OUTCOMES,
    NUM_PLAY_FEATURES,
    PlayTimes,
    allowed_outcomes,
    play_features,
    play_outcomes,
)
from mtf_rl.user_models.reports import PartReport
from mtf_rl.user_models.responses import (
    ResponseModel,
    Unranked,
    request_features,
    row_features,
)

__all__ = ["fit_responses"]


@dataclass(frozen=True)
class _ResponseData:
    """Inputs and targets of the response network, one row per shown video."""

    user: tuple[Tensor, Tensor]  # categorical, dense
    video: tuple[Tensor, Tensor]
    session: Tensor  # (rows, session features), standardised
    row: Tensor  # (rows, row features + tastes)
    play: Tensor  # (rows, play features)
    outcome: Tensor  # (rows,)
    allowed: Tensor  # (rows, outcomes)
    interactions: Tensor  # (rows, interactions)


def fit_responses(
    log: ReplayedLog, config: UserModelFitConfig, on_progress: Progress
) -> tuple[ResponseModel, list[PartReport]]:
    """Fit the response model, and report its likelihoods on held-out rows."""
    impressions, rules = log.impressions, log.rules
    session_raw = request_features(log.replayed.before, log.requests.tabs, rules.schema.scenes)
    session = Standardiser.fit(session_raw[log.train_requests])
    per_request = row_features(log.replayed.overlap)  # (requests, slate, row features)
    duration, play = impressions.duration_seconds, impressions.play_seconds
    outcomes = play_outcomes(play, duration)
    data = _ResponseData(
        user=tensors(log.user_inputs),
        video=tensors(log.video_inputs),
        session=float_tensor(session(session_raw)[log.request_of_row]),
        row=float_tensor(
            np.concatenate(
                [per_request[log.request_of_row, log.position_of_row], log.tastes], axis=1
            )
        ),
        play=float_tensor(play_features(play, duration)),
        outcome=torch.as_tensor(outcomes),
        allowed=torch.as_tensor(allowed_outcomes(duration)),
        interactions=float_tensor(rules.events(impressions.feedback)),
    )
    module = _ResponseModule(log, data, config)
    minimise(
        module,
        lambda index: module.loss(data, index),
        np.flatnonzero(log.train),
        np.flatnonzero(~log.train),
        config,
        batch_size=config.batch_size,
        weight_decay=config.weight_decay,
        on_progress=lambda fraction: on_progress(
            "responses", REPLAY_FRACTION + fraction * RESPONSES_FRACTION
        ),
    )
    model = ResponseModel(
        network=module.export(log, session),
        play_weights=to_numpy(module.play.weight).T,
        play_times=PlayTimes.fit(play[log.train], duration[log.train]),
        unplayed_click=np.asarray(unplayed_click(impressions, log.train, rules)),
        unranked=Unranked.unknown(log.dataset.num_users, rules),
        scene_shifts=np.zeros((2, rules.num_outputs)),
        rules=rules,
    )
    model = calibrated(log, model)
    reports = response_reports(log, model)
    model, unranked_reports = with_unranked(log, model)
    return model, [*reports, *unranked_reports]


class _ResponseModule(nn.Module):
    """Torch module of a `ResponseNetwork`, with the effects of play on the interactions."""

    def __init__(self, log: ReplayedLog, data: _ResponseData, config: UserModelFitConfig) -> None:
        super().__init__()
        hidden, factors = config.hidden, config.factors
        self.hidden = hidden
        self.user = PredictorBlock(log.user_inputs, config.embedding, hidden + factors)
        self.video = PredictorBlock(log.video_inputs, config.embedding, hidden + factors)
        self.session = nn.Linear(data.session.shape[1], hidden, bias=False)
        self.row = nn.Linear(data.row.shape[1] + factors, hidden, bias=False)
        self.output = nn.Linear(hidden, log.rules.num_outputs)
        self.play = nn.Linear(NUM_PLAY_FEATURES, log.rules.num_interactions, bias=False)
        self._start_at_rates(data, torch.as_tensor(log.train))

    def _start_at_rates(self, data: _ResponseData, train: Tensor) -> None:
        """Initialise biases from training rates of outcomes, and of interactions by outcome."""
        outcome, interactions = data.outcome[train], data.interactions[train].double()
        counts = torch.bincount(outcome, minlength=NUM_OUTCOMES).double()
        overall = interactions.mean(dim=0).clamp(min=MIN_RATE)
        sums = torch.zeros(NUM_OUTCOMES, interactions.shape[1]).double()
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
        """Mean negative log likelihood of the rows' play outcomes and interactions."""
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
            tastes=log.taste_table.astype(np.float64),
            first_tags=log.first_tags,
            session=session,
            session_weights=to_numpy(self.session.weight).T,
            row_weights=to_numpy(self.row.weight).T,
            output_weights=to_numpy(self.output.weight).T,
            output_bias=to_numpy(self.output.bias),
        )
