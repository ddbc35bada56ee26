"""The table of batch RL: intervals over seeds, and who beats both references."""

from pathlib import Path

import numpy as np

from benchmarks.batch_rl import (
    BEHAVIOUR,
    STATIC,
    Settings,
    beats_both,
    best_static,
    interval,
    tables,
)
from mtf_rl.agents import UniformRandom, collect
from mtf_rl.envs import toy_dynamics
from mtf_rl.evaluation import roll_out


def test_an_interval_over_seeds_by_hand() -> None:
    # Mean 2, deviation 1, over sqrt(3), times t(2 degrees, 97.5 %) = 4.3027.
    assert interval(np.array([1.0, 2.0, 3.0])) == "2.00 [-0.48, 4.48]"


def test_both_references_must_be_beaten_significantly() -> None:
    values = {
        BEHAVIOUR: np.array([1.0, 2.0, 3.0]),
        STATIC: np.array([2.0, 3.0, 4.0]),
        "sure": np.array([3.0, 4.1, 5.0]),
        "by random numbers": np.array([9.0, 3.0, 4.1]),
        "one of them": np.array([1.9, 3.1, 3.9]),
    }
    assert [name for name in values if beats_both(values, name)] == ["sure"]


def test_the_table_pairs_by_seed() -> None:
    def results(*values: float) -> list[dict[str, object]]:
        both = [{"simulator": value, "ground_truth": 2.0 * value} for value in values]
        return [{"values": entry, "curve": [], "seconds": 1.0} for entry in both]

    found = {
        BEHAVIOUR: results(1.0, 5.0),
        STATIC: results(2.0, 6.0),
        "iql": results(3.0, 7.0),
    }
    page = tables(Settings(Path("runs/x"), seeds=(1, 2)), found)
    assert (
        "| iql | 5.00 [-20.41, 30.41] | 2.00 [2.00, 2.00] | 1.00 [1.00, 1.00] | yes | 1 |" in page
    )
    assert "| iql | 10.00 [-40.82, 60.82] | 4.00 [4.00, 4.00] | 2.00 [2.00, 2.00] | yes |" in page


def test_the_best_static_weights_of_a_toy_are_better_than_most() -> None:
    dynamics = toy_dynamics()
    batch = collect(dynamics, UniformRandom(8), requests=12_000, seed=0)
    found = best_static(batch, seed=0)
    episodes = np.arange(400)
    value = roll_out(dynamics, found, seed=9, episodes=episodes).reward.mean()
    # Of 150 random actions, half are worth less than 6.3, and one in ten more than 7.1.
    assert value > 6.7
