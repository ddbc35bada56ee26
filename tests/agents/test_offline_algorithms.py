"""Batch-RL algorithms as Stable-Baselines3 classes: targets, bounds, saving, callbacks."""

import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3 import TD3
from stable_baselines3.common.callbacks import CheckpointCallback, EvalCallback
from stable_baselines3.common.monitor import Monitor

from mtf_rl.agents import AGENTS
from mtf_rl.agents.offline import (
    AWAC,
    BC,
    BCQ,
    CQL,
    IQL,
    TD3BC,
    BatchLearning,
    BatchSAC,
    BatchTD3,
    DatasetEnv,
    bcq,
    iql,
)
from mtf_rl.agents.offline.cql import values_of_samples
from mtf_rl.agents.offline.learners import policy_of
from mtf_rl.agents.offline.losses import critic_loss, expectile_loss
from mtf_rl.core.errors import ConfigError, DataError, ShapeError
from mtf_rl.data import Transitions

ALGORITHMS: list[type[Any]] = [BC, TD3BC, BCQ, CQL, IQL, AWAC, BatchTD3, BatchSAC]
WITH_VALUES = [algorithm for algorithm in ALGORITHMS if algorithm is not BC]
NETS = {"net_arch": [16, 16]}


def dataset(rows: int = 200, seed: int = 0) -> Transitions:
    """A dataset in which the reward is the first entry of the action."""
    generator = np.random.default_rng(seed)
    observations = generator.normal(2.0, 3.0, (rows, 5)).astype(np.float32)
    actions = generator.uniform(-1, 1, (rows, 2)).astype(np.float32)
    return Transitions(
        observations=observations,
        actions=actions,
        rewards=actions[:, 0],
        next_observations=generator.normal(2.0, 3.0, (rows, 5)).astype(np.float32),
        terminated=generator.random(rows) < 0.3,
        sessions=np.arange(rows),
        requests=np.zeros(rows, dtype=np.int32),
    )


def one_state(*, terminated: bool) -> Transitions:
    """A single state with reward 1 for every action; sessions are terminated or truncated."""
    generator = np.random.default_rng(0)
    rows = 400
    state = np.ones((rows, 3), dtype=np.float32)
    return Transitions(
        observations=state,
        actions=generator.uniform(-1, 1, (rows, 1)).astype(np.float32),
        rewards=np.ones(rows, dtype=np.float32),
        next_observations=state,
        terminated=np.full(rows, terminated),
        sessions=np.arange(rows),
        requests=np.zeros(rows, dtype=np.int32),
    )


def model_of(algorithm: type[Any], data: Transitions | None = None, **settings: Any) -> Any:
    kwargs = NETS | settings.pop("policy_kwargs", {})
    return algorithm(
        dataset=dataset() if data is None else data, seed=0, policy_kwargs=kwargs, **settings
    )


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_loaded_model_predicts_the_same_and_can_continue_learning(
    algorithm: type[Any], tmp_path: Path
) -> None:
    model = model_of(algorithm).learn(20)
    observations = dataset().observations[:7]
    actions, _ = model.predict(observations, deterministic=True)
    model.save(tmp_path / "model.zip")
    assert (tmp_path / "model.zip").stat().st_size < 300_000  # The dataset is not saved.
    loaded = algorithm.load(tmp_path / "model.zip")
    np.testing.assert_array_equal(loaded.predict(observations, deterministic=True)[0], actions)
    with pytest.raises(DataError, match="set_dataset"):
        loaded.learn(1)
    loaded.set_dataset(dataset())
    loaded.learn(5, reset_num_timesteps=False)
    assert (loaded.num_timesteps, loaded._n_updates) == (25, 25)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_one_timestep_is_one_update_and_sb3_callbacks_work(
    algorithm: type[Any], tmp_path: Path
) -> None:
    model = model_of(algorithm, tensorboard_log=str(tmp_path / "tb"))
    start = model.predict(dataset().observations[:4], deterministic=True)[0]
    checkpoints = CheckpointCallback(save_freq=10, save_path=str(tmp_path))
    model.learn(30, callback=checkpoints, log_interval=10)
    assert model._n_updates == model.num_timesteps == 30
    assert sorted(p.name for p in tmp_path.glob("*.zip")) == [
        f"rl_model_{step}_steps.zip" for step in (10, 20, 30)
    ]
    assert list((tmp_path / "tb").glob(f"{algorithm.__name__}_1/events*"))
    moved = model.predict(dataset().observations[:4], deterministic=True)[0]
    assert np.abs(moved).max() <= 1.0
    assert np.abs(moved - start).max() > 0.0


def test_an_environment_can_be_given_for_evaluation(tmp_path: Path) -> None:
    env = gymnasium.make("Pendulum-v1")
    rows = 50
    data = replace(
        dataset(rows),
        observations=np.zeros((rows, 3), dtype=np.float32),
        next_observations=np.zeros((rows, 3), dtype=np.float32),
        actions=np.zeros((rows, 1), dtype=np.float32),
    )
    model = TD3BC("MlpPolicy", env, dataset=data, policy_kwargs=NETS, seed=0)
    evaluation = EvalCallback(
        Monitor(gymnasium.make("Pendulum-v1")), n_eval_episodes=1, eval_freq=5, verbose=0
    )
    model.learn(10, callback=evaluation)
    assert np.isfinite(evaluation.last_mean_reward)
    assert evaluation.n_calls == 10


def test_actions_are_scaled_to_the_environments_box() -> None:
    # The dataset's actions are in [-1, 1]; Pendulum's are in [-2, 2].
    rows = 64
    data = replace(
        dataset(rows),
        observations=np.ones((rows, 3), dtype=np.float32),
        next_observations=np.ones((rows, 3), dtype=np.float32),
        actions=np.full((rows, 1), 0.5, dtype=np.float32),
    )
    env = gymnasium.make("Pendulum-v1")
    model = BC("MlpPolicy", env, dataset=data, policy_kwargs=NETS, learning_rate=3e-3, seed=0)
    model.learn(300)
    action, _ = model.predict(np.ones((1, 3), dtype=np.float32), deterministic=True)
    assert float(action[0, 0]) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("algorithm", WITH_VALUES)
def test_values_bootstrap_at_truncation_and_not_at_termination(
    algorithm: type[Any],
) -> None:
    settings: dict[str, Any] = {"gamma": 0.5, "learning_rate": 1e-2, "tau": 0.2, "batch_size": 32}
    if algorithm in (CQL, BatchSAC):
        settings["ent_coef"] = 0.001
    if algorithm is CQL:
        settings["conservative_weight"] = 0.0
    for terminated, expected in ((True, 1.0), (False, 2.0)):  # 1 and 1 / (1 - gamma)
        model = model_of(algorithm, one_state(terminated=terminated), **settings).learn(150)
        observation = torch.ones(1, 3)
        values = [float(q.detach()) for q in model.critic(observation, torch.zeros(1, 1))]
        np.testing.assert_allclose(values, expected, atol=0.15)


def test_the_control_does_sb3s_unmodified_update() -> None:
    ours = model_of(BatchTD3, learning_rate=3e-4, gamma=0.99)
    theirs = TD3(
        "MlpPolicy",
        DatasetEnv.of(dataset()),
        learning_rate=3e-4,
        learning_starts=0,
        gradient_steps=0,
        policy_kwargs=ours.policy_kwargs,
        seed=0,
        device="cpu",
        gamma=0.99,
    )
    theirs.policy.load_state_dict(ours.policy.state_dict())
    sampler: Any = model_of(BatchTD3).replay_buffer
    theirs.replay_buffer = sampler
    theirs._setup_learn(10)
    torch.manual_seed(1)
    ours._setup_learn(10)
    ours.train(gradient_steps=10, batch_size=32)
    torch.manual_seed(1)
    theirs.train(gradient_steps=10, batch_size=32)
    for mine, other in zip(ours.policy.parameters(), theirs.policy.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=0)


def test_bcq_actions_are_within_action_flexibility_of_a_decoded_action() -> None:
    model = model_of(BCQ, policy_kwargs={"action_flexibility": 0.05}).learn(30)
    observations = torch.as_tensor(dataset().observations)
    with torch.no_grad():
        decoded = model.vae.decode(observations)
        moved = model.actor(observations, decoded) - decoded
    assert 0.0 < float(moved.abs().max()) <= 0.05 + 1e-6


def test_bcq_with_zero_flexibility_and_one_proposal_is_its_decoder() -> None:
    model = model_of(BCQ, policy_kwargs={"action_flexibility": 0.0, "proposals": 1}).learn(30)
    observations = torch.as_tensor(dataset().observations)
    latent = model.policy.latents.expand(len(observations), -1)
    expected = model.vae.decode(observations, latent).detach()
    found, _ = model.predict(dataset().observations, deterministic=True)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_bcqs_target_is_the_maximum_of_the_mixed_critics_over_proposals(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = replace(dataset(2), rewards=np.array([1.0, 2.0], dtype=np.float32))
    rows = replace(rows, terminated=np.array([False, True]))
    model = model_of(
        BCQ, rows, n_action_samples=3, gamma=0.5, policy_kwargs={"action_flexibility": 0.0}
    )
    proposals = torch.tensor([-0.5, 0.2, 0.9])
    targets: list[torch.Tensor] = []

    def decode(observations: torch.Tensor) -> torch.Tensor:
        return proposals.repeat(len(observations) // 3)[:, None].expand(-1, 2)

    def keep_target(values: Any, target: torch.Tensor) -> torch.Tensor:
        targets.append(target)
        return critic_loss(values, target)

    monkeypatch.setattr(model.vae, "decode", decode)
    monkeypatch.setattr(
        model, "critic_target", lambda _, actions: (actions[:, :1], 1.0 - actions[:, :1])
    )
    monkeypatch.setattr(bcq, "critic_loss", keep_target)
    batch = model.replay_buffer.sample(8)
    model._setup_learn(1)
    model._update_critic(batch)
    # 0.75 min + 0.25 max of (a, 1 - a): 0 for -0.5, 0.35 for 0.2, 0.3 for 0.9; the best is 0.35.
    expected = batch.rewards + 0.5 * (1.0 - batch.dones) * 0.35
    torch.testing.assert_close(targets[0], expected)


def test_iql_uses_target_critics_and_its_actors_learning_rate_decays_to_zero(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = model_of(IQL)
    errors: list[torch.Tensor] = []

    def keep_errors(found: torch.Tensor, tau: float) -> torch.Tensor:
        errors.append(found.detach())
        return expectile_loss(found, tau)

    monkeypatch.setattr(iql, "expectile_loss", keep_errors)
    batch = model.replay_buffer.sample(8)
    monkeypatch.setattr(model.replay_buffer, "sample", lambda size: batch)
    two, three = torch.full((8, 1), 2.0), torch.full((8, 1), 3.0)
    with monkeypatch.context() as patched:
        patched.setattr(model, "critic_target", lambda *_: (three, two))
        patched.setattr(model, "_follow", lambda *_: None)
        with torch.no_grad():
            before = model.value(batch.observations)
        model._setup_learn(1)
        model.train(1, 8)
    torch.testing.assert_close(errors[0], 2.0 - before)
    model.learn(10)
    assert model.actor.optimizer.param_groups[0]["lr"] == pytest.approx(0.0, abs=1e-12)
    assert model.critic.optimizer.param_groups[0]["lr"] == pytest.approx(3e-4)


def test_cqls_values_of_many_actions_equal_the_critics() -> None:
    model = model_of(CQL)
    observations = torch.as_tensor(dataset().observations[:6])
    actions = torch.rand(6, 4, 2) * 2 - 1
    for position, values in enumerate(values_of_samples(model.critic, observations, actions)):
        for sample in range(4):
            expected = model.critic(observations, actions[:, sample])[position][:, 0]
            torch.testing.assert_close(values[:, sample], expected)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_exported_policy_predicts_the_models_actions(algorithm: type[Any]) -> None:
    model = model_of(algorithm).learn(40)
    observations = dataset().observations
    expected, _ = model.predict(observations, deterministic=True)
    found, _ = policy_of(model).predict(observations)
    alike = np.isclose(found, expected, atol=1e-5).all(axis=1)
    # If BCQ gives two proposals nearly equal values, the float32 network may select the other one.
    assert alike.all() or (algorithm is BCQ and alike.mean() > 0.9)


def test_awacs_std_can_fall_if_actions_are_on_the_bounds() -> None:
    corner = replace(dataset(), actions=np.ones((200, 2), dtype=np.float32))
    model = model_of(AWAC, corner, learning_rate=1e-2).learn(150)
    assert model.actor.log_std.max().item() < -0.8


def test_cqls_threshold_applies_to_one_critics_gap() -> None:
    # If the sum of both critics' gaps is between one and two thresholds, the weight must fall.
    model = model_of(CQL, alpha_threshold=1.0, conservative_weight=1.0)
    model._setup_learn(1)
    before = model.log_weight.item()
    model._penalty(torch.tensor(1.5), 2)
    assert model.log_weight.item() < before
    model._penalty(torch.tensor(2.5), 2)
    model._penalty(torch.tensor(9.5), 2)
    assert model.log_weight.item() > before - 1e-3


def test_cqls_multiplier_rises_above_the_threshold_and_falls_below() -> None:
    high = model_of(CQL, alpha_threshold=-100.0, conservative_weight=1.0).learn(20)
    low = model_of(CQL, alpha_threshold=100.0, conservative_weight=1.0).learn(20)
    assert low.log_weight.item() < 0.0 < high.log_weight.item()


def test_cql_is_more_pessimistic_the_larger_its_weight() -> None:
    rows = dataset()
    near = replace(rows, actions=rows.actions * 0.2 - 0.7)  # No logged action is above -0.5.
    gaps = []
    for weight in (0.0, 5.0):
        model = model_of(
            CQL, near, conservative_weight=weight, learning_rate=1e-2, batch_size=32
        ).learn(80)
        observations = torch.as_tensor(near.observations)
        logged = model.critic(observations, torch.as_tensor(near.actions))[0].mean()
        unseen = model.critic(observations, torch.full((len(near), 2), 0.8))[0].mean()
        gaps.append(float((unseen - logged).detach()))
    assert gaps[1] < gaps[0] - 1.0


def test_the_datasets_statistics_are_part_of_the_policy() -> None:
    model = model_of(TD3BC)
    mean = model.actor.features_extractor.mean
    np.testing.assert_allclose(mean, dataset().observations.mean(axis=0), rtol=1e-5)


# SB3's SAC takes finite steps on an infinite loss.
@pytest.mark.parametrize("algorithm", [a for a in WITH_VALUES if a is not BatchSAC])
def test_diverging_values_stop_learning(algorithm: type[Any]) -> None:
    model = model_of(algorithm, replace(dataset(), rewards=np.full(200, 3e38, dtype=np.float32)))
    with pytest.raises(DataError, match="learning has diverged"):
        model.learn(50)


def test_datasets_and_arguments_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError, match=re.escape("actions must have shape (rows, 2)")):
        model_of(TD3BC).set_dataset(replace(dataset(), actions=dataset().actions[:, :1]))
    with pytest.raises(ConfigError, match=re.escape("reward_scale must be positive, got 0.0")):
        model_of(TD3BC, reward_scale=0.0)
    with pytest.raises(DataError, match="cannot respond to new actions"):
        DatasetEnv.of(dataset()).step(np.zeros(2, dtype=np.float32))


def test_every_algorithm_is_a_batch_learner() -> None:
    assert all(issubclass(algorithm, BatchLearning) for algorithm in ALGORITHMS)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_algorithm_and_its_agent_have_the_same_defaults(algorithm: type[Any]) -> None:
    odd: dict[Any, str] = {
        TD3BC: "td3_bc",
        BatchTD3: "batch_td3",
        BatchSAC: "batch_sac",
    }
    name = odd.get(algorithm, algorithm.__name__.lower())
    rows = dataset()
    settings = AGENTS[name].config()
    model = algorithm(dataset=rows, seed=0)
    expected = {entry.name: getattr(settings, entry.name) for entry in fields(settings)}
    own = {key: value for key, value in expected.items() if hasattr(model, key)}
    assert {key: getattr(model, key) for key in own} == own
    assert model.policy_kwargs["net_arch"] == list(settings.hidden)
    assert model.reward_scale == pytest.approx(1.0 / rows.rewards.std(dtype=np.float64))
    with pytest.raises(
        ConfigError, match=re.escape("has no argument weigth; common arguments are")
    ):
        algorithm(dataset=rows, weigth=1.0)
