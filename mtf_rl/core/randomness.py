"""Counter-based random numbers, which give common random numbers across policies.

Each draw is a function of its address (seed, episode, request, purpose, slot), not of earlier
draws. Two policies in the same episode thus get the same random numbers. An episode depends neither
on the number of environments nor on the order of their steps. The generator is SplitMix64 (Steele,
Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014): its finaliser hashes
the address into a stream, and its counter runs over the slots.
"""

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.special import ndtri

from mtf_rl.core.arrays import FloatArray, IntArray

__all__ = ["EpisodeRng", "Purpose", "hash_words", "mix64", "mix64_compiled"]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLIER_1 = np.uint64(0xBF58476D1CE4E5B9)
_MULTIPLIER_2 = np.uint64(0x94D049BB133111EB)
_INVERSE_2_53 = 1.0 / (1 << 53)


class Purpose(IntEnum):
    """Purpose of a draw. Results depend on these numbers: add new ones, never reuse one."""

    USER = 1
    HOUR = 2
    CANDIDATES = 3
    PLAY_MODE = 4
    PLAY_TIME = 5
    FEEDBACK = 6
    LEAVE = 7
    PAUSE = 8
    RETURN = 9
    HIDDEN_STATE = 10
    SCORE_NOISE = 11
    SCENE = 12
    SLATE_SIZE = 13
    EXPOSURE = 14
    BEHAVIOUR = 15
    BEHAVIOUR_ACTION = 16


def mix64(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser, a bijection of 64-bit words; elementwise, any shape."""
    mixed = values >> np.uint64(30)
    mixed ^= values
    mixed *= _MULTIPLIER_1
    mixed ^= mixed >> np.uint64(27)
    mixed *= _MULTIPLIER_2
    mixed ^= mixed >> np.uint64(31)
    return mixed


@njit(cache=True, nogil=True)
def mix64_compiled(word: Any) -> Any:
    """`mix64` of a single word, for compiled loops."""
    mixed = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def hash_words(*words: Any) -> NDArray[np.uint64]:
    """A 64-bit hash of integers, broadcast against each other; equal on every machine."""
    state = np.zeros((1,), dtype=np.uint64)
    for word in words:
        state = _absorb(state, _mixed(word))
    return state


def _mixed(word: Any) -> NDArray[np.uint64]:
    return mix64(np.atleast_1d(np.asarray(word)).astype(np.uint64))


def _absorb(state: NDArray[np.uint64], mixed: NDArray[np.uint64]) -> NDArray[np.uint64]:
    return mix64((state + _GOLDEN) ^ mixed)


@lru_cache(maxsize=1024)
def _stream_of(seed: int, purpose: Purpose) -> NDArray[np.uint64]:
    return hash_words(seed, int(purpose))


@lru_cache(maxsize=256)
def _counters(slots: int) -> NDArray[np.uint64]:
    return np.arange(1, slots + 1, dtype=np.uint64) * _GOLDEN


@dataclass(frozen=True)
class EpisodeRng:
    """Random draws for requests; `episodes` and `requests` are (num_envs,) integers."""

    seed: int
    episodes: IntArray
    requests: IntArray

    def streams(self, purpose: Purpose) -> NDArray[np.uint64]:
        """hash_words(seed, purpose, episodes, requests), (num_envs,); partial hashes are cached.

        Slot s of a stream is mix64(stream + (s + 1) 0x9E3779B97F4A7C15).
        """
        stream = _absorb(_stream_of(self.seed, purpose), self._mixed_episodes)
        return _absorb(stream, self._mixed_requests)

    def bits(self, purpose: Purpose, slots: int) -> NDArray[np.uint64]:
        """Independent 64-bit words, (num_envs, slots)."""
        return mix64(self.streams(purpose)[:, None] + _counters(slots))

    @cached_property
    def _mixed_episodes(self) -> NDArray[np.uint64]:
        return _mixed(self.episodes)

    @cached_property
    def _mixed_requests(self) -> NDArray[np.uint64]:
        return _mixed(self.requests)

    def uniforms(self, purpose: Purpose, slots: int) -> FloatArray:
        """Independent uniforms in the open interval (0, 1), (num_envs, slots) float64."""
        return ((self.bits(purpose, slots) >> np.uint64(11)) + 0.5) * _INVERSE_2_53

    def normals(self, purpose: Purpose, slots: int) -> FloatArray:
        """Independent standard normals, (num_envs, slots) float64, by inversion."""
        return np.asarray(ndtri(self.uniforms(purpose, slots)))
