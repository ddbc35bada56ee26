"""The learning functions of the batch-RL agents, called by the registry."""

import time
from collections.abc import Set
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from torch import nn
from typing_extensions import override

from mtf_rl.agents.actor import actor_policy
from mtf_rl.agents.checkpoint import load_checkpoint, restore, save_checkpoint
from mtf_rl.agents.learning import (
    LearnedPolicy,
    LearningInterruptedError,
    LearningTask,
    transitions_of,
)
from mtf_rl.agents.networks import Mlp
from mtf_rl.agents.offline.awac import AWAC
from mtf_rl.agents.offline.batch_learning import BatchLearning
from mtf_rl.agents.offline.bc import BC
from mtf_rl.agents.offline.bcq import BCQ
from mtf_rl.agents.offline.config import (
    AWACConfig,
    BatchConfig,
    BatchRLMTFConfig,
    BatchSACConfig,
    BatchTD3Config,
    BatchValueConfig,
    BCConfig,
    BCQConfig,
    CQLConfig,
    IQLConfig,
    TD3BCConfig,
)
from mtf_rl.agents.offline.controls import BatchSAC, BatchTD3
from mtf_rl.agents.offline.cql import CQL
from mtf_rl.agents.offline.iql import IQL
from mtf_rl.agents.offline.td3_bc import TD3BC
from mtf_rl.agents.policies import GenerativePolicy, SavedPolicy
from mtf_rl.agents.sink_writer import SinkWriter
from mtf_rl.agents.standardised import standardisation_of
from mtf_rl.core.errors import DataError
from mtf_rl.data import Transitions
from mtf_rl.evaluation.fitted_q import CONSERVATIVE_OPESTIMATOR, FQEConfig, fit_q

__all__ = [
    "learn_awac",
    "learn_batch_sac",
    "learn_batch_td3",
    "learn_batchrl_mtf",
    "learn_bc",
    "learn_bcq",
    "learn_cql",
    "learn_iql",
    "learn_td3_bc",
    "policy_of",
]

_NO_TAPE = np.zeros((0, 0, 0), dtype=np.float32)  # Batch-RL agents take no actions.


def learn_bc(task: LearningTask, config: BCConfig) -> LearnedPolicy:
    """Learn with behaviour cloning on the task's batch."""
    model = BC(dataset=transitions_of(task), **_shared(task, config))
    return _learn(task, config, model)


def learn_td3_bc(task: LearningTask, config: TD3BCConfig) -> LearnedPolicy:
    """Learn with TD3+BC on the task's batch."""
    settings = _shared(task, config) | _of_values(task, config)
    model = TD3BC(dataset=transitions_of(task), alpha=config.alpha, **settings)
    return _learn(task, config, model)


def learn_cql(task: LearningTask, config: CQLConfig) -> LearnedPolicy:
    """Learn with CQL(H) on the task's batch."""
    model = CQL(
        dataset=transitions_of(task),
        conservative_weight=config.conservative_weight,
        alpha_threshold=config.alpha_threshold,
        n_action_samples=config.n_action_samples,
        actor_learning_rate=config.actor_learning_rate,
        **_shared(task, config),
        **_of_values(task, config),
    )
    return _learn(task, config, model)


def learn_iql(task: LearningTask, config: IQLConfig) -> LearnedPolicy:
    """Learn with IQL on the task's batch."""
    model = IQL(
        dataset=transitions_of(task),
        expectile=config.expectile,
        beta=config.beta,
        **_shared(task, config),
        **_of_values(task, config),
    )
    return _learn(task, config, model)


def learn_awac(task: LearningTask, config: AWACConfig) -> LearnedPolicy:
    """Learn with AWAC on the task's batch."""
    model = AWAC(
        dataset=transitions_of(task),
        temperature=config.temperature,
        **_shared(task, config),
        **_of_values(task, config),
    )
    return _learn(task, config, model)


def learn_batch_td3(task: LearningTask, config: BatchTD3Config) -> LearnedPolicy:
    """Learn with TD3 on the task's batch as its replay buffer."""
    settings = _shared(task, config) | _of_values(task, config)
    model = BatchTD3(dataset=transitions_of(task), **settings)
    return _learn(task, config, model)


def learn_batch_sac(task: LearningTask, config: BatchSACConfig) -> LearnedPolicy:
    """Learn with SAC on the task's batch as its replay buffer."""
    model = BatchSAC(
        dataset=transitions_of(task),
        ent_coef=f"auto_{config.initial_temperature}",
        **_shared(task, config),
        **_of_values(task, config),
    )
    return _learn(task, config, model)


def learn_bcq(task: LearningTask, config: BCQConfig) -> LearnedPolicy:
    """Learn with BCQ on the task's batch."""
    return _learn(task, config, _bcq(task, config, transitions_of(task)))


def learn_batchrl_mtf(task: LearningTask, config: BatchRLMTFConfig) -> LearnedPolicy:
    """Learn with BatchRL-MTF: BCQ, with Conservative-OPEstimator selecting among checkpoints.

    The estimator is fitted on sessions held out from learning, like the paper's test split.
    """
    generator = np.random.default_rng(task.seed)
    fitted, held_out = transitions_of(task).split(config.held_out, generator)
    model = _bcq(task, config, fitted)
    estimator = replace(
        CONSERVATIVE_OPESTIMATOR,
        gamma=config.gamma,
        updates=config.estimator_updates,
        seed=task.seed,
    )
    fractions = range(1, config.checkpoints + 1)
    moments = {round(fraction * config.updates / config.checkpoints) for fraction in fractions}
    selector = _CheckpointSelector(task, held_out, estimator, moments - {0})
    learned = _learn(task, config, model, selector)
    return replace(learned, policy=selector.best_of(model))


def policy_of(model: Any) -> SavedPolicy:
    """The deterministic policy of a batch-RL model as plain arrays."""
    return _generative(model) if isinstance(model, BCQ) else actor_policy(model)


def _generative(model: BCQ) -> GenerativePolicy:
    mean, scale = standardisation_of(model)
    policy: Any = model.policy
    return GenerativePolicy(
        mean=mean,
        scale=scale,
        decoder=_network(policy.vae.decoder, "tanh"),
        perturbation=_network(policy.actor.mu, "tanh"),
        critic=_network(policy.critic.q_networks[0], "identity"),
        action_flexibility=policy.action_flexibility,
        latents=policy.latents.cpu().numpy().copy(),
    )


def _network(layers: nn.Module, output: str) -> Mlp:
    linear = [module for module in layers.modules() if isinstance(module, nn.Linear)]
    return Mlp(
        weights=tuple(layer.weight.detach().cpu().numpy().copy() for layer in linear),
        biases=tuple(layer.bias.detach().cpu().numpy().copy() for layer in linear),
        output=output,
    )


def _bcq(task: LearningTask, config: BCQConfig, dataset: Transitions) -> BCQ:
    shared = _shared(task, config)
    shared["policy_kwargs"] |= {
        "action_flexibility": config.action_flexibility,
        "proposals": config.proposals,
    }
    return BCQ(
        dataset=dataset,
        min_fraction=config.min_fraction,
        n_action_samples=config.n_action_samples,
        target_interval=config.target_interval,
        actor_learning_rate=config.actor_learning_rate,
        vae_learning_rate=config.vae_learning_rate,
        **shared,
        **_of_values(task, config),
    )


def _shared(task: LearningTask, config: BatchConfig) -> dict[str, Any]:
    return {
        "learning_rate": config.learning_rate,
        "batch_size": config.batch_size,
        "policy_kwargs": {"net_arch": list(config.hidden)},
        "seed": task.seed,
        "device": task.device,
    }


def _of_values(task: LearningTask, config: BatchValueConfig) -> dict[str, Any]:
    std = float(transitions_of(task).rewards.std(dtype=np.float64))
    return {
        "gamma": config.gamma,
        "tau": config.tau,
        "reward_scale": 1.0 / std if std > 0.0 else 1.0,
    }


def _learn(
    task: LearningTask,
    config: BatchConfig,
    model: BatchLearning,
    selector: "_CheckpointSelector | None" = None,
) -> LearnedPolicy:
    untrained = policy_of(model)
    assert task.batch is not None  # `transitions_of` has checked it.
    requests = len(task.batch.rewards)
    model.set_logger(Logger(folder=None, output_formats=[SinkWriter(task.metrics)]))
    observer = _Observer(task, selector)
    done = observer.resume(model)
    observers: list[BaseCallback] = [observer] if selector is None else [observer, selector]
    try:
        model.learn(config.updates - done, observers, reset_num_timesteps=done == 0)
    except KeyboardInterrupt:
        learned = LearnedPolicy(policy_of(model), untrained, requests)
        raise LearningInterruptedError(learned) from None
    model.dump_logs()
    return LearnedPolicy(policy_of(model), untrained, requests)


class _Observer(BaseCallback):
    """Reports updates to the task, calls its watch and writes checkpoints."""

    def __init__(self, task: LearningTask, selector: "_CheckpointSelector | None") -> None:
        super().__init__()
        self._task, self._selector = task, selector
        self._saved_at = time.monotonic()

    def resume(self, model: Any) -> int:
        """Restore a fresh model from the task's checkpoint, if there is one.

        Returns:
            The number of updates done, 0 without a checkpoint.

        Raises:
            ArtifactError: if the checkpoint cannot be read or is of another learner.
        """
        plan = self._task.checkpoints
        if plan is None or not plan.path.exists():
            return 0
        checkpoint = load_checkpoint(plan.path)
        model.num_timesteps = checkpoint.num_timesteps
        restore(model, checkpoint)
        if self._selector is not None:
            self._selector.resume(checkpoint.beside)
        self._task.on_update(checkpoint.num_timesteps)
        return checkpoint.num_timesteps

    @override
    def _on_rollout_start(self) -> None:
        plan = self._task.checkpoints
        if plan is None or self.num_timesteps == 0:
            return
        if time.monotonic() - self._saved_at >= plan.seconds:
            beside = None if self._selector is None else self._selector.arrays
            save_checkpoint(plan.path, self.model, _NO_TAPE, mark=plan.mark(), beside=beside)
            self._saved_at = time.monotonic()

    @override
    def _on_step(self) -> bool:
        self._task.on_update(1)
        self._call_watch(self.num_timesteps - 1)  # The callback comes before the step's update.
        return True

    @override
    def _on_training_end(self) -> None:
        self._call_watch(self.num_timesteps)

    def _call_watch(self, updates: int) -> None:
        watch = self._task.watch
        if watch is not None and updates > 0 and updates % watch.every == 0:
            watch.see(updates, policy_of(self.model))


class _CheckpointSelector(BaseCallback):
    """Keeps the networks of the highest value by Conservative-OPEstimator."""

    def __init__(
        self,
        task: LearningTask,
        held_out: Transitions,
        estimator: FQEConfig,
        moments: Set[int],
    ) -> None:
        super().__init__()
        self._task, self._held_out, self._moments = task, held_out, moments
        self._estimator = estimator
        self._value = -np.inf
        self._networks: dict[str, NDArray[Any]] = {}

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """State for a checkpoint: the best value so far and its networks."""
        return {"value": np.array(self._value)} | self._networks

    def resume(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Restore the state from a checkpoint's arrays."""
        self._value = float(arrays["value"])
        self._networks = {name: kept for name, kept in arrays.items() if name != "value"}

    def best_of(self, model: Any) -> SavedPolicy:
        """The policy with the highest value; its networks are loaded into the model.

        Raises:
            DataError: if the estimator diverged for all policies.
        """
        if not self._networks:
            raise DataError(
                "Conservative-OPEstimator diverged for every checkpoint, so none can be selected."
                " Use bcq, or hold out more sessions (--held-out)"
            )
        state = {name: torch.from_numpy(kept.copy()) for name, kept in self._networks.items()}
        model.policy.load_state_dict(state)
        return policy_of(model)

    @override
    def _on_step(self) -> bool:
        updates = self.num_timesteps - 1  # The callback comes before the step's update.
        if updates in self._moments:
            self._compare(updates)
        return True

    @override
    def _on_training_end(self) -> None:
        if self.num_timesteps in self._moments:
            self._compare(self.num_timesteps)

    def _compare(self, updates: int) -> None:
        policy = policy_of(self.model)
        fitted = fit_q(self._held_out, policy, self._estimator)
        value = fitted.value(self._held_out.first_observations, policy)
        diagnostics = fitted.diagnostics
        self._task.metrics(updates, "train/conservative_value", value)
        self._task.metrics(updates, "train/conservative_td_error", diagnostics.td_error)
        if value > self._value and not diagnostics.diverged:
            self._value = value
            state = self.model.policy.state_dict()
            self._networks = {name: kept.cpu().numpy().copy() for name, kept in state.items()}
