"""The base of all batch-RL algorithms: SB3's training loop over a fixed dataset."""

from typing import Any, ClassVar, Self, TypedDict, cast

import numpy as np
import torch
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.preprocessing import get_flattened_obs_dim
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, RolloutReturn, Schedule
from stable_baselines3.common.utils import polyak_update
from torch import Tensor, nn
from typing_extensions import Unpack, override

from mtf_rl.agents.offline.config import BatchConfig, BatchValueConfig
from mtf_rl.agents.offline.dataset_env import DatasetEnv
from mtf_rl.agents.offline.sampling import TransitionSampler
from mtf_rl.agents.standardised import StandardisedObservation, freeze_statistics
from mtf_rl.core.errors import ConfigError, DataError, ShapeError
from mtf_rl.data import Transitions

__all__ = ["BatchArguments", "BatchLearning", "batch_policy_kwargs", "spaces_of"]

LOG_INTERVAL = 1000
_DIVERGED = (
    "after update {update} {what}: learning has diverged. Try a smaller learning_rate or a smaller"
    " reward_scale"
)


def spaces_of(env: GymEnv | str | None, dataset: Transitions | None) -> GymEnv | str | None:
    """The environment that gives a model its spaces: `env`, or a `DatasetEnv` of the dataset."""
    return DatasetEnv.of(dataset) if env is None and dataset is not None else env


def batch_policy_kwargs(policy_kwargs: dict[str, Any] | None) -> dict[str, Any]:
    """Add defaults to the user's `policy_kwargs`: standardised observations and fused Adam."""
    defaults = {
        "features_extractor_class": StandardisedObservation,
        "optimizer_kwargs": {"fused": True},
    }
    return defaults | (policy_kwargs or {})


class BatchArguments(TypedDict, total=False):
    """Arguments of all batch-RL algorithms, with SB3's names.

    Defaults not given here are those of the algorithm's settings.
    """

    dataset: Transitions | None
    """Transitions to learn from; if None, call `set_dataset` before `learn`."""
    learning_rate: float | Schedule
    """Adam's learning rate, above 0."""
    batch_size: int
    """Transitions per update, at least 1."""
    gamma: float
    """Discount factor per request, in [0, 1]."""
    tau: float
    """Step of the target networks towards the networks per update, in (0, 1]."""
    reward_scale: float | None
    """Factor on every reward, above 0; by default 1 / standard deviation of the rewards."""
    policy_kwargs: dict[str, Any] | None
    """Arguments of the policy. By default observations are standardised, and `net_arch` is the
    settings' `hidden`."""
    tensorboard_log: str | None
    """Folder for TensorBoard's events; none by default."""
    verbose: int
    """SB3's verbosity; 0 by default: no output."""
    seed: int | None
    """Seed of networks, minibatches and noise."""
    device: str
    """Torch device; cpu by default."""
    _init_setup_model: bool
    """SB3's argument; `load` sets it to False."""


class BatchLearning(OffPolicyAlgorithm):
    """A mixin that makes an SB3 off-policy algorithm learn from a dataset only.

    `learn(n)` does n updates: one timestep is one update, and no environment is stepped. Predict,
    save, callbacks, logger, progress bar and TensorBoard work as in SB3. Observations are
    standardised with the dataset's statistics, which are part of the policy. The dataset is not
    saved with the model: after `load`, call `set_dataset` before `learn`.

    Defaults come from `settings`, the dataclass that `train` also uses.

    The environment gives the spaces, and callbacks such as EvalCallback may step it; without one,
    the dataset gives the spaces. Actions in the dataset are in [-1, 1] for every action space.
    """

    settings: ClassVar[type[BatchConfig]] = BatchValueConfig
    """The dataclass that holds the defaults."""
    reward_scale: float | None
    """Factor on every reward; it matters where exponents or penalties are in reward units. None
    until there is a dataset."""
    _dataset: Transitions | None = None

    def __init__(
        self,
        policy: str | type[Any] = "MlpPolicy",
        env: GymEnv | str | None = None,
        *,
        own: dict[str, Any] | None = None,
        **common: Unpack[BatchArguments],
    ) -> None:
        """Make networks, optimizers and the sampler of minibatches.

        Args:
            policy: SB3's name of a policy, or a policy class.
            env: environment that gives the spaces; by default the dataset gives them.
            own: further arguments of the SB3 algorithm that this class is mixed into.
            **common: see `BatchArguments`.

        Raises:
            ConfigError: if an argument is unknown or `reward_scale` is not positive.
            ShapeError: if the dataset does not fit the spaces.
        """
        unknown = sorted(set(common) - set(BatchArguments.__annotations__))
        if unknown:
            raise ConfigError(
                f"{type(self).__name__} has no argument {', '.join(unknown)}; common arguments are"
                f" {', '.join(BatchArguments.__annotations__)}"
            )
        self._dataset = common.get("dataset")
        self.reward_scale = common.get("reward_scale")
        settings: Any = self.settings
        gamma, tau = (
            getattr(settings, name, getattr(BatchValueConfig, name)) for name in ("gamma", "tau")
        )
        net_arch = {"net_arch": list(settings.hidden)}
        parent: Any = super()
        parent.__init__(
            policy,
            spaces_of(env, self._dataset),
            common.get("learning_rate", settings.learning_rate),
            buffer_size=1,
            learning_starts=0,
            batch_size=common.get("batch_size", settings.batch_size),
            tau=common.get("tau", tau),
            gamma=common.get("gamma", gamma),
            policy_kwargs=batch_policy_kwargs(net_arch | (common.get("policy_kwargs") or {})),
            tensorboard_log=common.get("tensorboard_log"),
            verbose=common.get("verbose", 0),
            seed=common.get("seed"),
            device=common.get("device", "cpu"),
            _init_setup_model=common.get("_init_setup_model", True),
            **(own or {}),
        )

    @property
    def dataset(self) -> Transitions | None:
        """The transitions to learn from."""
        return self._dataset

    def set_dataset(self, dataset: Transitions) -> None:
        """Set the dataset for further learning; the statistics of observations do not change.

        Raises:
            ShapeError: if the dataset does not fit the spaces.
        """
        self._check_spaces(dataset)
        self._dataset = dataset
        self._make_sampler()

    def _check_spaces(self, dataset: Transitions) -> None:
        for name, space, width in (
            ("observations", self.observation_space, dataset.obs_dim),
            ("actions", self.action_space, dataset.action_dim),
        ):
            expected = get_flattened_obs_dim(space)
            if width != expected:
                raise ShapeError(
                    f"the dataset's {name} must have shape (rows, {expected}) as the"
                    f" environment's space, got (rows, {width})"
                )

    def _make_sampler(self) -> None:
        if self._dataset is not None:
            if self.reward_scale is None:
                std = float(self._dataset.rewards.std(dtype=np.float64))
                self.reward_scale = 1.0 / std if std > 0.0 else 1.0
            sampler = TransitionSampler(
                self._dataset,
                reward_scale=self.reward_scale,
                seed=self.seed if self.seed is not None else 0,
                device=self.device,
            )
            self.replay_buffer = cast(Any, sampler)

    @override
    def _setup_model(self) -> None:
        scale = self.reward_scale
        if scale is not None and not (np.isfinite(scale) and scale > 0.0):
            raise ConfigError(f"reward_scale must be positive, got {scale}")
        if self._dataset is not None:
            self._check_spaces(self._dataset)
        self._make_sampler()
        super()._setup_model()
        if self._dataset is not None:
            freeze_statistics(self, self._dataset.observations)

    @override
    def learn(
        self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = LOG_INTERVAL,
        tb_log_name: str | None = None,
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> Self:
        """Do `total_timesteps` updates; values are logged every `log_interval` updates.

        Raises:
            DataError: if there is no dataset, or learning has diverged.
        """
        if self._dataset is None:
            raise DataError("there is no dataset to learn from: call set_dataset first")
        if self.env is None:
            self.set_env(DatasetEnv.of(self._dataset))
        super().learn(
            total_timesteps,
            callback,
            log_interval,
            tb_log_name or type(self).__name__,
            reset_num_timesteps,
            progress_bar,
        )
        self._refuse_divergence()
        return self

    @override
    def collect_rollouts(  # type: ignore[override]
        self, env: Any, callback: Any, *, log_interval: int | None = None, **_: Any
    ) -> RolloutReturn:
        """Count one timestep of SB3's loop; SB3 then calls `train` for one update."""
        callback.on_rollout_start()
        self.num_timesteps += 1
        callback.update_locals(locals())
        if not callback.on_step():
            return RolloutReturn(1, 0, continue_training=False)
        self._update_current_progress_remaining(self.num_timesteps, self._total_timesteps)
        if log_interval is not None and self.num_timesteps % log_interval == 0:
            self._refuse_divergence()
            self.dump_logs()
        callback.on_rollout_end()
        return RolloutReturn(1, 0, continue_training=True)

    def _begin_update(self, optimizers: list[torch.optim.Optimizer]) -> None:
        """Set training mode and the scheduled learning rate of these optimizers."""
        if not self.policy.training:  # Setting the mode costs as much as a small layer.
            self.policy.set_training_mode(True)
        self._update_learning_rate(optimizers)

    def _refuse_divergence(self) -> None:
        """Check all parameters; this also covers SB3's own updates, which check no loss.

        Raises:
            DataError: if a parameter is not finite.
        """
        if not all(torch.isfinite(value).all() for value in self.policy.parameters()):
            raise DataError(_DIVERGED.format(update=self._n_updates, what="a parameter is nan"))

    def _step(self, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        """Do one gradient step.

        Raises:
            DataError: if the loss is not finite; the networks are not changed.
        """
        if not torch.isfinite(loss):
            what = f"the loss is {loss.item()}"
            raise DataError(_DIVERGED.format(update=self._n_updates, what=what))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()

    def _follow(self, network: nn.Module, target: nn.Module) -> None:
        """Polyak update: target <- (1 - tau) target + tau network."""
        polyak_update(network.parameters(), target.parameters(), self.tau)

    @override
    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_dataset"]
