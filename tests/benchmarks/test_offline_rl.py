"""The arithmetic of the comparison with d3rlpy, and the replay in d3rlpy's form."""

import gymnasium
import numpy as np
import pytest
from scipy import stats

from benchmarks.offline_rl import (
    PROCESSOR,
    WALL,
    mean_over_seeds,
    returns_table,
    speed_ratio,
    speed_table,
    welch,
)
from benchmarks.offline_rl_d3rlpy import episode_rows
from benchmarks.pendulum import (
    ACTION_SCALE,
    ALGORITHMS,
    EPISODES,
    HORIZON,
    WARM_UP,
    Array,
    ReplayBatch,
    Stopwatch,
    play,
)


def test_welch_is_the_textbook_interval() -> None:
    ours, theirs = np.array([-150.0, -160.0, -200.0]), np.array([-180.0, -260.0, -400.0])
    parts = ours.var(ddof=1) / 3, theirs.var(ddof=1) / 3
    error = np.sqrt(sum(parts))
    freedom = sum(parts) ** 2 / sum(part**2 / 2 for part in parts)
    half = stats.t.ppf(0.975, freedom) * error
    found = welch(ours, theirs)
    assert found.mean == pytest.approx(110.0)
    assert (found.low, found.high) == pytest.approx((110.0 - half, 110.0 + half))


def test_mean_over_three_seeds() -> None:
    found = mean_over_seeds(np.array([1.0, 2.0, 3.0]))
    assert found.mean == 2.0
    assert found.high - found.mean == pytest.approx(4.302653 / np.sqrt(3.0), rel=1e-6)


def test_load_that_slows_both_leaves_the_ratio() -> None:
    found = speed_ratio(np.array([[200.0, 100.0], [20.0, 10.0], [2.0, 1.0]]))
    assert (found.mean, found.low, found.high) == pytest.approx((2.0, 2.0, 2.0))


def test_ratios_are_averaged_so_that_either_side_may_be_the_reference() -> None:
    pairs = np.array([[3.0, 1.0], [8.0, 4.0], [5.0, 1.0]])
    found, other = speed_ratio(pairs), speed_ratio(pairs[:, ::-1])
    assert found.mean == pytest.approx(30.0 ** (1.0 / 3.0))
    assert (other.mean, other.low) == pytest.approx((1.0 / found.mean, 1.0 / found.high))


def test_tables_have_a_line_for_each_algorithm() -> None:
    def runs(shift: float) -> list[dict[str, object]]:
        return [
            {"algorithm": algorithm, "returns": [shift + seed, shift + seed - 2.0]}
            for algorithm in ALGORITHMS
            for seed in range(3)
        ]

    lines = returns_table({"mtf_rl": runs(-150.0), "d3rlpy": runs(-250.0)}).splitlines()
    assert len(lines) == 2 + len(ALGORITHMS)
    assert lines[2] == (
        "| BC | -150 [-152, -148] | -250 [-252, -248] | +100 [+98, +102]"
        " | -151, -150, -149 | -251, -250, -249 |"
    )
    both = {PROCESSOR: [[200.0, 100.0], [202.0, 101.0]], WALL: [[30.0, 10.0], [3.0, 1.0]]}
    assert speed_table(dict.fromkeys(ALGORITHMS, both)).splitlines()[2] == (
        "| BC | 201 | 100 | 2.00 [2.00, 2.00] | 3.00 [3.00, 3.00] |"
    )


def replay(episodes: int) -> ReplayBatch:
    rows = episodes * HORIZON
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> Array:
        return rng.uniform(-1.0, 1.0, shape).astype(np.float32)

    observations = draw(rows, 3)
    following = np.roll(observations, -1, axis=0)
    following[HORIZON - 1 :: HORIZON] = draw(episodes, 3)  # where the clock cut
    return ReplayBatch(observations, draw(rows, 1), draw(rows), following)


def test_d3rlpy_gets_every_row_of_the_replay_and_no_other() -> None:
    lived = replay(3)
    given = episode_rows(lived)
    assert not given["terminals"].any()
    cuts = np.flatnonzero(given["timeouts"])
    assert list(cuts) == [200, 401, 602]
    # A row is learnt from unless its episode is cut at it; its successor is the row after it.
    learnt = np.setdiff1d(np.arange(3 * (HORIZON + 1)), cuts)
    np.testing.assert_array_equal(given["observations"][learnt], lived.observations)
    np.testing.assert_array_equal(given["observations"][learnt + 1], lived.next_observations)
    np.testing.assert_array_equal(given["actions"][learnt], lived.actions)
    np.testing.assert_array_equal(given["rewards"][learnt, 0], lived.rewards)


def test_playing_side_by_side_is_playing_alone() -> None:
    def act(observations: Array) -> Array:
        acts: Array = np.sin(observations[:, :1] + observations[:, 2:])
        return acts

    together = play(act)
    assert len(together) == EPISODES
    env = gymnasium.make("Pendulum-v1")
    seen, _ = env.reset(seed=1003)
    alone = 0.0
    for _ in range(HORIZON):
        seen, reward, *_ = env.step(ACTION_SCALE * act(seen[None])[0])
        alone += float(reward)
    assert together[3] == pytest.approx(alone, rel=1e-6)


def test_the_warm_up_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, fast = 100.0 * np.arange(WARM_UP), 100.0 * (WARM_UP - 1) + np.array([1.0, 2.0, 3.0])
    times = np.concatenate([slow, fast])
    wall, processor = iter(times), iter(times / 2.0)
    monkeypatch.setattr("benchmarks.pendulum.time.perf_counter", lambda: next(wall))
    monkeypatch.setattr("benchmarks.pendulum.time.process_time", lambda: next(processor))
    watch = Stopwatch()
    for _ in range(WARM_UP + 3):
        watch.tick()
    assert watch.rates == {WALL: 1.0, PROCESSOR: 2.0}
