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
_MIN_SESSIONS = 20
_FOLD_SALT = 0x464F4C44
_HALF_SALT = 0x48414C56


@dataclass(frozen=True)
class Suspect:
    """A feature that distinguishes the sessions of two logs."""

    feature: str
    cost: float
    """Decrease of the area under the ROC curve if the feature is shuffled."""
    log_mean: float
    other_mean: float


@dataclass(frozen=True)
class Discrimination:
    """Accuracy of a classifier that distinguishes two sets of sessions."""

    name: str
    sessions: tuple[int, int]
    auc: Interval
    """Area under the ROC curve on users outside the training folds; 0.5 is chance level."""
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
    """Train a classifier on some users and test it on others, in five folds by a hash of the user.

    Args:
        name: name of the comparison.
        log: sessions of the log.
        other: sessions to compare with them.
        sessions: maximum number of sessions sampled from each log.
        seed: seed of the sample, the folds and the classifier.
        explain: whether to measure which features distinguish the two logs.

    Raises:
        DataError: if a log has fewer than 20 sessions, or users in one fold only.
    """
    # A separate stream for each purpose, so that `explain` does not change the interval.
    sampling, shuffling, resampling = np.random.default_rng(seed).spawn(3)
    samples = [_sample(vectors, sessions, sampling) for vectors in (log, other)]
    sizes = (len(samples[0].users), len(samples[1].users))
    if min(sizes) < _MIN_SESSIONS:
        raise DataError(
            f"the discriminator needs at least {_MIN_SESSIONS} finished sessions of each"
            f" log, got {sizes[0]} and {sizes[1]}. Give a longer log or more users."
        )
    values = np.concatenate([sample.values for sample in samples])
    users = np.concatenate([sample.users for sample in samples])
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
            predicted = classifier.predict_proba(changed.reshape(-1, changed.shape[2]))[:, 1]
            shuffled[:, test] = predicted.reshape(changed.shape[:2])
    auc = _interval(scores, labels, users, resampling)
    suspects = _suspects(log.features, shuffled, values, labels, auc.mean) if explain else ()
    return Discrimination(name, sizes, auc, suspects)


def permuted(vectors: SessionVectors, seed: int) -> SessionVectors:
    """The sessions with each feature shuffled over them separately.

    This keeps every marginal distribution and removes all dependence between features, which the
    discriminator must be able to detect.
    """
    rng = np.random.default_rng(seed)
    columns = [rng.permutation(column) for column in vectors.values.T]
    return replace(vectors, values=np.stack(columns, axis=1))


def two_halves(vectors: SessionVectors, seed: int) -> tuple[SessionVectors, SessionVectors]:
    """The sessions of two halves of the users, split by a hash; they do not differ in truth."""
    first = hash_words(_HALF_SALT, seed, vectors.users) >> np.uint64(63) == 1
    return vectors.take(np.flatnonzero(first)), vectors.take(np.flatnonzero(~first))


def weighted_auc(scores: FloatArray, labels: BoolArray, weights: FloatArray) -> float:
    """P(positive scores above negative) + P(equal scores) / 2, over weighted rows (rows,).

    NaN if the positives or the negatives have no weight.
    """
    _, positions = np.unique(scores, return_inverse=True)
    positive = np.bincount(positions, weights=weights * labels)
    negative = np.bincount(positions, weights=weights * ~labels)
    pairs = positive.sum() * negative.sum()
    if pairs == 0.0:
        return float("nan")
    below = np.cumsum(negative) - negative
    return float((positive * (below + negative / 2.0)).sum() / pairs)


def _sample(vectors: SessionVectors, max_count: int, rng: np.random.Generator) -> SessionVectors:
    count = len(vectors.users)
    return vectors.take(np.sort(rng.choice(count, min(max_count, count), replace=False)))


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

    Returns:
        (features, sessions, features).
    """
    copies = np.repeat(values[None], values.shape[1], axis=0)
    for feature, copy in enumerate(copies):
        copy[:, feature] = rng.permutation(copy[:, feature])
    return copies


def _interval(
    scores: FloatArray, labels: BoolArray, users: IntArray, rng: np.random.Generator
) -> Interval:
    """The AUC with a percentile interval over resampled users; the classifiers stay fixed."""
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
    """The features with the largest costs, from scores with each shuffled, (features, sessions)."""
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
