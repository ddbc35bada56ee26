"""The users and videos of a world, with their hidden traits."""

from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv, gammaincinv, ndtr, ndtri

from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.videos import NO_TAG, VideoCatalogue
from mtf_rl.user_models.world.config import WorldConfig

__all__ = ["NUM_TAGS", "SIGNALS", "Truth", "Users", "Videos", "draw_truth"]

NUM_TAGS = 46
TASTE_DIMENSIONS = 8
SIGNALS = ("like", "follow", "comment", "forward", "hate")
"""The signals that follow from watching, in the order of KuaiRand's tasks."""

# Beta distributions of each signal's rate over the users of KuaiRand-Pure, single-column feed
# (beta-binomial fits of the public rows of 2022-04-25 to 05-08), in the order of SIGNALS. Those of
# follow and hate, (0.031, 21.39) and (0.011, 13.83), rest on a few hundred events. They are made
# less extreme at the same means, since 20 users in 2000 would have all hates.
_RATE_SHAPES = ((0.103, 5.01), (0.06, 41.4), (0.127, 43.59), (0.142, 142.65), (0.04, 50.3))
_RATE_MEANS = np.array([a / (a + b) for a, b in _RATE_SHAPES])

# Loadings of the normal scores of users on (activity, watching, own): assumed, with known signs.
_SIGNAL_ON_ACTIVITY = np.array([-0.20, -0.15, -0.10, -0.15, 0.0])
_SIGNAL_ON_LIKING = np.array([0.0, 0.30, 0.30, 0.20, 0.0])

# Shapes of the gamma distribution of each signal's rate over videos (beta-binomial fits to the
# same rows), and the loading of each score on that of likes.
_VIDEO_SHAPES = np.array([0.903, 0.448, 0.887, 0.658, 8.4])
_SIGNAL_WITH_LIKE = np.array([1.0, 0.60, 0.60, 0.60, 0.0])
_SIGNAL_WITH_FAME = np.array([0.0, 0.0, 0.60, 0.0, 0.0])

_BAIT_FRACTION = 0.3
_FAME_SPREAD = 1.55


@dataclass(frozen=True)
class Users:
    """The hidden traits of every user, by user index; d is the dimension of taste."""

    watch_taste: FloatArray  # (users, d), preference for watching
    appeal_taste: FloatArray  # (users, d), preference for interacting
    activity: FloatArray  # (users,), standard normal score of exposures
    watching: FloatArray  # (users,), log-odds added to starting to watch
    patience: FloatArray  # (users,), subtracted from the log-odds of leaving
    sessions_per_day: FloatArray  # (users,), intended sessions of an active day
    page_fraction: FloatArray  # (users,), fraction of sessions on the two-column page
    propensities: FloatArray  # (users, signals), multiplies the odds of each signal; mean 1
    care: FloatArray  # (users,) in [0, 1], weight of appeal in satisfaction; the rest is watching
    boredom_sensitivity: FloatArray  # (users,), mean 1
    tiring_sensitivity: FloatArray  # (users,), mean 1


@dataclass(frozen=True)
class Videos:
    """The hidden traits and the public catalogue of all videos, by video index."""

    catalogue: VideoCatalogue
    vectors: FloatArray  # (videos, d), unit length
    log_duration: FloatArray  # (videos,), ln(seconds)
    quality: FloatArray  # (videos,), log-odds added to starting to watch
    bait: FloatArray  # (videos,), >= 0, strength of click-bait: promise of the cover over content
    signal_odds: FloatArray  # (videos, signals), multiplies the odds of each signal; mean 1
    appeal: FloatArray  # (videos,), standard score of how likeable the content is
    popularity: FloatArray  # (videos,), log of the retrieval weight
    upload_day: IntArray  # (videos,), days relative to the first day of the log, <= 0


@dataclass(frozen=True)
class Truth:
    """The fixed parts of a world: settings, users and videos."""

    config: WorldConfig
    users: Users
    videos: Videos


def draw_truth(config: WorldConfig) -> Truth:
    """The world of `config`, drawn from its seed."""
    return Truth(config, _draw_users(config), _draw_videos(config))


def _draw_users(config: WorldConfig) -> Users:
    """The users of a world, a function of `config.users` and `config.seed`."""
    rng = np.random.default_rng([config.seed, 1])
    count = config.users
    ranks = _even_uniforms(rng, count, 6 + len(SIGNALS))  # (users, traits)
    activity, watching_own, depth_own = ndtri(ranks[:, :3]).T
    watching = -0.42 * activity + np.sqrt(1 - 0.42**2) * watching_own
    care = betaincinv(0.5, 0.5, ranks[:, 3])
    watch_taste = rng.normal(size=(count, TASTE_DIMENSIONS))
    appeal_taste = 0.3 * watch_taste + np.sqrt(1 - 0.3**2) * rng.normal(size=watch_taste.shape)
    return Users(
        watch_taste=watch_taste,
        appeal_taste=appeal_taste,
        activity=activity,
        watching=0.95 * watching,
        patience=0.45 * activity + 0.2 * depth_own,
        sessions_per_day=6.6 * np.exp(0.35 * activity - 0.35**2 / 2),
        page_fraction=betaincinv(1.6, 11.2, ranks[:, 4]),
        propensities=_propensities(activity, watching, ndtri(ranks[:, 6:])),
        care=care,
        boredom_sensitivity=gammaincinv(2.0, ranks[:, 5]) / 2.0,
        tiring_sensitivity=2.0 * care * rng.gamma(4.0, 0.25, size=count),
    )


def _even_uniforms(rng: np.random.Generator, count: int, traits: int) -> FloatArray:
    """Uniforms that cover the unit cube evenly, jointly over the traits: (count, traits).

    An additive recurrence with the powers of the generalised golden ratio (Roberts, "The
    unreasonable effectiveness of quasirandom sequences", 2018), shifted and shuffled at random.
    A small population then has the shape of a large one: with independent draws, the heavy tails
    of rare signals and of popularity would make seeds differ by more than the calibration allows.
    """
    ratio = 2.0
    for _ in range(64):
        ratio = (1.0 + ratio) ** (1.0 / (traits + 1.0))
    steps = ratio ** -np.arange(1.0, traits + 1.0)
    points = rng.uniform(size=traits) + rng.permutation(count)[:, None] * steps
    return np.asarray(np.clip(points % 1.0, 1e-9, 1.0 - 1e-9))


def _propensities(activity: FloatArray, watching: FloatArray, own: FloatArray) -> FloatArray:
    """Each signal's rate over its mean, (users, signals), from correlated normal scores.

    `own` (users, signals) holds independent standard normals.
    """
    columns = []
    for signal, (a, b) in enumerate(_RATE_SHAPES):
        shared = _SIGNAL_ON_LIKING[signal]
        score = (
            _SIGNAL_ON_ACTIVITY[signal] * activity
            + 0.1 * watching
            + shared * own[:, 0]
            + np.sqrt(1 - shared**2) * own[:, signal]
        )
        ranks = np.argsort(np.argsort(score))
        columns.append(betaincinv(a, b, (ranks + 0.5) / len(score)) / _RATE_MEANS[signal])
    return np.stack(columns, axis=1)  # (users, signals)


def _draw_videos(config: WorldConfig) -> Videos:
    """The videos of a world, a function of `config.videos` and `config.seed`."""
    rng = np.random.default_rng([config.seed, 2])
    count = config.videos
    ranks = _even_uniforms(rng, count, 6)  # (videos, traits)
    fame, quality, liking, length, bait_size = ndtri(ranks[:, :5]).T
    tags = _draw_tags(rng, count)
    log_duration = np.clip(4.23 + 1.03 * length, np.log(4.0), np.log(1200.0))
    duration_ms = np.rint(1000 * np.exp(log_duration))
    duration_seconds = (duration_ms / 1000).astype(np.float32)
    own = rng.normal(size=(count, len(SIGNALS)))
    scores = (
        _SIGNAL_WITH_LIKE * liking[:, None]
        + _SIGNAL_WITH_FAME * fame[:, None]
        + np.sqrt(1 - _SIGNAL_WITH_LIKE**2 - _SIGNAL_WITH_FAME**2) * own
    )  # (videos, signals)
    signal_odds = gammaincinv(_VIDEO_SHAPES, ndtr(scores)) / _VIDEO_SHAPES
    signal_odds[:, 0] *= np.exp(-0.15 * (log_duration - 4.23))
    authors = np.sort(rng.integers(0, max(1, int(0.86 * count)), size=count))
    return Videos(
        catalogue=VideoCatalogue(
            duration_seconds=duration_seconds,
            tags=tags,
            authors=authors.astype(np.int32),
            num_tags=NUM_TAGS,
        ),
        vectors=_draw_vectors(rng, tags),
        log_duration=np.log(duration_seconds.astype(np.float64)),
        quality=0.7 * quality,
        bait=np.asarray((ranks[:, 5] < _BAIT_FRACTION) * np.abs(1.0 + 0.4 * bait_size)),
        signal_odds=signal_odds,
        appeal=liking,
        popularity=_FAME_SPREAD * fame + 0.6 * quality,
        upload_day=-rng.integers(0, 30, size=count),
    )


def _draw_tags(rng: np.random.Generator, count: int) -> IntArray:
    """One or two tags for each video, (videos, 2); frequencies fall off as a power of the rank."""
    weights = 1.0 / np.arange(1, NUM_TAGS + 1) ** 0.85
    first, second = rng.choice(NUM_TAGS, size=(2, count), p=weights / weights.sum())
    has_second = (rng.uniform(size=count) < 0.24) & (first != second)
    return np.stack([first, np.where(has_second, second, NO_TAG)], axis=1).astype(np.int32)


def _draw_vectors(rng: np.random.Generator, tags: IntArray) -> FloatArray:
    """Unit vectors around the centres of each video's tags, (videos, d)."""
    centres = rng.normal(size=(NUM_TAGS + 1, TASTE_DIMENSIONS)) / np.sqrt(TASTE_DIMENSIONS)
    centres[NO_TAG] = 0.0
    own = rng.normal(size=(len(tags), TASTE_DIMENSIONS)) / np.sqrt(TASTE_DIMENSIONS)
    vectors = 0.85 * centres[tags].sum(axis=1) + 0.6 * own  # (videos, d)
    unit: FloatArray = vectors / np.sqrt((vectors**2).sum(axis=1, keepdims=True))
    return unit
