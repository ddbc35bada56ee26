"""Batch-RL agents of the registry: from a task's batch dataset to a policy of plain arrays."""

from dataclasses import replace
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from torch import nn
from typing_extensions import override

from mtf_rl.agents.learning import LearnedPolicy, LearningInterruptedError, LearningTask
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
from mtf_rl.agents.online.actor import actor_policy
from mtf_rl.agents.online.sink_writer import SinkWriter
from mtf_rl.agents.online.standardised import standardisation_of
from mtf_rl.agents.policies import GenerativePolicy, SavedPolicy
from mtf_rl.core.errors import DataError
from mtf_rl.data import BatchDataset, Transitions
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


def learn_bc(task: LearningTask, config: BCConfig) -> LearnedPolicy:
    """Clone the batch's actions."""
    model = BC(dataset=_transitions(task), **_shared(task, config))
    return _learn(task, config, model)


def learn_td3_bc(task: LearningTask, config: TD3BCConfig) -> LearnedPolicy:
    """TD3+BC on the task's batch."""
    settings = _shared(task, config) | _of_values(task, config)
    model = TD3BC(dataset=_transitions(task), alpha=config.alpha, **settings)
    return _learn(task, config, model)


def learn_cql(task: LearningTask, config: CQLConfig) -> LearnedPolicy:
    """CQL(H) on the task's batch."""
    model = CQL(
        dataset=_transitions(task),
        weight=config.weight,
        threshold=config.threshold,
        samples=config.samples,
        actor_learning_rate=config.actor_learning_rate,
        **_shared(task, config),
        **_of_values(task, config),
    )
    return _learn(task, config, model)


def learn_iql(task: LearningTask, config: IQLConfig) -> LearnedPolicy:
    """IQL on the task's batch."""
    model = IQL(
        dataset=_transitions(task),
        expectile=config.expectile,
        beta=config.beta,
        **_shared(task, config),
        **_of_values(task, config),
    )
    return _learn(task, config, model)


def learn_awac(task: LearningTask, config: AWACConfig) -> LearnedPolicy:
    """AWAC on the task's batch."""
    model = AWAC(
        dataset=_transitions(task),
        temperature=config.temperature,
        **_shared(task, config),
        **_of_values(task, config),
    )
    return _learn(task, config, model)


def learn_batch_td3(task: LearningTask, config: BatchTD3Config) -> LearnedPolicy:
    """TD3 on the task's batch, as if it were its own replay."""
    settings = _shared(task, config) | _of_values(task, config)
    model = BatchTD3(dataset=_transitions(task), **settings)
    return _learn(task, config, model)


def learn_batch_sac(task: LearningTask, config: BatchSACConfig) -> LearnedPolicy:
    """SAC on the task's batch, as if it were its own replay."""
    model = BatchSAC(
        dataset=_transitions(task),
        ent_coef=f"auto_{config.initial_temperature}",
        **_shared(task, config),
        **_of_values(task, config),
    )
    return _learn(task, config, model)


def learn_bcq(task: LearningTask, config: BCQConfig) -> LearnedPolicy:
    """BCQ on the task's batch."""
    return _learn(task, config, _bcq(task, config, _transitions(task)))


def learn_batchrl_mtf(task: LearningTask, config: BatchRLMTFConfig) -> LearnedPolicy:
    """BCQ as BatchRL-MTF builds it; Conservative-OPEstimator chooses among its checkpoints.

    The estimator is fitted on sessions kept from the learner, as the paper's test split is.
    """
    generator = np.random.default_rng(task.seed)
    fitted, held_out = _transitions(task).split(config.held_out, generator)
    model = _bcq(task, config, fitted)
    estimator = replace(
        CONSERVATIVE_OPESTIMATOR,
        gamma=config.gamma,
        updates=config.estimator_updates,
        seed=task.seed,
    )
    every = max(1, config.updates // config.checkpoints)
    judge = _CheckpointJudge(task, held_out, estimator, every=every)
    learned = _learn(task, config, model, [judge])
    judge.compare(learned.policy, config.updates)
    return LearnedPolicy(judge.best, learned.untrained, learned.requests_used)


def policy_of(model: Any) -> SavedPolicy:
    """What a batch-RL model plays, as plain arrays."""
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
        bound=policy.bound,
        latents=policy.latents.numpy().copy(),
    )


def _network(layers: nn.Module, output: str) -> Mlp:
    linear = [module for module in layers.modules() if isinstance(module, nn.Linear)]
    return Mlp(
        weights=tuple(layer.weight.detach().numpy().copy() for layer in linear),
        biases=tuple(layer.bias.detach().numpy().copy() for layer in linear),
        output=output,
    )


def _bcq(task: LearningTask, config: BCQConfig, dataset: Transitions) -> BCQ:
    shared = _shared(task, config)
    shared["policy_kwargs"] |= {"bound": config.bound, "proposals": config.proposals}
    return BCQ(
        dataset=dataset,
        min_share=config.min_share,
        samples=config.samples,
        target_interval=config.target_interval,
        actor_learning_rate=config.actor_learning_rate,
        vae_learning_rate=config.vae_learning_rate,
        **shared,
        **_of_values(task, config),
    )


def _batch_of(task: LearningTask) -> BatchDataset:
    if task.batch is None:
        raise DataError("a batch-RL agent needs a batch dataset to learn from, got none")
    return task.batch


def _transitions(task: LearningTask) -> Transitions:
    return Transitions.of(_batch_of(task))


def _shared(task: LearningTask, config: BatchConfig) -> dict[str, Any]:
    return {
        "learning_rate": config.learning_rate,
        "batch_size": config.batch_size,
        "policy_kwargs": {"net_arch": list(config.hidden)},
        "seed": task.seed,
    }


def _of_values(task: LearningTask, config: BatchValueConfig) -> dict[str, Any]:
    deviation = float(_batch_of(task).rewards.std(dtype=np.float64))
    return {
        "gamma": config.gamma,
        "tau": config.tau,
        "reward_scale": 1.0 / deviation if deviation > 0.0 else 1.0,
    }


def _learn(
    task: LearningTask,
    config: BatchConfig,
    model: BatchLearning,
    callbacks: list[BaseCallback] | None = None,
) -> LearnedPolicy:
    untrained = policy_of(model)
    requests = len(_batch_of(task).rewards)
    model.set_logger(Logger(folder=None, output_formats=[SinkWriter(task.metrics)]))
    observers = [_UpdateObserver(task), *(callbacks or [])]
    try:
        model.learn(config.updates, callback=observers)
    except KeyboardInterrupt:
        learned = LearnedPolicy(policy_of(model), untrained, requests)
        raise LearningInterruptedError(learned) from None
    model.dump_logs()
    return LearnedPolicy(policy_of(model), untrained, requests)


class _UpdateObserver(BaseCallback):
    """Tells the task's progress bar of every update, and lets its watch look."""

    def __init__(self, task: LearningTask) -> None:
        super().__init__()
        self._task = task

    @override
    def _on_step(self) -> bool:
        self._task.on_update(1)
        self._look(self.num_timesteps - 1)  # The callback comes before the step's update.
        return True

    @override
    def _on_training_end(self) -> None:
        self._look(self.num_timesteps)

    def _look(self, updates: int) -> None:
        watch = self._task.watch
        if watch is not None and updates > 0 and updates % watch.every == 0:
            watch.see(updates, policy_of(self.model))


class _CheckpointJudge(BaseCallback):
    """Keeps the policy of the highest value by Conservative-OPEstimator."""

    def __init__(
        self, task: LearningTask, held_out: Transitions, estimator: FQEConfig, *, every: int
    ) -> None:
        super().__init__()
        self._task, self._held_out, self._every = task, held_out, every
        self._estimator = estimator
        self._best: tuple[float, SavedPolicy] | None = None

    @property
    def best(self) -> SavedPolicy:
        """Of the policies compared so far."""
        assert self._best is not None
        return self._best[1]

    @override
    def _on_step(self) -> bool:
        updates = self.num_timesteps - 1  # The callback comes before the step's update.
        if updates > 0 and updates % self._every == 0:
            self.compare(policy_of(self.model), updates)
        return True

    def compare(self, policy: SavedPolicy, updates: int) -> None:
        """Value a policy, and keep it if it is the best so far."""
        fitted = fit_q(self._held_out, policy, self._estimator)
        value = fitted.value(self._held_out.first_observations, policy)
        self._task.metrics(updates, "train/conservative_value", value)
        if self._best is None or value > self._best[0]:
            self._best = (value, policy)
