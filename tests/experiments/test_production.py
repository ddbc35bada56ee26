"""Production weights, from the command line to a policy."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from mtf_rl.core.errors import ConfigError, UnknownNameError
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.experiments.production import production_policy, read_production
from mtf_rl.fusion import make_action_map, make_formula

WEIGHTS = (0.4, 0.8, 1.0, 1.0, 0.6, 0.6, -1.0, 0.9)
RATES = np.full(8, 0.1)


def test_a_list_and_a_file_give_the_same_weights(tmp_path: Path) -> None:
    path = tmp_path / "weights.json"
    shuffled = dict(reversed(list(zip(KUAIRAND_TASKS.names, WEIGHTS, strict=True))))
    path.write_text(json.dumps(shuffled))
    listed = read_production("0.4,0.8,1,1,0.6, 0.6,-1,0.9", KUAIRAND_TASKS)
    np.testing.assert_array_equal(listed, np.array(WEIGHTS, dtype=np.float32))
    np.testing.assert_array_equal(read_production(str(path), KUAIRAND_TASKS), listed)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"clik": 1}', "Unknown task 'clik'. Did you mean 'click'?"),
        (
            '{"click": 1}',
            "has no weight for long_view, like, follow, comment, forward, hate, watch",
        ),
        ('{"click": "much"}', "the weight of click must be a number, got 'much'"),
        ('{"click": true}', "the weight of click must be a number, got True"),
        ("[1, 2]", "must hold one JSON object with a weight by task name, got list"),
        ("{", "or a JSON file"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "weights.json"
    path.write_text(content)
    with pytest.raises((ConfigError, UnknownNameError), match=re.escape(message)):
        read_production(str(path), KUAIRAND_TASKS)


def test_wrong_weights_are_refused() -> None:
    for given, message in (
        ("0.4,0.8", "one weight for each of the 8 tasks"),
        ("0.4,0.8,1,1,nan,1,-1,1", "the weight of comment must be finite, got nan"),
        ("nowhere.json", "nowhere.json is neither"),
    ):
        with pytest.raises(ConfigError, match=re.escape(message)):
            read_production(given, KUAIRAND_TASKS)
    with pytest.raises(UnknownNameError):
        KUAIRAND_TASKS.subset(["buy"])


def test_the_policy_plays_the_given_weights() -> None:
    formula = make_formula("click_gated", RATES)
    action_map = make_action_map("box", formula)
    policy = production_policy(np.array(WEIGHTS, dtype=np.float32), formula, action_map)
    action, _ = policy.predict(np.zeros((3, 5), dtype=np.float32))
    np.testing.assert_allclose(action_map.to_parameters(action), [WEIGHTS] * 3, atol=1e-6)


@pytest.mark.parametrize("name", ["box", "simplex"])
def test_a_scale_free_formula_accepts_weights_of_any_scale(name: str) -> None:
    weights = 20.0 * np.array(WEIGHTS, dtype=np.float32)
    formula = make_formula("log_sum", RATES)
    action_map = make_action_map(name, formula)
    action, _ = production_policy(weights, formula, action_map).predict(
        np.zeros((1, 5), dtype=np.float32)
    )
    made = action_map.to_parameters(action)[0]
    np.testing.assert_allclose(
        made / np.abs(made).sum(), weights / np.abs(weights).sum(), atol=1e-5
    )
    # The order of candidates is that of the given weights.
    scores = np.random.default_rng(0).uniform(0.01, 0.9, size=(1, 40, 8)).astype(np.float32)
    prepared = formula.prepare(scores)
    first, second = (np.argsort(formula.fuse(prepared, w[None])) for w in (weights, made))
    np.testing.assert_array_equal(first, second)


def test_weights_out_of_range_of_the_action_map_are_refused() -> None:
    wrong_sign = np.array((-0.4, *WEIGHTS[1:]), dtype=np.float32)
    large = 3.0 * np.array(WEIGHTS, dtype=np.float32)
    for formula_name, weights, message in (
        ("log_sum", wrong_sign, "the action map box does not reach these weights"),
        ("click_gated", large, "like 3, nearest 1"),
    ):
        formula = make_formula(formula_name, RATES)
        with pytest.raises(ConfigError, match=re.escape(message)):
            production_policy(weights, formula, make_action_map("box", formula))


def test_production_weights_keep_default_biases_of_power_product() -> None:
    formula = make_formula("power_product", RATES)
    action_map = make_action_map("power_bias", formula)
    policy = production_policy(np.array(WEIGHTS, dtype=np.float32), formula, action_map)
    made = action_map.to_parameters(policy.predict(np.zeros((1, 5), dtype=np.float32))[0])[0]
    np.testing.assert_allclose(made[:8], WEIGHTS, atol=1e-6)
    np.testing.assert_allclose(made[8:], formula.parameters_of(np.ones(8))[8:], rtol=1e-5)
