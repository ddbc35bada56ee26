"""Serving: no heavy imports, and arrays and tables give the same ranking."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mtf_rl.agents import ConstantPolicy, FusionPolicy, MlpPolicy, SavedPolicy, rank, save_policy
from mtf_rl.core.errors import DataError, ShapeError
from mtf_rl.envs import toy_dynamics
from mtf_rl.envs.candidates import PoolPredictions
from mtf_rl.envs.summaries import logits_of, summarise
from tests.agents.examples import fusion_policy, generative_policy, mlp_policy

TOY = toy_dynamics()
HEAVY = {"torch", "stable_baselines3", "optuna", "numba", "scipy", "pandas", "pyarrow"}
SERVE = """
import json, sys
import numpy as np
from mtf_rl.agents import load_policy, rank
policy = load_policy(sys.argv[1])
generator = np.random.default_rng(0)
context = dict.fromkeys(policy.context, 0.25)
ranking = policy.rank_arrays(generator.uniform(size=(100, len(policy.tasks))), context)
light = sorted(sys.modules)
import pandas as pd
frame = pd.DataFrame(generator.uniform(size=(100, len(policy.tasks))), columns=policy.tasks)
rank(frame.assign(**context), policy)
print(json.dumps([light, sorted(sys.modules), ranking.order.tolist()]))
"""


@pytest.mark.parametrize("kind", ["few", "network", "static"])
def test_serving_imports_neither_torch_nor_numba(kind: str, tmp_path: Path) -> None:
    network = mlp_policy(TOY.layout.size, 8)
    first = network.network.weights[0].copy()
    first[:, 3:] = 0.0
    few = replace(
        network, network=replace(network.network, weights=(first, *network.network.weights[1:]))
    )
    policies: dict[str, SavedPolicy] = {
        "few": few,
        "network": network,
        "static": ConstantPolicy(np.zeros(8)),
    }
    policy = fusion_policy(TOY, policies[kind])
    save_policy(tmp_path, policy)
    done = subprocess.run(
        [sys.executable, "-c", SERVE, str(tmp_path)], capture_output=True, text=True, check=True
    )
    light, with_frame, order = json.loads(done.stdout)
    assert not HEAVY & set(light)
    assert not (HEAVY - {"pandas", "pyarrow", "scipy"}) & set(with_frame)
    predictions = np.random.default_rng(0).uniform(size=(100, 8))
    expected = policy.rank_arrays(predictions, dict.fromkeys(policy.context, 0.25))
    assert order == expected.order.tolist()


@pytest.mark.parametrize("kind", ["mlp", "generative", "constant"])
@pytest.mark.parametrize("candidates", [1, 2, 7, 100])
def test_arrays_and_tables_give_the_same_ranking(kind: str, candidates: int) -> None:
    policy = {
        "mlp": fusion_policy(TOY, mlp_policy(TOY.layout.size, 8)),
        "generative": fusion_policy(TOY, generative_policy(TOY.layout.size, 8)),
        "constant": fusion_policy(TOY, ConstantPolicy(np.linspace(-0.5, 1.0, 8))),
    }[kind]
    generator = np.random.default_rng(candidates)
    predictions = generator.uniform(size=(candidates, 8))
    context = {
        name: float(value)
        for name, value in zip(
            policy.context, generator.normal(size=len(policy.context)), strict=True
        )
    }
    frame = pd.DataFrame(predictions, columns=list(policy.tasks)).assign(**context)
    table = rank(frame, policy)
    ranking = policy.rank_arrays(predictions, context)
    np.testing.assert_array_equal(table.index, ranking.order)
    np.testing.assert_array_equal(table["score"], ranking.scores[ranking.order])
    np.testing.assert_array_equal(table.filter(like="weight/").iloc[0], ranking.parameters)
    again = policy.rank_arrays(predictions, np.array(list(context.values())))
    np.testing.assert_array_equal(again.order, ranking.order)


def test_arrays_of_the_wrong_shape_are_refused() -> None:
    policy = fusion_policy(TOY, mlp_policy(TOY.layout.size, 8))
    predictions = np.full((5, 8), 0.5)
    with pytest.raises(ShapeError, match="context must have shape"):
        policy.rank_arrays(predictions)
    with pytest.raises(DataError, match="the context lacks profile/constant, session/log_requests"):
        policy.rank_arrays(predictions, {})
    context = dict.fromkeys(policy.context, 0.0)
    with pytest.raises(ShapeError, match="predictions must have shape"):
        policy.rank_arrays(predictions[:, :3], context)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 100, 8), (2, 11, 1), (4, 57, 3)])
@pytest.mark.parametrize("tied", [False, True])
def test_summaries_are_bitwise_equal_to_the_simulators(
    shape: tuple[int, int, int],
    tied: bool,  # noqa: FBT001
) -> None:
    generator = np.random.default_rng(5)
    scores = generator.uniform(size=shape).astype(np.float32)
    logits = logits_of(np.round(scores, 1) if tied else scores)
    all_candidates = np.tile(np.arange(shape[1]), (shape[0], 1))
    compiled = PoolPredictions.of(logits).statistics(np.arange(shape[0]), all_candidates)
    np.testing.assert_array_equal(summarise(logits), compiled)


def test_a_static_policy_needs_no_context() -> None:
    policy = mlp_policy(TOY.layout.size, 8)
    first = np.zeros_like(policy.network.weights[0])
    blind = replace(
        policy, network=replace(policy.network, weights=(first, *policy.network.weights[1:]))
    )
    assert isinstance(blind, MlpPolicy)
    fused: FusionPolicy = fusion_policy(TOY, blind)
    assert fused.context == ()
    predictions = np.random.default_rng(1).uniform(size=(9, 8))
    observation = np.zeros((1, TOY.layout.size), dtype=np.float32)
    expected = TOY.action_map.to_parameters(fused.predict(observation)[0])
    np.testing.assert_array_equal(fused.rank_arrays(predictions).parameters, expected[0])
