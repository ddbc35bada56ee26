"""A classifier that tries to distinguish the sessions of two logs."""

from dataclasses import dataclass, replace

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray
from mtf_rl.core.errors import DataError
from mtf_rl.core.randomness import hash_words
from mtf_rl.evaluation.fidelity.vectors import SessionVectors
from mtf_rl.evaluation.intervals import Interval

__all__ = ["Discrimination", "Suspect", "discriminate", "permuted", "two_halves", "weighted_auc"]

FOLDS = 5
SUSPECTS = 5
_RESAMPLES = 300
_LEAST_SESSIONS = 20
_FOLD_SALT = 0x464F4C44
_HALF_SALT = 0x48414C56


@dataclass(frozen=True)
class Suspect:
    """A feature that distinguishes sessions."""

    feature: str
    cost: float
    """Area under the ROC curve that is lost when the feature is shuffled."""
    log_mean: float
    other_mean: float


@dataclass(frozen=True)
class Discrimination:
    """How well a classifier distinguishes two sets of sessions."""

    name: str
    sessions: tuple[int, int]
    auc: Interval
    """Area under the ROC curve on users outside the training folds; 0.5 is a guess."""
    suspects: tuple[Suspect, ...]
    """The most informative features, in order; empty if not requested."""


def discriminate(
    name: str,
    log: SessionVectors,
    other: SessionVectors,
    *,
    sessions: int,
    seed: int,
    explain: bool = False,
) -> Discrimination:
    """Train on some users, evaluator on others, in five folds by a hash of the user.

    Args:
        name: of the comparison.
        log: sessions of the log.
        other: sessions that should look like them.
        sessions: how many of each are drawn, at most.
        seed: of the draw, the folds and the classifier.
        explain: whether to measure which features give `other` away.

    Raises:
        DataError: if there are fewer than 20 sessions of one kind, or users of one fold only.
    """
    # One stream for each purpose, so that explaining does not change the interval.
    sampling, shuffling, resampling = np.random.default_rng(seed).spawn(3)
    drawn = [_sample(vectors, sessions, sampling) for vectors in (log, other)]
    sizes = (len(drawn[0].users), len(drawn[1].users))
    if min(sizes) < _LEAST_SESSIONS:
        raise DataError(
            f"the discriminator needs at least {_LEAST_SESSIONS} finished sessions of each"
            f" log, got {sizes[0]} and {sizes[1]}. Give a longer log or more users."
        )
    values = np.concatenate([part.values for part in drawn])
    users = np.concatenate([part.users for part in drawn])
    labels = np.repeat([False, True], sizes)
    folds = (hash_words(_FOLD_SALT, seed, users) % np.uint64(FOLDS)).astype(np.int64)
    scores = np.full(len(labels), 0.5)
    shuffled = np.full((len(log.features), len(labels)), 0.5)
    for fold in np.unique(folds):
        train, test = folds != fold, np.flatnonzero(folds == fold)
        if len(np.unique(labels[train])) < 2:
            raise DataError(
                "the sessions of one log all belong to one fold of users. Give more users."
            )
        classifier = _fitted(values[train], labels[train], seed)
        scores[test] = classifier.predict_proba(values[test])[:, 1]
        if explain:
            changed = _each_shuffled(values[test], shuffling)
            found = classifier.predict_proba(changed.reshape(-1, changed.shape[2]))[:, 1]
            shuffled[:, test] = found.reshape(changed.shape[:2])
    auc = _interval(scores, labels, users, resampling)
    suspects = _suspects(log.features, shuffled, values, labels, auc.mean) if explain else ()
    return Discrimination(name, sizes, auc, suspects)


def permuted(vectors: SessionVectors, seed: int) -> SessionVectors:
    """The same sessions with each feature shuffled over them on its own.

    Every distribution stays, all that ties the features together is gone: a classifier that
    does not see this sees nothing.
    """
    rng = np.random.default_rng(seed)
    columns = [rng.permutation(column) for column in vectors.values.T]
    return replace(vectors, values=np.stack(columns, axis=1))


def two_halves(vectors: SessionVectors, seed: int) -> tuple[SessionVectors, SessionVectors]:
    """The sessions of two halves of the users, by a hash: no true difference."""
    first = hash_words(_HALF_SALT, seed, vectors.users) >> np.uint64(63) == 1
    return vectors.take(np.flatnonzero(first)), vectors.take(np.flatnonzero(~first))


def weighted_auc(scores: FloatArray, labels: BoolArray, weights: FloatArray) -> float:
    """P(a positive scores above a negative) + half of P(equal), rows (rows,) counted by weight.

    NaN where one kind has no weight.
    """
    _, positions = np.unique(scores, return_inverse=True)
    positive = np.bincount(positions, weights=weights * labels)
    negative = np.bincount(positions, weights=weights * ~labels)
    pairs = positive.sum() * negative.sum()
    if pairs == 0.0:
        return float("nan")
    below = np.cumsum(negative) - negative
    return float((positive * (below + negative / 2.0)).sum() / pairs)


def _sample(vectors: SessionVectors, most: int, rng: np.random.Generator) -> SessionVectors:
    count = len(vectors.users)
    return vectors.take(np.sort(rng.choice(count, min(most, count), replace=False)))


def _fitted(values: FloatArray, labels: BoolArray, seed: int) -> HistGradientBoostingClassifier:
    classifier = HistGradientBoostingClassifier(
        max_iter=150,
        learning_rate=0.06,
        max_leaf_nodes=15,
        min_samples_leaf=30,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=seed,
    )
    return classifier.fit(values, labels)


def _each_shuffled(values: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Copies of `values` (sessions, features), each with one feature shuffled over sessions.

    (features, sessions, features).
    """
    copies = np.repeat(values[None], values.shape[1], axis=0)
    for feature, copy in enumerate(copies):
        copy[:, feature] = rng.permutation(copy[:, feature])
    return copies


def _interval(
    scores: FloatArray, labels: BoolArray, users: IntArray, rng: np.random.Generator
) -> Interval:
    """The area with a percentile interval that resamples users, the classifiers held."""
    _, members = np.unique(users, return_inverse=True)
    size = int(members.max()) + 1
    point = weighted_auc(scores, labels, np.ones(len(scores)))
    areas = []
    for _ in range(_RESAMPLES):
        weights = np.bincount(rng.integers(size, size=size), minlength=size)[members]
        areas.append(weighted_auc(scores, labels, weights.astype(np.float64)))
    low, high = np.nanquantile(areas, [0.025, 0.975])
    return Interval(point, float(low), float(high))


def _suspects(
    features: tuple[str, ...],
    shuffled: FloatArray,
    values: FloatArray,
    labels: BoolArray,
    auc: float,
) -> tuple[Suspect, ...]:
    """From scores with each feature shuffled, (features, sessions)."""
    ones = np.ones(len(labels))
    costs = np.array([auc - weighted_auc(scores, labels, ones) for scores in shuffled])
    return tuple(
        Suspect(
            features[feature],
            float(costs[feature]),
            *(float(np.nanmean(values[labels == kind, feature])) for kind in (False, True)),
        )
        for feature in np.argsort(-costs, kind="stable")[:SUSPECTS]
    )
