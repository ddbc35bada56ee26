"""Association of each feedback of a session with the watch time of its user's next session."""

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np

from mtf_rl.core.arrays import IntArray
from mtf_rl.core.errors import DataError
from mtf_rl.core.registry import Registry
from mtf_rl.evaluation.intervals import Interval
from mtf_rl.evaluation.panel import (
    CONTROLS,
    WATCH_MINUTE,
    SessionPanel,
    SessionSummary,
)
from mtf_rl.evaluation.panel_regression import (
    Estimate,
    condition_number,
    fit_half_panels,
    fit_pooled,
    fit_within,
    varies,
)

__all__ = [
    "MIN_SESSIONS",
    "MIN_USERS",
    "InputWeight",
    "RewardWeights",
    "Verdict",
    "estimate_reward_weights",
]

MIN_SESSIONS = 4
# Intervals clustered over fewer users are too narrow (Cameron and Miller, "A practitioner's guide
# to cluster-robust inference", Journal of Human Resources 2015).
MIN_USERS = 50
ENTANGLED = 30.0

FEW_SESSIONS = f"its user has fewer than {MIN_SESSIONS} such sessions"
_UNKNOWN = Interval(np.nan, -np.inf, np.inf)
# The weight of one input alone is adjusted for the hour and the session's index, not its length.
_CONTROLS_ALONE = tuple(name for name in CONTROLS if name != "shown_video")


class Verdict(StrEnum):
    """Whether a weight differs significantly from 0."""

    SIGNIFICANT = "significant"
    SINGLY = "significant on its own"
    NOT_SIGNIFICANT = "not significant"
    TOO_FEW = "too few users"


@dataclass(frozen=True)
class InputWeight:
    """Minutes of the next session per unit of an input in this session."""

    name: str
    total: float  # sum over sessions
    users: int  # users with more of it in some sessions than in others
    pooled: Interval
    within: Interval
    corrected: Interval
    alone: Interval
    per_watch_minute: Interval
    verdict: Verdict

    @property
    def is_significant(self) -> bool:
        """Whether the weight differs from 0, jointly with all other inputs."""
        return self.verdict is Verdict.SIGNIFICANT


@dataclass(frozen=True)
class RewardWeights:
    """The weights of all inputs, in the order of the panel's, and the data behind them."""

    inputs: tuple[InputWeight, ...]
    shown_video: Interval  # the corrected weight of one more video shown
    account: SessionSummary
    users: int
    confidence: float
    condition_number: float
    signs: tuple[int, ...]  # (inputs,), 1 where more is better, else -1

    def __getitem__(self, name: str) -> InputWeight:
        return Registry("input", {weight.name: weight for weight in self.inputs})[name]

    @property
    def sessions_per_user(self) -> float:
        """Mean number of sessions per user."""
        return self.account.kept / self.users

    @property
    def reward(self) -> tuple[float, tuple[float, ...]] | None:
        """Worth of a watch minute and of each feedback: 0 if not significant, None if none is.

        In watch minutes if their weight is significant and positive, otherwise in minutes of the
        next session.
        """
        if not any(weight.is_significant for weight in self.inputs):
            return None
        significant = [
            weight.corrected.mean if weight.is_significant else 0.0 for weight in self.inputs
        ]
        *feedbacks, watch = significant
        unit = watch if self.is_in_watch_minutes else 1.0
        return watch / unit, tuple(value / unit for value in feedbacks)

    @property
    def is_in_watch_minutes(self) -> bool:
        """Whether weights can be expressed in watch minutes of the same session."""
        return self["watch_minute"].is_significant and self["watch_minute"].corrected.low > 0.0

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the reader, one sentence each."""
        return (*_standing_notes(self), *_warnings(self))

    def to_records(self) -> list[dict[str, Any]]:
        """One mapping per input, ready for JSON; numbers that are not finite are None."""
        return [_record(weight) for weight in self.inputs]

    def to_markdown(self) -> str:
        """A table of the weights, the numbers of sessions, and the notes."""
        head = ["input", "total", "users", "pooled", "within", "corrected", "alone"]
        head += ["per watch minute", "verdict"]
        lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
        lines += ["| " + " | ".join(_cells(weight)) + " |" for weight in self.inputs]
        left_out = "; ".join(
            f"{count:,} left out: {why}" for why, count in self.account.left_out.items()
        )
        account = (
            f"{self.account.sessions:,} sessions = {self.account.kept:,} of {self.users:,} users +"
            f" {self.account.sessions - self.account.kept:,} left out ({left_out})."
        )
        length = f"One more video shown, corrected: {_shown(self.shown_video, digits=4)}."
        notes = [f"- {note}" for note in self.notes]
        return "\n".join([*lines, "", account, length, "", *notes]) + "\n"


def estimate_reward_weights(panel: SessionPanel, *, confidence: float = 0.95) -> RewardWeights:
    """Regress the minutes of the next session on the inputs of this one.

    The four estimates of a weight, all over the same sessions and clustered by user:

    - pooled: jointly with the other inputs and the controls, over all users. It is confounded
      between users: heavy likers may also be heavy watchers.
    - within: the same, with an intercept per user: a session is compared with other sessions of
      its user.
    - corrected: the same, without the first order of the bias of within. The bias arises because
      the outcome of a session is an input of the next (`fit_half_panels`). Verdicts and ratios use
      this estimate.
    - alone: corrected, for this input without the others and without the length: its total
      association.

    BatchRL-MTF (Zhang et al., KDD 2022, Eq. 2) derived its reward from the relation of each
    feedback to future dwell time, and published neither method nor numbers. The method is ours.

    Args:
        panel: sessions and their next sessions.
        confidence: nominal coverage of the intervals, in (0, 1). A weight is `significant` if its
            Bonferroni-corrected interval excludes 0, so that the confidence holds jointly for all
            inputs.

    Raises:
        DataError: if fewer than `MIN_USERS` users have `MIN_SESSIONS` sessions, or the
            inputs are collinear.
    """
    panel = _with_enough_sessions(panel)
    fits = _Fits(panel, (*panel.input_names, *CONTROLS))
    givers = _varying_users(panel)
    weights = tuple(
        _weigh(name, fits, panel, users=int(users), confidence=confidence)
        for name, users in zip(panel.input_names, givers, strict=True)
    )
    return RewardWeights(
        inputs=weights,
        shown_video=fits.interval(fits.corrected, "shown_video", confidence),
        account=panel.account,
        users=len(np.unique(panel.users)),
        confidence=confidence,
        condition_number=condition_number(fits.design, panel.users),
        signs=(*(task.sign for task in panel.tasks.feedbacks), 1),
    )


class _Fits:
    """The regressions of the outcome on the inputs and controls that vary."""

    def __init__(self, panel: SessionPanel, names: tuple[str, ...]) -> None:
        everything = np.column_stack([panel.inputs, panel.controls])  # (sessions, columns)
        design = everything[:, [(*panel.input_names, *CONTROLS).index(name) for name in names]]
        present = varies(design, panel.users)
        self.design = design[:, present]
        self._columns = {
            name: position for position, name in enumerate(np.array(names)[present].tolist())
        }
        self._data = self.design, panel.outcome, panel.users

    def __contains__(self, name: str) -> bool:
        return name in self._columns

    @cached_property
    def pooled(self) -> Estimate:
        return fit_pooled(*self._data)

    @cached_property
    def within(self) -> Estimate:
        return fit_within(*self._data)

    @cached_property
    def corrected(self) -> Estimate:
        return fit_half_panels(*self._data)

    def interval(self, estimate: Estimate, name: str, confidence: float) -> Interval:
        """The weight of `name`, unknown if it does not vary."""
        if name not in self:
            return _UNKNOWN
        return estimate.interval(self._columns[name], confidence=confidence)

    def per_watch_minute(self, name: str, confidence: float) -> Interval:
        """The corrected weight of `name` over that of a watch minute."""
        if name not in self or WATCH_MINUTE not in self:
            return _UNKNOWN
        positions = self._columns[name], self._columns[WATCH_MINUTE]
        return self.corrected.ratio(*positions, confidence=confidence)


def _weigh(
    name: str, fits: _Fits, panel: SessionPanel, *, users: int, confidence: float
) -> InputWeight:
    alone = _Fits(panel, (name, *_CONTROLS_ALONE))
    corrected = fits.interval(fits.corrected, name, confidence)
    # Bonferroni: this confidence holds jointly for all inputs.
    jointly = fits.interval(fits.corrected, name, 1.0 - (1.0 - confidence) / panel.inputs.shape[1])
    return InputWeight(
        name=name,
        total=float(panel.inputs[:, panel.input_names.index(name)].sum()),
        users=users,
        pooled=fits.interval(fits.pooled, name, confidence),
        within=fits.interval(fits.within, name, confidence),
        corrected=corrected,
        alone=alone.interval(alone.corrected, name, confidence) if name in alone else _UNKNOWN,
        per_watch_minute=fits.per_watch_minute(name, confidence),
        verdict=_verdict(corrected, jointly, users),
    )


def _verdict(corrected: Interval, jointly: Interval, users: int) -> Verdict:
    if users < MIN_USERS:
        return Verdict.TOO_FEW
    if jointly.excludes_zero:
        return Verdict.SIGNIFICANT
    return Verdict.SINGLY if corrected.excludes_zero else Verdict.NOT_SIGNIFICANT


def _with_enough_sessions(panel: SessionPanel) -> SessionPanel:
    """The sessions of users with enough sessions to split them into halves.

    Raises:
        DataError: if there are too few.
    """
    _, groups, counts = np.unique(panel.users, return_inverse=True, return_counts=True)
    kept = counts[groups] >= MIN_SESSIONS
    users = int((counts >= MIN_SESSIONS).sum())
    if users < MIN_USERS:
        raise DataError(
            f"{users} of {len(counts)} users have at least {MIN_SESSIONS} sessions with a next"
            f" session; intervals over users need at least {MIN_USERS} such users. Give a longer"
            " log"
        )
    return panel.select(kept, FEW_SESSIONS)


def _varying_users(panel: SessionPanel) -> IntArray:
    """Number of users whose sessions differ in an input, (inputs,)."""
    _, first = np.unique(panel.users, return_index=True)  # rows of a user are consecutive
    maxima = np.maximum.reduceat(panel.inputs, first, axis=0)  # (users, inputs)
    minima = np.minimum.reduceat(panel.inputs, first, axis=0)
    return np.asarray((maxima > minima).sum(axis=0))


def _standing_notes(weights: RewardWeights) -> tuple[str, ...]:
    return (
        "Weights are minutes of play in the next session per feedback or minute in this session,"
        f" with {100.0 * weights.confidence:.0f} % CI clustered by user. They are associations in a"
        " log, not causal effects: a like and a longer session may have a common cause.",
        f"With {weights.sessions_per_user:.1f} sessions per user, the `within` weights have a bias"
        " of the order of one over this number, because the outcome of a session is an input of the"
        " next. `corrected` removes the first order of it.",
        f"`{Verdict.SIGNIFICANT}` holds for all {len(weights.inputs)} inputs together. Tested one"
        f" by one, {100.0 * (1.0 - weights.confidence):.0f} % of the weights that are 0 would"
        " appear to differ from 0.",
        "Users without a return within the log have no next session, so causes of churn are not in"
        " these weights.",
    )


def _warnings(weights: RewardWeights) -> tuple[str, ...]:
    warnings = []
    if weights.condition_number > ENTANGLED:
        warnings.append(
            f"The inputs are nearly collinear (condition number {weights.condition_number:.0f},"
            f" above {ENTANGLED:.0f}): weights of inputs that occur together are hard to separate,"
            " and `alone` may have another sign."
        )
    if not weights.is_in_watch_minutes:
        warnings.append(
            "The weight of a watch minute is not significantly positive, so weights per watch"
            " minute have no meaning here."
        )
    contrary = [
        weight.name
        for weight, sign in zip(weights.inputs, weights.signs, strict=True)
        if weight.is_significant and weight.corrected.mean * sign < 0
    ]
    if contrary:
        warnings.append(
            f"The weight of {', '.join(contrary)} has the opposite sign of its task. Examine the"
            " cause before you use it as a reward."
        )
    return tuple(warnings)


def _record(weight: InputWeight) -> dict[str, Any]:
    record: dict[str, Any] = {"input": weight.name, "total": weight.total, "users": weight.users}
    for name in ("pooled", "within", "corrected", "alone", "per_watch_minute"):
        interval: Interval = getattr(weight, name)
        for limit in ("mean", "low", "high"):
            value = getattr(interval, limit)
            record[f"{name}_{limit}"] = value if np.isfinite(value) else None
    return record | {"verdict": str(weight.verdict)}


def _cells(weight: InputWeight) -> list[str]:
    return [
        weight.name,
        f"{weight.total:,.0f}",
        f"{weight.users:,}",
        *(
            _shown(interval)
            for interval in (
                weight.pooled,
                weight.within,
                weight.corrected,
                weight.alone,
                weight.per_watch_minute,
            )
        ),
        str(weight.verdict),
    ]


def _shown(interval: Interval, digits: int = 3) -> str:
    if not np.isfinite(interval.low):
        return "unknown"
    mean, low, high = (
        f"{value:+.{digits}f}" for value in (interval.mean, interval.low, interval.high)
    )
    return f"{mean} [{low}, {high}]"
