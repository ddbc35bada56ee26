"""A policy together with the setting that turns its actions into a ranking."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from mtf_rl.agents.inputs import inputs_of, on_inputs
from mtf_rl.agents.policies import ConstantPolicy, SavedPolicy
from mtf_rl.core.arrays import FloatArray, IntArray, check_shape, refuse_rows
from mtf_rl.core.errors import ConfigError, DataError, ShapeError
from mtf_rl.core.protocols import Policy
from mtf_rl.data.profile_scale import ProfileScale
from mtf_rl.envs.summaries import OBSERVATION_BOUND, STATISTICS, logits_of, summarise
from mtf_rl.fusion import ActionMap, FusionConfig, FusionFormula

if TYPE_CHECKING:
    from mtf_rl.envs import FusionDynamics

__all__ = ["CANDIDATES_PREFIX", "FusionPolicy", "FusionSetting", "Ranking"]

CANDIDATES_PREFIX = "candidates/"


@dataclass(frozen=True)
class FusionSetting:
    """The meaning of actions and observations in the environment that a policy was trained in.

    Raises:
        ConfigError: if a number is out of range, or the parts do not fit each other.
    """

    observation: tuple[str, ...]
    """Names of the observed numbers, in the order of `ObservationLayout`."""
    base_rates: tuple[float, ...]
    """Mean feedback of each task in the training environment, in [0, 1]: beta of log_sum."""
    fusion: FusionConfig = field(default_factory=FusionConfig)
    """Formula, action map and tasks."""
    profile: ProfileScale | None = None
    """Constants that turn raw counts into the numbers `profile/...`; None if unknown."""

    def __post_init__(self) -> None:
        tasks = self.fusion.tasks
        rates = np.asarray(self.base_rates, dtype=np.float64)
        if rates.shape != (len(tasks),) or not ((rates >= 0.0) & (rates <= 1.0)).all():
            raise ConfigError(
                f"base_rates must be one number in [0, 1] for each of {', '.join(tasks)}, "
                f"got {self.base_rates}"
            )
        self._check_observation()

    @classmethod
    def of(cls, dynamics: "FusionDynamics[Any]") -> "FusionSetting":
        """The setting of an environment's episodes."""
        sessions = dynamics.sessions
        rates = sessions.scores.base_rates[sessions.formula.tasks.columns]
        return cls(
            observation=dynamics.layout.names,
            base_rates=tuple(float(rate) for rate in rates),
            fusion=sessions.config.fusion,
            profile=sessions.profiles.scale,
        )

    def make_formula(self) -> FusionFormula:
        """Make the formula, which fuses predictions of all tasks of the dataset, (..., whole)."""
        rates = np.zeros(len(self.fusion.task_set.whole))
        rates[self.fusion.task_set.columns] = self.base_rates
        return self.fusion.make_formula(rates)

    def make_action_map(self) -> ActionMap:
        """Make the map from actions to the formula's parameters."""
        return self.fusion.make_action_map(self.make_formula())

    def statistic_names(self) -> tuple[str, ...]:
        """Names of the candidate statistics, in the order of `PoolPredictions.statistics`."""
        return tuple(
            f"{CANDIDATES_PREFIX}{part}/{task}" for part in STATISTICS for task in self.fusion.tasks
        )

    def _check_observation(self) -> None:
        if len(set(self.observation)) < len(self.observation):
            raise ConfigError("names of observations must be unique, got duplicates")
        known = self.statistic_names()
        for name in self.observation:
            if name.startswith(CANDIDATES_PREFIX) and name not in known:
                raise ConfigError(
                    f"unknown observation '{name}' of the candidates; known are {', '.join(known)}"
                )


@dataclass(frozen=True)
class FusionPolicy(Policy):
    """A policy and the setting in which its actions are fusion weights.

    Raises:
        ShapeError: if the widths of observation or action differ from the setting's.
        DataError: if a constant action is outside [-1, 1].
    """

    policy: SavedPolicy
    setting: FusionSetting

    def __post_init__(self) -> None:
        names = self.setting.make_formula().parameter_names
        if isinstance(self.policy, ConstantPolicy):
            action = np.asarray(self.policy.action)
            check_shape("action", action, "action_dim", (len(names),))
            refuse_rows(~(np.abs(action) <= 1.0), "an action must be in [-1, 1]")
            return
        if self.policy.obs_dim != len(self.setting.observation):
            raise ShapeError(
                f"the policy must have obs_dim = {len(self.setting.observation)}, the number of"
                f" observations in the setting, got {self.policy.obs_dim}"
            )
        if self.policy.action_dim != len(names):
            raise ShapeError(
                f"the policy must have action_dim = {len(names)} for formula "
                f"'{self.setting.fusion.formula}', got {self.policy.action_dim}"
            )

    @property
    def is_static(self) -> bool:
        """Whether the action is the same at every request."""
        return isinstance(self.policy, ConstantPolicy)

    @property
    def tasks(self) -> tuple[str, ...]:
        """The fused tasks, in the order of the columns that `rank_arrays` takes."""
        return self.setting.fusion.tasks

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """A name for each fusion parameter."""
        return self._parts.formula.parameter_names

    @property
    def served(self) -> SavedPolicy:
        """The same policy with only `inputs` as its observation."""
        return self._parts.policy

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the observed numbers that can change an action."""
        return tuple(self.setting.observation[position] for position in self._parts.inputs)

    @property
    def context(self) -> tuple[str, ...]:
        """Names of the inputs of a request that are not computed from candidates' predictions."""
        return tuple(name for name in self.inputs if not name.startswith(CANDIDATES_PREFIX))

    @cached_property
    def _parts(self) -> "_Parts":
        return _Parts.of(self)

    def parameters(self, predictions: FloatArray, context: FloatArray) -> FloatArray:
        """The fusion parameters of some requests, (num_envs, action_dim) float32.

        Args:
            predictions: predictions for the candidates, (num_envs, candidates, tasks) float32 in
                [0, 1].
            context: the values named by the property `context`, (num_envs, context).
        """
        parts = self._parts
        if self.is_static:
            return np.tile(parts.static, (len(predictions), 1))
        inputs = np.empty((len(predictions), len(parts.inputs)), dtype=np.float32)
        bounded = np.clip(context, -OBSERVATION_BOUND, OBSERVATION_BOUND)
        inputs[:, parts.of_context] = bounded
        if len(parts.of_candidates):
            inputs[:, parts.of_candidates] = summarise(logits_of(predictions))[:, parts.statistics]
        action, _ = parts.policy.predict(inputs, deterministic=True)
        return parts.action_map.to_parameters(action)

    def fused(self, predictions: FloatArray, parameters: FloatArray) -> FloatArray:
        """The candidates' ranking scores, (num_envs, candidates) float32.

        Args:
            predictions: predictions for the candidates, (num_envs, candidates, tasks) float32 in
                [0, 1].
            parameters: fusion parameters, (num_envs, action_dim).
        """
        formula = self._parts.formula
        return formula.fuse(formula.prepare(self._parts.all_tasks(predictions)), parameters)

    def rank_arrays(
        self, predictions: FloatArray, context: FloatArray | Mapping[str, float] | None = None
    ) -> "Ranking":
        """Rank the candidates of one request as the environment does.

        This is the fast call for a service: it builds no table and does not check values
        (`mtf_rl.agents.rank` does). Context values are clipped to [-20, 20], as observations are.

        Args:
            predictions: (candidates, tasks) in [0, 1], one column for each of `tasks`.
            context: the values named by the property `context`, as an array (context,) or by name;
                None if the policy needs no context.

        Raises:
            ShapeError: if an array has the wrong shape.
            DataError: if a name is missing from the context.
        """
        names = self.context
        if isinstance(context, Mapping):
            missing = [name for name in names if name not in context]
            if missing:
                raise DataError(
                    f"the context lacks {', '.join(missing)}; policy.context lists all names"
                )
            context = np.array([context[name] for name in names])
        given = np.zeros(0) if context is None else np.asarray(context)
        check_shape("context", given, "context", (len(names),))
        values = np.asarray(predictions, dtype=np.float32)[None]
        check_shape(
            "predictions", values[0], "candidates, tasks", (len(values[0]), len(self.tasks))
        )
        parameters = self.parameters(values, given[None])
        scores = self.fused(values, parameters)[0]
        return Ranking(np.argsort(-scores, kind="stable"), scores, parameters[0])

    @override
    def predict(
        self,
        observation: NDArray[np.float32],
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.float32], Any]:
        return self.policy.predict(observation, state, episode_start, deterministic)


@dataclass(frozen=True)
class Ranking:
    """The ranking of one request's candidates."""

    order: IntArray  # (candidates,), positions, best first; ties keep the given order
    scores: FloatArray  # (candidates,) float32, in the given order
    parameters: FloatArray  # (action_dim,) float32, the fusion parameters


@dataclass(frozen=True)
class _Parts:
    """Parts of a policy that serving needs, computed once."""

    policy: SavedPolicy
    """The policy with only `inputs` as its observation."""
    inputs: IntArray  # positions in the observation
    of_context: IntArray  # positions among the inputs
    of_candidates: IntArray  # positions among the inputs
    statistics: IntArray  # positions in `summarise`, one for each of `of_candidates`
    formula: FusionFormula
    action_map: ActionMap
    static: FloatArray  # (action_dim,), parameters of a static policy; empty for others

    @classmethod
    def of(cls, policy: "FusionPolicy") -> "_Parts":
        setting = policy.setting
        inputs = inputs_of(policy.policy)
        names = [setting.observation[position] for position in inputs]
        shown = np.array([name.startswith(CANDIDATES_PREFIX) for name in names], dtype=np.bool_)
        known = setting.statistic_names()
        statistics = [known.index(name) for name in names if name.startswith(CANDIDATES_PREFIX)]
        action_map = setting.make_action_map()
        static = np.zeros(0, dtype=np.float32)
        if isinstance(policy.policy, ConstantPolicy):
            static = action_map.to_parameters(np.asarray(policy.policy.action, dtype=np.float32))
        return cls(
            policy=on_inputs(policy.policy, inputs),
            inputs=inputs,
            of_context=np.flatnonzero(~shown),
            of_candidates=np.flatnonzero(shown),
            statistics=np.array(statistics, dtype=np.int64),
            formula=setting.make_formula(),
            action_map=action_map,
            static=static,
        )

    def all_tasks(self, predictions: FloatArray) -> FloatArray:
        """Expand predictions of the fused tasks to all tasks, (..., whole); others are 0."""
        tasks = self.formula.tasks
        shown = np.zeros((*predictions.shape[:2], len(tasks.whole)), dtype=np.float32)
        shown[:, :, tasks.columns] = predictions
        return shown
