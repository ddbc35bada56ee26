"""The fit of a Q network to a policy."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.protocols import Policy
from mtf_rl.data.transitions import Transitions
from mtf_rl.evaluation.fitted_q.config import FQEConfig
from mtf_rl.evaluation.fitted_q.fitted import FittedQ, FQEDiagnostics, Layer, QNetwork
from mtf_rl.evaluation.fitted_q.losses import FQEBatch, fqe_loss
from mtf_rl.evaluation.policy_actions import next_actions, policy_actions
from mtf_rl.evaluation.session_ends import check_value_exists
from mtf_rl.evaluation.standardisation import Standardisation
from mtf_rl.user_models.fit_torch import float_tensor, reproducible_torch

__all__ = ["fit_q"]

_UPDATES_PER_REPORT = 100
_SMALLEST_SCALE = 1e-9


def fit_q(
    transitions: Transitions,
    policy: Policy,
    config: FQEConfig | None = None,
    *,
    on_progress: Callable[[float], None] = lambda fraction: None,
) -> FittedQ:
    """Q of a deterministic policy, by fitted Q evaluation with a slowly moving target network.

    Each update takes one Adam step on `fqe_loss` over `batch_size` rows sampled with replacement,
    then sets target <- target + tau (network - target). The returned Q is the target: an average of
    about the last 1 / tau networks, which has less noise than the last one. Observations are
    standardised, and rewards are divided by their std, both computed on the fitted rows.

    The influence of the initial target decays at a rate of at least tau (1 - gamma) per update, so
    use many times 1 / (tau (1 - gamma)) updates.

    Args:
        transitions: logged transitions.
        policy: called once per row, with `deterministic=True`.
        config: settings; by default plain fitted Q evaluation.
        on_progress: called with the finished fraction of the updates, in [0, 1].

    Raises:
        DataError: if gamma is 1 and no row is terminated, there are too few sessions to hold some
            out, or the policy's actions are not finite or outside [-1, 1].
        ShapeError: if the policy's actions have another shape.
    """
    config = config or FQEConfig()
    fitted, held_out = _split(transitions, config)
    check_value_exists(fitted, config.gamma)
    standard = Standardisation.of(fitted.observations)
    scale = _reward_scale(fitted.rewards)
    decided = next_actions(policy, fitted)
    rows = _Rows.of(fitted, decided, standard, scale, config.gamma)
    if config.alpha > 0.0:
        rows = rows.with_policy(policy, fitted, standard)
    with reproducible_torch(config.seed):
        layers = _fit(rows, config, on_progress)
    q = QNetwork(layers, standard, transitions.action_dim, scale)
    errors = _td_errors(q, fitted, decided, config.gamma)
    unseen = None
    if held_out is not None:
        unseen = _td_errors(q, held_out, next_actions(policy, held_out), config.gamma)
    return FittedQ(q, config, _diagnose(q, fitted, errors, unseen, config.gamma))


@dataclass(frozen=True)
class _Rows:
    """All rows as tensors, from which updates sample batches; see FQEBatch."""

    inputs: Tensor
    rewards: Tensor
    next_inputs: Tensor
    onward: Tensor
    policy_inputs: Tensor | None

    @classmethod
    def of(
        cls,
        transitions: Transitions,
        decided: FloatArray,
        standard: Standardisation,
        scale: float,
        gamma: float,
    ) -> "_Rows":
        """Rows with `decided`, the policy's actions at the next observations (rows, action_dim)."""
        then = standard.apply(transitions.next_observations)
        then[transitions.terminated] = 0.0
        return cls(
            inputs=_beside(standard.apply(transitions.observations), transitions.actions),
            rewards=float_tensor(transitions.rewards / scale),
            next_inputs=_beside(then, decided),
            onward=float_tensor(gamma * ~transitions.terminated),
            policy_inputs=None,
        )

    def with_policy(
        self, policy: Policy, transitions: Transitions, standard: Standardisation
    ) -> "_Rows":
        """The rows with the policy's actions at the observations, which the penalty needs."""
        actions = policy_actions(
            policy, transitions.observations, action_dim=transitions.action_dim
        )
        now = standard.apply(transitions.observations)
        return replace(self, policy_inputs=_beside(now, actions))

    def batch(self, rows: Tensor) -> FQEBatch:
        return FQEBatch(
            inputs=self.inputs.index_select(0, rows),
            rewards=self.rewards.index_select(0, rows),
            next_inputs=self.next_inputs.index_select(0, rows),
            onward=self.onward.index_select(0, rows),
            policy_inputs=None
            if self.policy_inputs is None
            else self.policy_inputs.index_select(0, rows),
        )


def _fit(rows: _Rows, config: FQEConfig, on_progress: Callable[[float], None]) -> tuple[Layer, ...]:
    """The layers of the target after all updates."""
    network = _network(rows.inputs.shape[1], config.hidden)
    target = _network(rows.inputs.shape[1], config.hidden)
    target.load_state_dict(network.state_dict())
    parameters, slow = list(network.parameters()), list(target.parameters())
    optimizer = torch.optim.Adam(parameters, lr=config.learning_rate, fused=True)
    draws = torch.Generator().manual_seed(config.seed)
    count = len(rows.rewards)
    for update in range(config.updates):
        drawn = torch.randint(count, (config.batch_size,), generator=draws)
        optimizer.zero_grad()
        loss = fqe_loss(network, target, rows.batch(drawn), alpha=config.alpha)
        loss.total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        with torch.no_grad():
            for kept, new in zip(slow, parameters, strict=True):
                kept.lerp_(new, config.tau)
        if update % _UPDATES_PER_REPORT == 0:
            on_progress(update / config.updates)
    on_progress(1.0)
    linear = [module for module in target if isinstance(module, nn.Linear)]
    return tuple(Layer(_array(module.weight).T, _array(module.bias)) for module in linear)


def _network(inputs: int, hidden: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for units in hidden:
        # In place, because allocating new memory at each update costs more than the arithmetic.
        layers += [nn.Linear(inputs, units), nn.ReLU(inplace=True)]
        inputs = units
    return nn.Sequential(*layers, nn.Linear(inputs, 1))


def _diagnose(
    q: QNetwork,
    fitted: Transitions,
    errors: FloatArray,
    unseen: FloatArray | None,
    gamma: float,
) -> FQEDiagnostics:
    """Diagnostics from the TD errors of the fitted rows and of the held-out rows."""
    horizon = 10.0 / float(fitted.terminated.mean()) if gamma == 1.0 else 1.0 / (1.0 - gamma)
    return FQEDiagnostics(
        td_error=_root_mean_square(errors),
        held_out_td_error=None if unseen is None else _root_mean_square(unseen),
        td_bias=float(errors.mean()),
        mean_absolute_q=float(np.abs(q.q(fitted.observations, fitted.actions)).mean()),
        largest_plausible_q=float(np.abs(fitted.rewards).max()) * horizon,
    )


def _td_errors(q: QNetwork, rows: Transitions, decided: FloatArray, gamma: float) -> FloatArray:
    """The TD error of each row, (rows,); `decided` as in `_Rows.of`."""
    then = np.where(rows.terminated, 0.0, q.q(rows.next_observations, decided))
    errors: FloatArray = rows.rewards + gamma * then - q.q(rows.observations, rows.actions)
    return errors


def _root_mean_square(values: FloatArray) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _split(transitions: Transitions, config: FQEConfig) -> tuple[Transitions, Transitions | None]:
    if config.held_out_fraction == 0.0:
        return transitions, None
    return transitions.split(config.held_out_fraction, np.random.default_rng(config.seed))


def _reward_scale(rewards: FloatArray) -> float:
    std = float(rewards.std(dtype=np.float64))
    return std if std > _SMALLEST_SCALE else 1.0


def _beside(standard: FloatArray, actions: FloatArray) -> Tensor:
    return float_tensor(np.concatenate([standard, actions], axis=1))


def _array(parameter: Tensor) -> FloatArray:
    values: FloatArray = parameter.detach().double().numpy().copy()
    return values
