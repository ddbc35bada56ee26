"""What the slates of a session have left in a user, as far as answers show it.

A slate is described by what the user did with its videos, and by what the fitted responses thought
of those that were clicked: a click on a video that this user would probably like says more than
another one. Each signal counts less what is usual for the user, so that an empty trace stands for
a usual session. Leaving and returning read the trace; no policy sees it.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import logit

from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.slates import Response, Slate
from mtf_rl.user_models.answer_rules import KUAIRAND_RULES, AnswerRules
from mtf_rl.user_models.array_records import NOT_AN_ARRAY, ArrayRecord
from mtf_rl.user_models.play import NUM_OUTCOMES

__all__ = [
    "NUM_MINUTES",
    "SessionTrace",
    "TraceReader",
    "advance_trace",
    "long_minutes",
    "row_actions",
    "start_trace",
    "thoughts_of",
    "trace_features",
    "usual_strengths",
]

NUM_MINUTES = 2

TRACE_RATE = 0.25
MINUTES_FADE_SECONDS = 1200.0
# Rows by which means are drawn where no user has two sessions; else sessions at least and at most.
UNKNOWN_STRENGTH = 20.0
LEAST_SESSIONS, MOST_SESSIONS = 0.01, 1000.0
# Beyond it and one minus it a chance is as good as sure.
LEAST_CHANCE = 0.02


@dataclass(frozen=True)
class SessionTrace:
    """The traces of `num_envs` sessions; zeros at their start."""

    averages: FloatArray  # (num_envs, trace signals) float32, moving averages at rate 0.25
    minutes: FloatArray  # (num_envs, 2) float32, fading sums: played, and beyond `long_seconds`
    clock_seconds: FloatArray  # (num_envs,) float32, session time up to which they have faded


def start_trace(num_envs: int, rules: AnswerRules = KUAIRAND_RULES) -> SessionTrace:
    """The traces of sessions that have seen nothing."""
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
        trace: before it.
        signals: what `TraceReader.signals` says of it, (num_envs, trace signals).
        minutes: what `long_minutes` says of it, (num_envs, 2).
        elapsed_seconds: session time at which it was shown, (num_envs,).
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
    """One row per session, (num_envs, trace features) float64."""
    return np.concatenate([trace.averages, np.log1p(trace.minutes)], axis=1).astype(np.float64)


def long_minutes(
    slate: Slate, response: Response, rules: AnswerRules = KUAIRAND_RULES
) -> FloatArray:
    """Minutes played, and those from which each video is long, over the slate: (num_envs, 2)."""
    played = response.watch_seconds * slate.mask / 60.0  # (num_envs, slate)
    beyond = np.maximum(played - rules.long_seconds / 60.0, 0.0)
    return np.stack([played.sum(axis=1), beyond.sum(axis=1)], axis=1)


@dataclass(frozen=True)
class TraceReader(ArrayRecord):
    """What is usual for each user, against which a slate's signals are counted."""

    usual_thoughts: FloatArray  # (users, thoughts), mean thoughts of what was shown
    usual_signals: FloatArray  # (users, trace signals), mean signals
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
        """From training rows.

        Args:
            owners: the user of each session, (sessions,).
            sessions: the session of each row, (rows,).
            prediction: `thoughts_of` them, (rows, thoughts).
            actions: their `row_actions`, (rows, feedbacks + 3).
            num_users: rows of the result.
            rules: of the log.
        """
        users = owners[sessions]
        usual_thoughts = _Sums.of(users, prediction, num_users).means(
            usual_strengths(owners, sessions, prediction)
        )
        signals = _row_signals(rules, actions, prediction - usual_thoughts[users])
        usual_signals = _Sums.of(users, signals, num_users).means(
            usual_strengths(owners, sessions, signals)
        )
        return cls(usual_thoughts, usual_signals, rules)

    def without(
        self, owners: IntArray, sessions: IntArray, prediction: FloatArray, actions: FloatArray
    ) -> "TraceReader":
        """What is usual for each session's user by the rows of their other sessions.

        A session that counts towards what is usual tells of its own future. Rows of the result
        are sessions; `owners` (sessions,) are their users, `sessions` (rows,) those of the rows
        that `fit` was given.
        """
        users = owners[sessions]
        signals = _row_signals(self.rules, actions, prediction - self.usual_thoughts[users])
        usual_thoughts, usual_signals = (
            _Sums.of(users, values, len(self.usual_thoughts))
            .take(owners)
            .minus(_Sums.of(sessions, values, len(owners)))
            .means(usual_strengths(owners, sessions, values))
            for values in (prediction, signals)
        )
        return TraceReader(usual_thoughts, usual_signals, self.rules)

    def of(self, users: IntArray) -> "TraceReader":
        """What is usual for `users` (num_envs,), one row each."""
        return replace(
            self,
            usual_thoughts=self.usual_thoughts[users],
            usual_signals=self.usual_signals[users],
        )

    def signals(self, slate: Slate, prediction: FloatArray, actions: FloatArray) -> FloatArray:
        """Mean signals of the shown videos less what is usual, (num_envs, trace signals).

        `prediction` and `actions` have one row per place, slates one after the other.
        """
        return self.of(slate.users).signals_by_row(slate, prediction, actions)

    def signals_by_row(
        self, slate: Slate, prediction: FloatArray, actions: FloatArray
    ) -> FloatArray:
        """As `signals`, of a reader whose rows are those of the slate."""
        num_envs, width = slate.mask.shape
        usual = np.repeat(self.usual_thoughts, width, axis=0)
        signals = _row_signals(self.rules, actions, prediction - usual)
        signals = signals.reshape(num_envs, width, -1)
        shown = slate.mask.astype(np.float64)
        fraction = shown / np.maximum(shown.sum(axis=1, keepdims=True), 1.0)
        means = (signals * fraction[..., None]).sum(axis=1)  # (num_envs, trace signals)
        return np.asarray(means - self.usual_signals)


def thoughts_of(
    logits: FloatArray, fractions: FloatArray, rules: AnswerRules = KUAIRAND_RULES
) -> FloatArray:
    """What was thought of each video before it was shown, (rows, thoughts).

    The logits of the interactions before any play and, where the log has a `play_chain`, that of
    its child after its parent: in KuaiRand of a long view after a valid play.

    Args:
        logits: of outcomes and interactions, (rows, outcomes + interactions).
        fractions: the outcomes' probabilities, (rows, outcomes).
        rules: of the log.
    """
    if rules.play_chain is None:
        return logits[:, NUM_OUTCOMES:]
    parent, child = rules.play_chain
    clicks = fractions[:, parent.first_outcome :].sum(axis=1)
    long_views = fractions[:, child.first_outcome :].sum(axis=1)
    long_given_click = long_views / np.maximum(clicks, 1e-9)
    bounded = np.clip(long_given_click, LEAST_CHANCE, 1.0 - LEAST_CHANCE)
    return np.concatenate([logits[:, NUM_OUTCOMES:], logit(bounded)[:, None]], axis=1)


def row_actions(
    feedback: FloatArray,
    play_seconds: FloatArray,
    duration_seconds: FloatArray,
    overlap: FloatArray,
    rules: AnswerRules = KUAIRAND_RULES,
) -> FloatArray:
    """What was done with each video, (rows, actions), of (rows, ...) arrays.

    The feedbacks, the played ratio cut at 1, the parent of a `play_chain` without the child (in
    KuaiRand a click without a long view), and the tag overlap.
    """
    further = [np.minimum(play_seconds / duration_seconds, 1.0)]
    if rules.play_chain is not None:
        parent, child = rules.play_chain
        further.append(feedback[:, parent.column] * (1.0 - feedback[:, child.column]))
    further.append(overlap)
    return np.concatenate([feedback, np.stack(further, axis=1)], axis=1, dtype=np.float64)


def _row_signals(rules: AnswerRules, actions: FloatArray, prediction: FloatArray) -> FloatArray:
    """The trace signals of each video, (rows, trace signals), thoughts less the usual ones."""
    signals = [actions, prediction]
    if rules.interest is not None:
        signals[1] = actions[:, rules.interest, None] * prediction
    if rules.play_chain is not None:
        in_vain = actions[:, len(rules.tasks.feedbacks) + 1, None]
        signals.append(in_vain * prediction[:, -1:])
    return np.concatenate(signals, axis=1)


def usual_strengths(owners: IntArray, sessions: IntArray, values: FloatArray) -> FloatArray:
    """By how many rows a user's mean of each column is drawn to that of all, (columns,).

    One-way analysis of variance of the sessions' means, with users as groups. With s^2 the mean
    square within users and t^2 the variance between them (Searle, Casella and McCulloch, Variance
    Components, 1992, section 3.6),

        t^2 = (mean square between users - s^2) / k0,    k0 = (n - sum_u k_u^2 / n) / (users - 1)

    for n sessions, k_u of them user u's, a mean of k sessions is best drawn to that of all by
    s^2 / t^2 sessions, here as many rows as these have on average. A signal in which users do not
    differ is drawn to nearly the same for all: otherwise the random numbers of a user's other
    sessions would blur what is counted against their mean.

    Args:
        owners: the user of each session, (sessions,).
        sessions: the session of each row, (rows,).
        values: (rows, columns).
    """
    seen, session = np.unique(sessions, return_inverse=True)
    means = _group_means(session, values)  # (seen sessions, columns)
    user = np.unique(owners[seen], return_inverse=True)[1]
    counts = np.bincount(user).astype(np.float64)  # (users,)
    free = len(means) - len(counts)
    if free == 0 or len(counts) == 1:
        return np.full(values.shape[1], UNKNOWN_STRENGTH)
    of_users = _group_means(user, means)  # (users, columns)
    within = ((means - of_users[user]) ** 2).sum(axis=0) / free
    spread = (counts[:, None] * (of_users - means.mean(axis=0)) ** 2).sum(axis=0)
    usual_count = (len(means) - (counts**2).sum() / len(means)) / (len(counts) - 1)
    between = (spread / (len(counts) - 1) - within) / usual_count
    ratio = np.clip(within / np.maximum(between, 1e-12), LEAST_SESSIONS, MOST_SESSIONS)
    strengths: FloatArray = ratio * (len(values) / len(means))
    return strengths


def _group_means(keys: IntArray, values: FloatArray) -> FloatArray:
    """Means of (rows, columns) by key, keys 0, 1, ... all in use: (keys, columns)."""
    sums = np.stack([np.bincount(keys, column) for column in values.T], axis=1)
    means: FloatArray = sums / np.bincount(keys)[:, None]
    return means


@dataclass(frozen=True)
class _Sums:
    """Sums of rows by key, and what their means are drawn to."""

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
        """Drawn to the overall mean by `strengths` rows (columns,): (keys, columns)."""
        drawn = self.sums + strengths * self.overall
        means: FloatArray = drawn / (self.counts[:, None] + strengths)
        return means
