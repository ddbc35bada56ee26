"""The compiled candidate functions agree with naive numpy implementations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtf_rl.core.randomness import EpisodeRng, Purpose, mix64, mix64_compiled
from mtf_rl.envs.candidates import PoolPredictions, draw_candidates, rows_of


@given(st.integers(0, 1000), st.integers(1, 40))
def test_candidates_are_the_positions_with_the_smallest_hashes(seed: int, candidates: int) -> None:
    episode_rng = EpisodeRng(seed, np.arange(7), np.arange(7) % 3)
    drawn = draw_candidates(episode_rng, pool=40, candidates=candidates)
    ranks = np.argsort(episode_rng.bits(Purpose.CANDIDATES, 40), axis=1)
    np.testing.assert_array_equal(drawn, np.sort(ranks[:, :candidates], axis=1))


@pytest.mark.parametrize("candidates", [1, 2, 11, 30])
def test_statistics_agree_with_numpy(candidates: int) -> None:
    rng = np.random.default_rng(candidates)
    logits = rng.normal(-3.0, 2.0, (4, 30, 3)).astype(np.float32)
    logits[0, :, 1] = 1.5  # equal predictions
    users = np.array([3, 0, 0, 2, 1])
    positions = np.stack([np.sort(rng.permutation(30)[:candidates]) for _ in users])
    statistics = PoolPredictions.of(logits).statistics(users, positions)
    for row, user in enumerate(users):
        values = logits[user, positions[row]].astype(np.float64)  # (candidates, tasks)
        np.testing.assert_allclose(statistics[row, :3], values.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(statistics[row, 3:6], values.std(axis=0), rtol=1e-4, atol=1e-5)
        upper = np.sort(values, axis=0)[int(0.9 * (candidates - 1))]
        np.testing.assert_array_equal(statistics[row, 6:], upper.astype(np.float32))


def test_rows_of_gathers_the_candidates() -> None:
    table = np.arange(24, dtype=np.float32).reshape(2, 4, 3)
    rows = rows_of(table, np.array([1, 0]), np.array([[3, 0], [2, 2]]))
    np.testing.assert_array_equal(rows, [[table[1, 3], table[1, 0]], [table[0, 2], table[0, 2]]])


def test_the_compiled_hash_agrees_with_numpy() -> None:
    words = np.random.default_rng(0).integers(0, 2**64 - 1, 500, dtype=np.uint64)
    assert all(
        mix64_compiled(word) == mixed for word, mixed in zip(words, mix64(words), strict=True)
    )
