"""Counter-based draws depend only on their address and have the right distribution."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mtf_rl.core.randomness import EpisodeRng, Purpose, hash_words, mix64


def rng_of(episodes: list[int], request: int = 0, seed: int = 0) -> EpisodeRng:
    numbers = np.array(episodes, dtype=np.int64)
    return EpisodeRng(seed, numbers, np.full_like(numbers, request))


def test_mix64_is_splitmix64() -> None:
    # The first outputs of SplitMix64 seeded with 0, as published with xoshiro's reference code.
    golden = np.uint64(0x9E3779B97F4A7C15)
    counters = np.arange(1, 4, dtype=np.uint64) * golden
    expected = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert [int(word) for word in mix64(counters)] == expected


def test_a_draw_does_not_depend_on_other_rows_or_slots() -> None:
    together = rng_of([3, 8, 5]).uniforms(Purpose.FEEDBACK, 4)
    alone = rng_of([5]).uniforms(Purpose.FEEDBACK, 4)
    np.testing.assert_array_equal(together[2:], alone)
    np.testing.assert_array_equal(rng_of([5]).uniforms(Purpose.FEEDBACK, 2), alone[:, :2])


@pytest.mark.parametrize("change", ["seed", "request", "purpose", "episode"])
def test_every_part_of_the_address_changes_the_draw(change: str) -> None:
    base = rng_of([1]).bits(Purpose.LEAVE, 8)
    changed = {
        "seed": rng_of([1], seed=1).bits(Purpose.LEAVE, 8),
        "request": rng_of([1], request=1).bits(Purpose.LEAVE, 8),
        "purpose": rng_of([1]).bits(Purpose.PAUSE, 8),
        "episode": rng_of([2]).bits(Purpose.LEAVE, 8),
    }[change]
    assert not np.isin(changed, base).any()


def test_uniforms_are_uniform_and_uncorrelated() -> None:
    draws = rng_of(list(range(4000))).uniforms(Purpose.FEEDBACK, 5)  # (episodes, slots)
    assert stats.kstest(draws.ravel(), "uniform").pvalue > 0.001
    correlation = np.corrcoef(draws.T) - np.eye(5)
    assert np.abs(correlation).max() < 5 / np.sqrt(4000)
    across = np.corrcoef(draws[:-1, 0], draws[1:, 0])[0, 1]
    assert abs(across) < 5 / np.sqrt(4000)


def test_normals_are_normal() -> None:
    draws = rng_of(list(range(5000))).normals(Purpose.PLAY_TIME, 2)
    assert stats.kstest(draws.ravel(), "norm").pvalue > 0.001


@given(st.integers(0, 2**62), st.integers(0, 2**62))
def test_hash_words_broadcasts_elementwise(first: int, second: int) -> None:
    both = hash_words(7, np.array([first, second]))
    assert both[0] == hash_words(7, first)[0]
    assert both[1] == hash_words(7, second)[0]


def test_a_draw_is_a_hash_of_its_address() -> None:
    """`EpisodeRng` caches partial hashes; the result equals the hash of the whole address."""
    rng = EpisodeRng(7, np.array([3, 900]), np.array([0, 12]))
    for purpose in (Purpose.LEAVE, Purpose.FEEDBACK):
        stream = hash_words(7, int(purpose), rng.episodes, rng.requests)
        counters = np.arange(1, 6, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        expected = mix64(stream[:, None] + counters)
        np.testing.assert_array_equal(rng.bits(purpose, 5), expected)
