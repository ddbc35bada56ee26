"""The loop over users and the array operations give what the batch gives."""

import numpy as np

from benchmarks.simulator_speed import check_loop, check_stages, per_second, stages_of
from mtf_rl.envs import toy_dynamics
from mtf_rl.experiments.environments import demo_dynamics


def test_the_loop_serves_what_the_batch_serves() -> None:
    check_loop(toy_dynamics())
    check_loop(demo_dynamics())


def test_compiled_stages_equal_array_operations() -> None:
    dynamics = demo_dynamics()
    stages = stages_of(dynamics, dynamics.start(3, np.arange(64)))
    assert sum(stage.in_numpy is not None for stage in stages) == 5
    check_stages(stages)


def test_speed_is_amount_over_time() -> None:
    calls: list[int] = []
    assert per_second(lambda: calls.append(1), 10, 0.03) > 10.0
    assert len(calls) > 3
