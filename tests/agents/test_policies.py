"""Policies as plain arrays."""

import re
from pathlib import Path

import numpy as np
import pytest

from mtf_rl.agents import ConstantPolicy, MlpPolicy, load_policy, save_policy
from mtf_rl.core.errors import ArtifactError, ShapeError


def small_policy() -> MlpPolicy:
    generator = np.random.default_rng(0)
    return MlpPolicy(
        mean=np.array([1.0, -1.0], dtype=np.float32),
        scale=np.array([2.0, 0.5], dtype=np.float32),
        weights=(generator.normal(size=(5, 2)).astype(np.float32), np.ones((3, 5), np.float32)),
        biases=(np.zeros(5, np.float32), np.array([0.0, 1.0, -1.0], np.float32)),
    )


def test_mlp_against_a_naive_loop() -> None:
    policy = small_policy()
    observation = np.array([[0.3, 0.7]], dtype=np.float32)
    centred = [(0.3 - 1.0) / 2.0, (0.7 + 1.0) / 0.5]
    hidden = [max(0.0, float(np.dot(row, centred))) for row in policy.weights[0]]
    expected = np.tanh(np.array([sum(hidden), sum(hidden) + 1.0, sum(hidden) - 1.0]))
    action, state = policy.predict(observation)
    np.testing.assert_allclose(action[0], expected, rtol=1e-6)
    assert state is None


@pytest.mark.parametrize("kind", ["mlp", "constant"])
def test_save_and_load_predict_the_same(kind: str, tmp_path: Path) -> None:
    policy = small_policy() if kind == "mlp" else ConstantPolicy(np.linspace(-1, 1, 3))
    save_policy(tmp_path, policy, names=("a", "b"))
    again = load_policy(tmp_path)
    observation = np.random.default_rng(1).normal(size=(7, 2)).astype(np.float32)
    np.testing.assert_array_equal(again.predict(observation)[0], policy.predict(observation)[0])


def test_torn_and_foreign_files_are_refused(tmp_path: Path) -> None:
    save_policy(tmp_path, small_policy(), names=("a", "b"))
    (tmp_path / "policy.safetensors").write_bytes(b"not tensors")
    with pytest.raises(ArtifactError, match=re.escape("policy.safetensors cannot be read")):
        load_policy(tmp_path)
    (tmp_path / "policy.json").write_text('{"version": 99}')
    with pytest.raises(ArtifactError, match=re.escape("is of version 99, this program reads 1")):
        load_policy(tmp_path)


def test_an_observation_of_another_width_is_refused() -> None:
    with pytest.raises(ShapeError, match=re.escape("(any, 2), got (4, 3)")):
        small_policy().predict(np.zeros((4, 3), dtype=np.float32))
