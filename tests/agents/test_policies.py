"""Policies made of plain arrays, against naive loops."""

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mtf_rl.agents.policies
from mtf_rl.agents import ConstantPolicy, GenerativePolicy, Mlp, MlpPolicy
from mtf_rl.agents.networks import _layer, _sum_into
from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.errors import ConfigError, DataError, ShapeError, UnknownNameError
from tests.agents.examples import generative_policy, mlp_policy, random_mlp

ACTIVATIONS: dict[str, Callable[[float], float]] = {
    "relu": lambda value: max(0.0, value),
    "tanh": np.tanh,
    "clip": lambda value: min(1.0, max(-1.0, value)),
    "identity": lambda value: value,
}


def naive_mlp(network: Mlp, values: list[float]) -> list[float]:
    for layer, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        last = layer == len(network.weights) - 1
        activation = ACTIVATIONS[network.output if last else network.hidden]
        values = [
            float(
                activation(sum(float(w) * v for w, v in zip(row, values, strict=True)) + float(b))
            )
            for row, b in zip(weight, bias, strict=True)
        ]
    return values


def naive_generative(policy: GenerativePolicy, observation: FloatArray) -> list[float]:
    """One observation at a time, one latent at a time."""
    seen = [
        (float(value) - float(mean)) / float(scale)
        for value, mean, scale in zip(observation, policy.mean, policy.scale, strict=True)
    ]
    best, action = -np.inf, [np.nan]
    for latent in policy.latents:
        decoded = naive_mlp(policy.decoder, [*seen, *map(float, latent)])
        moves = naive_mlp(policy.perturbation, [*seen, *decoded])
        moved = [
            min(1.0, max(-1.0, a + policy.action_flexibility * move))
            for a, move in zip(decoded, moves, strict=True)
        ]
        (value,) = naive_mlp(policy.critic, [*seen, *moved])
        if value > best:
            best, action = value, moved
    return action


def test_a_network_by_hand() -> None:
    network = Mlp(
        weights=(np.array([[1.0, -1.0]]), np.array([[2.0], [-0.5]])),
        biases=(np.array([0.5]), np.array([0.0, 0.25])),
        output="clip",
    )
    # relu(0.75 - 0.25 + 0.5) = 1; 2 is cut to 1, and -0.5 + 0.25 = -0.25. relu(0 - 1 + 0.5) = 0.
    out = network(np.array([[0.75, 0.25], [0.0, 1.0]]))
    np.testing.assert_array_equal(out, [[1.0, -0.25], [0.0, 0.25]])


@pytest.mark.parametrize("hidden", ["relu", "tanh"])
@pytest.mark.parametrize("output", ["tanh", "clip", "identity"])
def test_a_network_against_a_naive_loop(hidden: str, output: str) -> None:
    network = random_mlp((4, 7, 5, 3), seed=2, hidden=hidden, output=output)
    values = np.random.default_rng(3).normal(size=(6, 4))
    expected = [naive_mlp(network, list(row)) for row in values]
    np.testing.assert_allclose(network(values), expected, rtol=1e-12)


def test_networks_that_do_not_fit_are_refused() -> None:
    weight, bias = np.ones((2, 3)), np.ones(2)
    with pytest.raises(ShapeError, match=re.escape("weights[1] must have shape (outputs, inputs)")):
        Mlp((weight, weight), (bias, bias))
    with pytest.raises(ShapeError, match=re.escape("biases[0] must have shape (outputs) = (2,)")):
        Mlp((weight,), (np.ones(3),))
    with pytest.raises(ShapeError, match=re.escape("got (2,)")):
        Mlp((bias,), (bias,))
    with pytest.raises(ShapeError, match=re.escape("got 0 weights and 0 biases")):
        Mlp((), ())
    with pytest.raises(UnknownNameError, match=re.escape("Unknown hidden activation 'rleu'")):
        Mlp((weight,), (bias,), hidden="rleu")
    with pytest.raises(UnknownNameError, match=re.escape("Unknown output activation 'softmax'")):
        Mlp((weight,), (bias,), output="softmax")
    with pytest.raises(ShapeError, match=re.escape("(rows, inputs) = (4, 3), got (4, 2)")):
        Mlp((weight,), (bias,))(np.ones((4, 2)))


def test_mlp_policy_standardises_first() -> None:
    policy = mlp_policy(2, 3)
    observation = np.array([[0.3, 0.7]], dtype=np.float32)
    seen = [
        (float(observation[0, k]) - float(policy.mean[k])) / float(policy.scale[k])
        for k in range(2)
    ]
    action, state = policy.predict(observation)
    np.testing.assert_allclose(action[0], naive_mlp(policy.network, seen), rtol=1e-6)
    assert state is None


def test_mlp_policies_that_do_not_fit_are_refused() -> None:
    policy = mlp_policy(2, 3)
    with pytest.raises(ShapeError, match=re.escape("obs_dim = 4 inputs and 3 outputs, got 2 and")):
        MlpPolicy(np.zeros(4), np.ones(4), policy.network)
    with pytest.raises(ShapeError, match=re.escape("scale must have shape (obs_dim) = (2,)")):
        replace(policy, scale=np.ones(3))
    with pytest.raises(DataError, match=re.escape("scale must be above 0; row 1 breaks this")):
        replace(policy, scale=np.array([1.0, 0.0]))
    with pytest.raises(
        ConfigError, match=re.escape("tanh or clip, which keep actions in [-1, 1], got")
    ):
        replace(policy, network=replace(policy.network, output="identity"))


@pytest.mark.parametrize("policy", [mlp_policy(2, 3), generative_policy(2, 3)])
def test_an_observation_of_another_width_is_refused(policy: MlpPolicy | GenerativePolicy) -> None:
    with pytest.raises(ShapeError, match=re.escape("(any, 2), got (4, 3)")):
        policy.predict(np.zeros((4, 3), dtype=np.float32))


def test_generative_policy_against_a_naive_loop() -> None:
    policy = generative_policy(4, 3, samples=6, action_flexibility=0.3)
    observation = np.random.default_rng(5).normal(size=(20, 4)).astype(np.float32)
    expected = [naive_generative(policy, row) for row in observation]
    actions, state = policy.predict(observation)
    np.testing.assert_allclose(actions, expected, rtol=1e-6, atol=1e-7)
    assert state is None
    assert actions.dtype == np.float32
    # The choice is one: the first latent alone plays other actions.
    alone, _ = replace(policy, latents=policy.latents[:1]).predict(observation)
    assert (np.abs(alone - actions).max(axis=1) > 1e-3).any()


def test_a_generative_choice_by_hand() -> None:
    """No observation counts; the decoder hands on the latent, the critic prefers small actions."""
    policy = GenerativePolicy(
        mean=np.zeros(1),
        scale=np.ones(1),
        decoder=Mlp((np.array([[0.0, 2.0]]),), (np.zeros(1),)),
        perturbation=Mlp((np.zeros((1, 2)),), (np.array([20.0]),)),  # tanh(20) = 1
        critic=Mlp((np.array([[0.0, -1.0]]),), (np.zeros(1),), output="identity"),
        action_flexibility=0.25,
        latents=np.array([[0.5], [-0.25], [0.0]]),
    )
    action, _ = policy.predict(np.zeros((1, 1), dtype=np.float32))
    np.testing.assert_allclose(action, [[np.tanh(-0.5) + 0.25]], rtol=1e-6)


@given(
    seed=st.integers(0, 1000),
    action_flexibility=st.sampled_from([0.0, 0.05, 0.6]),
    values=st.lists(st.floats(-20, 20, width=32), min_size=3, max_size=3),
)
def test_an_action_is_within_the_bound_of_a_decoded_one(
    seed: int, action_flexibility: float, values: list[float]
) -> None:
    policy = generative_policy(3, 2, samples=4, action_flexibility=action_flexibility, seed=seed)
    observation = np.array([values], dtype=np.float32)
    action, _ = policy.predict(observation)
    seen = (observation.astype(np.float64) - policy.mean) / policy.scale
    inputs = np.concatenate([np.repeat(seen, 4, axis=0), policy.latents], axis=1)
    decoded = policy.decoder(inputs)  # (samples, 2)
    assert np.abs(action).max() <= 1.0
    assert np.abs(action - decoded).max(axis=1).min() <= action_flexibility + 1e-6


def test_without_perturbation_one_latent_is_the_decoder() -> None:
    policy = generative_policy(3, 2, samples=1, action_flexibility=0.0)
    observation = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    seen = (observation.astype(np.float64) - policy.mean) / policy.scale
    latents = np.repeat(policy.latents, 9, axis=0)
    expected = policy.decoder(np.concatenate([seen, latents], axis=1)).astype(np.float32)
    np.testing.assert_array_equal(policy.predict(observation)[0], expected)


@pytest.mark.parametrize("policy", [mlp_policy(5, 4), generative_policy(5, 4, samples=7)])
def test_an_action_does_not_depend_on_other_requests_in_the_batch(
    policy: MlpPolicy | GenerativePolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    observation = np.random.default_rng(1).normal(size=(23, 5)).astype(np.float32)
    together, _ = policy.predict(observation)
    alone = [policy.predict(observation[row : row + 1])[0] for row in range(23)]
    np.testing.assert_array_equal(np.concatenate(alone), together)
    monkeypatch.setattr(mtf_rl.agents.policies, "_DECODED_AT_ONCE", 30)
    np.testing.assert_array_equal(policy.predict(observation)[0], together)


def test_generative_policies_that_do_not_fit_are_refused() -> None:
    policy = generative_policy(3, 2, samples=4)
    with pytest.raises(ShapeError, match=re.escape("obs_dim + latent_dim = 4 inputs and 2 out")):
        replace(policy, latents=policy.latents[:, :1])
    with pytest.raises(ShapeError, match=re.escape("perturbation must have obs_dim + action_d")):
        replace(policy, perturbation=random_mlp((5, 4, 3)))
    with pytest.raises(ShapeError, match=re.escape("5 inputs and 1 outputs, got 5 and 2")):
        replace(policy, critic=random_mlp((5, 4, 2), output="identity"))
    with pytest.raises(ConfigError, match=re.escape("critic must end in identity, got 'tanh'")):
        replace(policy, critic=random_mlp((5, 4, 1)))
    with pytest.raises(
        ConfigError, match=re.escape("action_flexibility must be at least 0, got -0.1")
    ):
        replace(policy, action_flexibility=-0.1)
    with pytest.raises(DataError, match=re.escape("latents must be in [-0.5, 0.5]; row 0")):
        replace(policy, latents=np.full((4, 2), 0.7))
    with pytest.raises(ShapeError, match=re.escape("at least one sample, got (0, 2)")):
        replace(policy, latents=np.zeros((0, 2)))


def test_a_constant_policy_returns_its_action() -> None:
    action, _ = ConstantPolicy(np.array([0.5, -1.0])).predict(np.zeros((3, 4), dtype=np.float32))
    np.testing.assert_array_equal(action, [[0.5, -1.0]] * 3)


@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(1, 5),
    inputs=st.sampled_from([0, 1, 3, 64, 131]),
    outputs=st.sampled_from([1, 2, 8, 64]),
)
def test_numpy_and_compiled_paths_give_identical_results(
    seed: int, rows: int, inputs: int, outputs: int
) -> None:
    generator = np.random.default_rng(seed)
    values = generator.normal(size=(rows, inputs))
    weight, bias = generator.normal(size=(inputs, outputs)), generator.normal(size=outputs)
    compiled = np.empty((rows, outputs))
    _sum_into(values, weight, bias, compiled)
    np.testing.assert_array_equal(_layer(values, weight, bias), compiled)
