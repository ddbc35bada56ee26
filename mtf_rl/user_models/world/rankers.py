"""The rankers of a world's logs: noisy predictions, fused with fixed weights."""

from dataclasses import dataclass

import numpy as np

from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.randomness import hash_words, mix64
from mtf_rl.user_models.world.constants import NUM_TASKS

__all__ = ["LOGGING_RANKERS", "LoggingRanker", "assign_rankers", "ranking_scores"]


@dataclass(frozen=True)
class LoggingRanker:
    """A ranker that scores sum_k weight_k * (logit p_k + noise), with exploration.

    It uses only noisy predictions: the logits of a fresh user's true probabilities, plus noise that
    is fixed for each user and video. It does not use hidden state.
    """

    name: str
    fraction: float  # fraction of sessions that it serves
    weights: tuple[float, ...]  # one per task
    noise: float  # std of the noise on each logit
    exploration: float  # std of the noise added to the score at each request


LOGGING_RANKERS = (
    LoggingRanker("production", 0.55, (0.4, 0.8, 0.35, 0.15, 0.2, 0.1, -0.3, 0.8), 0.6, 0.4),
    LoggingRanker("watch", 0.20, (0.2, 0.6, 0.0, 0.0, 0.0, 0.0, -0.2, 1.4), 0.6, 0.4),
    LoggingRanker("interactions", 0.15, (0.4, 0.4, 0.7, 0.3, 0.3, 0.3, -0.5, 0.3), 0.7, 0.4),
    LoggingRanker("weak", 0.10, (0.6, 0.6, 0.1, 0.0, 0.0, 0.0, -0.1, 0.3), 1.8, 1.5),
)
_PREDICTION_FLOOR = 1e-5


def assign_rankers(
    rankers: tuple[LoggingRanker, ...], seed: int, users: IntArray, visits: IntArray
) -> IntArray:
    """The ranker of each user's visit, (n,), from a hash and the rankers' fractions."""
    uniforms = (hash_words(seed, 5, users, visits) >> np.uint64(11)) * 2.0**-53
    edges = np.cumsum([ranker.fraction for ranker in rankers])
    return np.searchsorted(edges / edges[-1], uniforms, side="right").clip(max=len(rankers) - 1)


def ranking_scores(
    rankers: tuple[LoggingRanker, ...],
    seed: int,
    served_by: IntArray,
    users: IntArray,
    videos: IntArray,
    probabilities: FloatArray,
) -> FloatArray:
    """The score of each candidate before exploration, (n, pool).

    Args:
        rankers: the logging rankers.
        seed: seed of their noise.
        served_by: the ranker of each row, (n,).
        users: user indices, (n,).
        videos: candidates, (n, pool).
        probabilities: true probabilities of a fresh user, (n, pool, tasks).
    """
    clipped = np.clip(probabilities, _PREDICTION_FLOOR, 1.0 - _PREDICTION_FLOOR)
    logits = np.log(clipped / (1.0 - clipped))  # (n, pool, tasks)
    noise = _pair_noise(seed, served_by[:, None], users[:, None], videos)  # (n, pool, tasks)
    amount = np.array([ranker.noise for ranker in rankers])[served_by][:, None]
    weights = np.array([ranker.weights for ranker in rankers])[served_by]  # (n, tasks)
    score = np.zeros(videos.shape)
    for task in range(NUM_TASKS):
        score += weights[:, task, None] * (logits[..., task] + amount * noise[..., task])
    return score


def _pair_noise(seed: int, ranker: IntArray, users: IntArray, videos: IntArray) -> FloatArray:
    """Noise of mean 0 and variance 1 for each task, from the eight bytes of one hash word."""
    key = hash_words(seed, 7, ranker, users)  # (n, 1)
    words = mix64(key + videos.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))  # (n, pool)
    octets = np.ascontiguousarray(words).view(np.uint8).reshape(*words.shape, 8)
    spread = np.sqrt((256**2 - 1) / 12.0)  # of a uniform byte
    return np.asarray((octets.astype(np.float64) - 127.5) / spread)
