"""The stage that picks a pool of videos for a user, from public and observable facts only."""

from dataclasses import dataclass

import numpy as np

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
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Retrieval:
    """Popularity plus each user's noisy affinity to a video's tags, as log weights."""

    popularity: FloatArray  # (videos,) float32
    tag_affinity: FloatArray  # (users, num_tags) float32, estimated with noise
    tags: IntArray  # (videos, tags_per_video), 0 where a video has fewer
    shares: FloatArray  # (videos, tags_per_video) float32, of each of these tags; sums to 1 or 0
    seed: int

    @staticmethod
    def of(config: WorldConfig, users: Users, videos: Videos) -> "Retrieval":
        """The retrieval stage of a world."""
        rng = np.random.default_rng([config.seed, 3])
        shares = videos.catalogue.tag_shares.astype(np.float64)  # (videos, num_tags)
        centres = shares.T @ videos.vectors / np.maximum(shares.sum(axis=0), 1.0)[:, None]
        affinity = users.watch_taste @ centres.T  # (users, num_tags)
        tags = videos.catalogue.tags
        counts = (tags != NO_TAG).sum(axis=1)
        noisy = affinity + _TAG_NOISE * rng.normal(size=affinity.shape)
        return Retrieval(
            popularity=videos.popularity.astype(np.float32),
            tag_affinity=(_TAG_WEIGHT * noisy).astype(np.float32),
            tags=np.maximum(tags, 0),
            shares=((tags != NO_TAG) / np.maximum(counts, 1)[:, None]).astype(np.float32),
            seed=config.seed,
        )

    def pools(self, users: IntArray, pool: int, *, visits: IntArray | int = 0) -> IntArray:
        """`pool` different videos for each of `users` (n,), in random order: (n, pool) int32.

        `visits` (n,) tells a user's pools apart. A pool is a weighted draw without replacement: the
        videos with the largest log weight plus Gumbel noise (Efraimidis and Spirakis, 2006).

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
        counters = np.arange(1, len(self.popularity) + 1, dtype=np.uint64) * _GOLDEN
        bits = mix64(streams[:, None] + counters)  # (n, videos)
        uniforms = ((bits >> np.uint64(41)).astype(np.float32) + 0.5) / np.float32(2**23)
        keys = self._log_weights(users) - np.log(-np.log(uniforms))  # (n, videos)
        chosen = np.argpartition(keys, -pool, axis=1)[:, -pool:]
        order = np.argsort(np.take_along_axis(bits, chosen, axis=1) << np.uint64(24), axis=1)
        return np.take_along_axis(chosen, order, axis=1).astype(np.int32)

    def _log_weights(self, users: IntArray) -> FloatArray:
        affinity = self.tag_affinity[users]  # (n, num_tags)
        weights = np.broadcast_to(self.popularity, (len(users), len(self.popularity)))
        for tag, share in zip(self.tags.T, self.shares.T, strict=True):
            weights = weights + affinity[:, tag] * share  # (n, videos)
        return weights
