"""The tuning of learners: what is tried, and that finished trials are kept."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.agent_tuning import (
    RANGES,
    START,
    WIDTH,
    Bench,
    Settings,
    Trial,
    agent_settings,
    interval_cell,
    suggest,
)
from mtf_rl.core.errors import ConfigError
from mtf_rl.envs import toy_dynamics

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("agent", RANGES)
def test_the_start_lies_in_its_ranges_and_makes_settings(agent: str) -> None:
    assert START[agent].keys() == RANGES[agent].keys()
    for name, entry in RANGES[agent].items():
        assert entry.low <= START[agent][name] <= entry.high
    settings = agent_settings(agent, {**START[agent], WIDTH: 48}, 20_000)
    assert settings.hidden == (48, 48)
    assert settings.warmup_requests <= 5_000


@pytest.mark.parametrize("agent", RANGES)
def test_trials_depend_on_the_earlier_ones_alone(agent: str) -> None:
    earlier: list[Trial] = []
    for number in range(7):
        params = suggest(agent, earlier)
        assert params == suggest(agent, list(earlier))
        assert params not in [dict(trial.params) for trial in earlier]
        for name, entry in RANGES[agent].items():
            assert entry.low <= params[name] <= entry.high
        earlier.append(Trial(params, 100 + number, float(number % 3), 1.0))
    assert dict(earlier[0].params) == START[agent]


def test_a_finished_trial_is_not_learnt_again(tmp_path: Path) -> None:
    dynamics = toy_dynamics()
    bench = Bench(dynamics, dynamics, tmp_path, requests=2_500, sessions=20)
    first = bench.run("a2c", START["a2c"], 100, "trial-00")
    (cell,) = tmp_path.rglob("trial-00.json")
    cell.write_text(cell.read_text().replace(repr(first.value), "123.0"))
    assert bench.run("a2c", START["a2c"], 100, "trial-00").value == 123.0
    # Another seed, or other settings, under the same name are another trial.
    assert bench.run("a2c", START["a2c"], 101, "trial-00").value != 123.0


def test_an_interval_over_seeds_by_hand() -> None:
    # Mean 2, deviation 1, over sqrt(3), times t(2 degrees, 97.5 %) = 4.3027.
    assert interval_cell([1.0, 2.0, 3.0]) == "2.00 [-0.48, 4.48]"


def test_an_agent_without_ranges_is_refused() -> None:
    with pytest.raises(ConfigError, match=re.escape("agents must be among")):
        Settings(Path("runs/lspi-0"), agents=("uniform",))
    with pytest.raises(ConfigError, match=re.escape("seeds 2, got 11, 6 and 1")):
        replace(Settings(Path("runs/lspi-0")), seeds=1)
