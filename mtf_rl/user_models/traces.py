"""Session traces: summaries of a session's slates for the leaving and returning models.

A slate's signals are the user's actions, and the predicted logits of the videos that were clicked:
a click on a video that the user will probably like is more informative than another click. The
user's mean is subtracted from each signal, so an empty trace represents a typical session. Only the
leaving and returning models use the trace; policies do not see it.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import logit

from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.slates import Response, Slate
from mtf_rl.user_models.answer_rules import KUAIRAND_RULES, AnswerRules
from mtf_rl.user_models.array_records import NOT_AN_ARRAY, STORED_AS, ArrayRecord
from mtf_rl.user_models.play import NUM_OUTCOMES

__all__ = [
    "NUM_MINUTES",
    "SessionTrace",
    "TraceReader",
    "advance_trace",
    "long_minutes",
    "predicted_logits",
    "row_actions",
    "start_trace",
    "trace_features",
    "usual_strengths",
]

NUM_MINUTES = 2

TRACE_RATE = 0.25
MINUTES_FADE_SECONDS = 1200.0
# Shrinkage strength in rows if no user has two sessions.
UNKNOWN_STRENGTH = 20.0
# Bounds of the fitted shrinkage strength in sessions.
MIN_SESSIONS, MAX_SESSIONS = 0.01, 1000.0
# Probabilities are clipped to [MIN_PROBABILITY, 1 - MIN_PROBABILITY] before the logit.
MIN_PROBABILITY = 0.02


@dataclass(frozen=True)
class SessionTrace:
    """The traces of `num_envs` sessions; all zeros at the start of a session."""

    averages: FloatArray  # (num_envs, trace signals) float32, moving averages at rate 0.25
    minutes: FloatArray  # (num_envs, 2) float32, decaying sums of `long_minutes`
    clock_seconds: FloatArray  # (num_envs,) float32, session time of the last decay of `minutes`


def start_trace(num_envs: int, rules: AnswerRules = KUAIRAND_RULES) -> SessionTrace:
    """The traces of `num_envs` new sessions."""
    return SessionTrace(
        averages=np.zeros((num_envs, len(rules.trace_signals)), dtype=np.float32),
        minutes=np.zeros((num_envs, NUM_MINUTES), dtype=np.float32),
        clock_seconds=np.zeros(num_envs, dtype=np.float32),
    )


def advance_trace(
    trace: SessionTrace, signals: FloatArray, minutes: FloatArray, elapsed_seconds: FloatArray
) -> SessionTrace:
    """The traces after a slate.

    Args:
        trace: the traces before the slate.
        signals: `TraceReader.signals` of the slate, (num_envs, trace signals).
        minutes: `long_minutes` of the slate, (num_envs, 2).
        elapsed_seconds: session time at which the slate was shown, (num_envs,).
    """
    faded = np.exp((trace.clock_seconds - elapsed_seconds) / MINUTES_FADE_SECONDS)[:, None]
    averages = trace.averages + TRACE_RATE * (signals - trace.averages)
    return replace(
        trace,
        averages=averages.astype(np.float32),
        minutes=(trace.minutes * faded + minutes).astype(np.float32),
        clock_seconds=elapsed_seconds.astype(np.float32),
    )


def trace_features(trace: SessionTrace) -> FloatArray:
    """Features of each session's trace, (num_envs, trace features) float64."""
    return np.concatenate([trace.averages, np.log1p(trace.minutes)], axis=1).astype(np.float64)


def long_minutes(
    slate: Slate, response: Response, rules: AnswerRules = KUAIRAND_RULES
) -> FloatArray:
    """Minutes played in the slate, in total and beyond each video's `long_seconds`.

    Returns:
        (num_envs, 2).
    """
    played = response.watch_seconds * slate.mask / 60.0  # (num_envs, slate)
    beyond = np.maximum(played - rules.long_seconds / 60.0, 0.0)
    return np.stack([played.sum(axis=1), beyond.sum(axis=1)], axis=1)


@dataclass(frozen=True)
class TraceReader(ArrayRecord):
    """Computes a slate's signals relative to each user's means."""

    usual_predictions: FloatArray = field(metadata={STORED_AS: "usual_thoughts"})
    """(users, logits), mean `predicted_logits` of the shown videos"""

    usual_signals: FloatArray
    """(users, trace signals), mean signals"""

    rules: AnswerRules = field(default=KUAIRAND_RULES, metadata=NOT_AN_ARRAY)

    @classmethod
    def fit(
        cls,
        owners: IntArray,
        sessions: IntArray,
        prediction: FloatArray,
        actions: FloatArray,
        num_users: int,
        rules: AnswerRules = KUAIRAND_RULES,
    ) -> "TraceReader":
        """Compute each user's means from training rows.

        Args:
            owners: user of each session, (sessions,).
            sessions: session of each row, (rows,).
            prediction: `predicted_logits` of the rows, (rows, logits).
            actions: `row_actions` of the rows, (rows, actions).
            num_users: number of users, which is the number of rows of the result.
            rules: rules of the log.
        """
        users = owners[sessions]
        usual_predictions = _Sums.of(users, prediction, num_users).means(
            usual_strengths(owners, sessions, prediction)
        )
        signals = _row_signals(rules, actions, prediction - usual_predictions[users])
        usual_signals = _Sums.of(users, signals, num_users).means(
            usual_strengths(owners, sessions, signals)
        )
        return cls(usual_predictions, usual_signals, rules)

    def without(
        self, owners: IntArray, sessions: IntArray, prediction: FloatArray, actions: FloatArray
    ) -> "TraceReader":
        """For each session, the means of its user over the user's other sessions.

        Including a session in its own mean would leak its later requests. The arguments are those
        of `fit`; rows of the result are sessions.
        """
        users = owners[sessions]
        signals = _row_signals(self.rules, actions, prediction - self.usual_predictions[users])
        usual_predictions, usual_signals = (
            _Sums.of(users, values, len(self.usual_predictions))
            .take(owners)
            .minus(_Sums.of(sessions, values, len(owners)))
            .means(usual_strengths(owners, sessions, values))
            for values in (prediction, signals)
        )
        return TraceReader(usual_predictions, usual_signals, self.rules)

    def of(self, users: IntArray) -> "TraceReader":
        """The reader for `users` (num_envs,), one row each."""
        return replace(
            self,
            usual_predictions=self.usual_predictions[users],
            usual_signals=self.usual_signals[users],
        )

    def signals(self, slate: Slate, prediction: FloatArray, actions: FloatArray) -> FloatArray:
        """Mean signals of the shown videos minus the user's means, (num_envs, trace signals).

        `prediction` and `actions` have one row per slate position, (num_envs * slate, ...).
        """
        return self.of(slate.users).signals_by_row(slate, prediction, actions)

    def signals_by_row(
        self, slate: Slate, prediction: FloatArray, actions: FloatArray
    ) -> FloatArray:
        """As `signals`, for a reader that already has one row per slate."""
        num_envs, width = slate.mask.shape
        usual = np.repeat(self.usual_predictions, width, axis=0)
        signals = _row_signals(self.rules, actions, prediction - usual)
        signals = signals.reshape(num_envs, width, -1)
        shown = slate.mask.astype(np.float64)
        fraction = shown / np.maximum(shown.sum(axis=1, keepdims=True), 1.0)
        means = (signals * fraction[..., None]).sum(axis=1)  # (num_envs, trace signals)
        return np.asarray(means - self.usual_signals)


def predicted_logits(
    logits: FloatArray, fractions: FloatArray, rules: AnswerRules = KUAIRAND_RULES
) -> FloatArray:
    """Predicted logits of each video for the trace, before it is shown, (rows, logits).

    These are the logits of the interactions before play. If the log has a `play_chain`, the logit
    of its child given its parent is added: for KuaiRand, of a long view given a valid play.

    Args:
        logits: logits of outcomes and interactions, (rows, outcomes + interactions).
        fractions: probabilities of the outcomes, (rows, outcomes).
        rules: rules of the log.
    """
    if rules.play_chain is None:
        return logits[:, NUM_OUTCOMES:]
    parent, child = rules.play_chain
    clicks = fractions[:, parent.first_outcome :].sum(axis=1)
    long_views = fractions[:, child.first_outcome :].sum(axis=1)
    long_given_click = long_views / np.maximum(clicks, 1e-9)
    bounded = np.clip(long_given_click, MIN_PROBABILITY, 1.0 - MIN_PROBABILITY)
    return np.concatenate([logits[:, NUM_OUTCOMES:], logit(bounded)[:, None]], axis=1)


def row_actions(
    feedback: FloatArray,
    play_seconds: FloatArray,
    duration_seconds: FloatArray,
    overlap: FloatArray,
    rules: AnswerRules = KUAIRAND_RULES,
) -> FloatArray:
    """The user's actions on each video, (rows, actions), from (rows, ...) arrays.

    Columns: the feedbacks; the play ratio, clipped at 1; the parent of a `play_chain` without its
    child, if there is one (in KuaiRand a click without a long view); the tag overlap.
    """
    further = [np.minimum(play_seconds / duration_seconds, 1.0)]
    if rules.play_chain is not None:
        parent, child = rules.play_chain
        further.append(feedback[:, parent.column] * (1.0 - feedback[:, child.column]))
    further.append(overlap)
    return np.concatenate([feedback, np.stack(further, axis=1)], axis=1, dtype=np.float64)


def _row_signals(rules: AnswerRules, actions: FloatArray, prediction: FloatArray) -> FloatArray:
    """The trace signals of each video, (rows, trace signals); `prediction` is centred by user."""
    signals = [actions, prediction]
    if rules.interest is not None:
        signals[1] = actions[:, rules.interest, None] * prediction
    if rules.play_chain is not None:
        in_vain = actions[:, len(rules.tasks.feedbacks) + 1, None]
        signals.append(in_vain * prediction[:, -1:])
    return np.concatenate(signals, axis=1)


def usual_strengths(owners: IntArray, sessions: IntArray, values: FloatArray) -> FloatArray:
    """Shrinkage strength of user means towards the overall mean, in rows, per column: (columns,).

    From a one-way analysis of variance of the sessions' means, with users as groups. s^2 is the
    mean square within users and t^2 the variance between users (Searle, Casella and McCulloch,
    Variance Components, 1992, section 3.6):

        t^2 = (mean square between users - s^2) / k0,    k0 = (n - sum_u k_u^2 / n) / (users - 1)

    for n sessions, k_u of them of user u. The optimal shrinkage of a user's mean has the strength
    of s^2 / t^2 sessions, converted to rows by the mean number of rows per session. A signal with
    no difference between users is shrunk to nearly the overall mean; otherwise sampling noise in
    the user's mean would enter the signals.

    Args:
        owners: user of each session, (sessions,).
        sessions: session of each row, (rows,).
        values: (rows, columns).
    """
    unique_sessions, session = np.unique(sessions, return_inverse=True)
    means = _group_means(session, values)  # (unique sessions, columns)
    user = np.unique(owners[unique_sessions], return_inverse=True)[1]
    counts = np.bincount(user).astype(np.float64)  # (users,)
    free = len(means) - len(counts)
    if free == 0 or len(counts) == 1:
        return np.full(values.shape[1], UNKNOWN_STRENGTH)
    user_means = _group_means(user, means)  # (users, columns)
    within = ((means - user_means[user]) ** 2).sum(axis=0) / free
    spread = (counts[:, None] * (user_means - means.mean(axis=0)) ** 2).sum(axis=0)
    usual_count = (len(means) - (counts**2).sum() / len(means)) / (len(counts) - 1)
    between = (spread / (len(counts) - 1) - within) / usual_count
    ratio = np.clip(within / np.maximum(between, 1e-12), MIN_SESSIONS, MAX_SESSIONS)
    strengths: FloatArray = ratio * (len(values) / len(means))
    return strengths


def _group_means(keys: IntArray, values: FloatArray) -> FloatArray:
    """Means of (rows, columns) by key, (keys, columns); every key from 0 must occur."""
    sums = np.stack([np.bincount(keys, column) for column in values.T], axis=1)
    means: FloatArray = sums / np.bincount(keys)[:, None]
    return means


@dataclass(frozen=True)
class _Sums:
    """Sums of rows by key, and the overall mean towards which their means are shrunk."""

    counts: FloatArray  # (keys,)
    sums: FloatArray  # (keys, columns)
    overall: FloatArray  # (columns,), mean of all rows

    @classmethod
    def of(cls, keys: IntArray, values: FloatArray, num_keys: int) -> "_Sums":
        sums = [np.bincount(keys, column, minlength=num_keys) for column in values.T]
        counts = np.bincount(keys, minlength=num_keys).astype(np.float64)
        return cls(counts, np.stack(sums, axis=1), values.mean(axis=0))

    def take(self, keys: IntArray) -> "_Sums":
        return replace(self, counts=self.counts[keys], sums=self.sums[keys])

    def minus(self, other: "_Sums") -> "_Sums":
        return replace(self, counts=self.counts - other.counts, sums=self.sums - other.sums)

    def means(self, strengths: FloatArray) -> FloatArray:
        """Means (keys, columns), shrunk to the overall mean by `strengths` rows (columns,)."""
        shrunk_sums = self.sums + strengths * self.overall
        means: FloatArray = shrunk_sums / (self.counts[:, None] + strengths)
        return means
