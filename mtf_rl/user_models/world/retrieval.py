"""Retrieval: selects a pool of videos per user, from public and observable data only."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.randomness import hash_words, mix64
from mtf_rl.core.videos import NO_TAG
from mtf_rl.user_models.world.config import WorldConfig
from mtf_rl.user_models.world.population import Users, Videos

__all__ = ["Retrieval"]

_CHUNK = 256
_TAG_NOISE = 0.7
_TAG_WEIGHT = 0.9
# SplitMix64 as in `core.randomness`, compiled here because every pool hashes all videos.
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLIER_1 = np.uint64(0xBF58476D1CE4E5B9)
_MULTIPLIER_2 = np.uint64(0x94D049BB133111EB)
_INVERSE_2_23 = np.float32(2.0**-23)


@dataclass(frozen=True)
class Retrieval:
    """Log weights of videos: popularity plus the user's noisy affinity to the video's tags."""

    popularity: FloatArray  # (videos,) float32
    tag_affinity: FloatArray  # (users, num_tags) float32, estimated with noise
    tags: IntArray  # (videos, tags_per_video), 0 where a video has fewer
    levels: FloatArray  # (levels,) float32, possible fractions of a tag in a video, including 0
    fractions: IntArray  # (videos, tags_per_video), index into `levels` of each tag's fraction
    seed: int

    @staticmethod
    def of(config: WorldConfig, users: Users, videos: Videos) -> "Retrieval":
        """The retrieval stage of a world."""
        rng = np.random.default_rng([config.seed, 3])
        fractions = videos.catalogue.tag_fractions.astype(np.float64)  # (videos, num_tags)
        centres = fractions.T @ videos.vectors / np.maximum(fractions.sum(axis=0), 1.0)[:, None]
        affinity = users.watch_taste @ centres.T  # (users, num_tags)
        tags = videos.catalogue.tags
        counts = (tags != NO_TAG).sum(axis=1)
        levels, numbers = np.unique(
            (tags != NO_TAG) / np.maximum(counts, 1)[:, None], return_inverse=True
        )
        noisy = affinity + _TAG_NOISE * rng.normal(size=affinity.shape)
        return Retrieval(
            popularity=videos.popularity.astype(np.float32),
            tag_affinity=(_TAG_WEIGHT * noisy).astype(np.float32),
            tags=np.maximum(tags, 0),
            levels=levels.astype(np.float32),
            fractions=numbers.reshape(tags.shape),
            seed=config.seed,
        )

    def pools(self, users: IntArray, pool: int, *, visits: IntArray | int = 0) -> IntArray:
        """`pool` different videos for each of `users` (n,), in random order: (n, pool) int32.

        `visits` (n,) numbers a user's pools. A pool is a weighted draw without replacement: the
        videos with the smallest exponential arrival times, with their weights as rates (Efraimidis
        and Spirakis, "Weighted random sampling with a reservoir", 2006).

        Raises:
            ConfigError: if there are fewer videos than `pool`.
        """
        if pool > len(self.popularity):
            raise ConfigError(
                f"pool must be at most the {len(self.popularity)} videos of the world, got {pool}"
            )
        visits = np.broadcast_to(np.asarray(visits), np.shape(users))
        chunks = [
            self._draw(users[start : start + _CHUNK], visits[start : start + _CHUNK], pool)
            for start in range(0, len(users), _CHUNK)
        ]
        return np.concatenate(chunks) if chunks else np.empty((0, pool), dtype=np.int32)

    def _draw(self, users: IntArray, visits: IntArray, pool: int) -> IntArray:
        streams = hash_words(self.seed, 3, users, visits)  # (n,)
        times = np.empty((len(users), len(self.popularity)), dtype=np.float32)
        factors = np.exp(-self.tag_affinity[users][:, :, None] * self.levels)  # (n, num_tags, ..)
        _race(streams, np.exp(-self.popularity), factors, self.tags, self.fractions, times)
        chosen = np.argpartition(times, pool - 1, axis=1)[:, :pool]
        counters = (chosen.astype(np.uint64) + np.uint64(1)) * _GOLDEN
        order = np.argsort(mix64(streams[:, None] + counters) << np.uint64(24), axis=1)
        return np.take_along_axis(chosen, order, axis=1).astype(np.int32)


@njit(cache=True, nogil=True)
def _race(streams: Any, rarity: Any, factors: Any, tags: Any, fractions: Any, times: Any) -> None:
    """Exponential arrival times at each video's rate, written to `times` (n, videos).

    Args:
        streams: hash words, (n,).
        rarity: inverse weights, (videos,).
        factors: factor of each tag on the users' inverse weights, (n, num_tags, levels).
        tags: tags of each video, (videos, tags_per_video).
        fractions: index into `levels` of each tag's fraction, (videos, tags_per_video).
        times: output, (n, videos).
    """
    for row in range(len(streams)):
        counter = streams[row]
        for video in range(len(rarity)):
            counter += _GOLDEN
            bits = (counter ^ (counter >> np.uint64(30))) * _MULTIPLIER_1
            bits = (bits ^ (bits >> np.uint64(27))) * _MULTIPLIER_2
            bits ^= bits >> np.uint64(31)
            inverse = rarity[video]
            for position in range(tags.shape[1]):
                inverse *= factors[row, tags[video, position], fractions[video, position]]
            uniform = (np.float32(bits >> np.uint64(41)) + np.float32(0.5)) * _INVERSE_2_23
            times[row, video] = -np.log(uniform) * inverse
