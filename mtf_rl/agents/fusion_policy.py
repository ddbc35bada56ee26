"""A policy with all that turns its actions into an order of candidates."""

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
    """What actions mean and what observations hold, as they were where a policy was learnt.

    Raises:
        ConfigError: if a number is out of range, or the parts do not fit each other.
    """

    observation: tuple[str, ...]
    """Names of the numbers that are observed, in order, as `ObservationLayout` has them."""
    base_rates: tuple[float, ...]
    """Mean of each task's feedback where the policy was learnt, in [0, 1]: beta of log_sum."""
    fusion: FusionConfig = field(default_factory=FusionConfig)
    """Formula, action map and tasks."""
    profile: ProfileScale | None = None
    """The constants that made the numbers `profile/...` of raw counts, where they are known."""

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
        """The formula that fuses predictions of all tasks of the dataset, (..., whole)."""
        rates = np.zeros(len(self.fusion.task_set.whole))
        rates[self.fusion.task_set.columns] = self.base_rates
        return self.fusion.make_formula(rates)

    def make_action_map(self) -> ActionMap:
        """The map from actions to that formula's parameters."""
        return self.fusion.make_action_map(self.make_formula())

    def statistic_names(self) -> tuple[str, ...]:
        """Names of what `PoolPredictions.statistics` tells of candidates, in its order."""
        return tuple(
            f"{CANDIDATES_PREFIX}{part}/{task}" for part in STATISTICS for task in self.fusion.tasks
        )

    def _check_observation(self) -> None:
        if len(set(self.observation)) < len(self.observation):
            raise ConfigError("names of observations must differ, got one twice")
        known = self.statistic_names()
        for name in self.observation:
            if name.startswith(CANDIDATES_PREFIX) and name not in known:
                raise ConfigError(
                    f"observation '{name}' is none that candidates have; "
                    f"these are {', '.join(known)}"
                )


@dataclass(frozen=True)
class FusionPolicy(Policy):
    """A policy, and the setting in which its actions are fusion weights.

    Raises:
        ShapeError: if the policy reads or makes another number of values than the setting says.
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
                f"the policy must read obs_dim = {len(self.setting.observation)} numbers, as many"
                f" as the setting names, it reads {self.policy.obs_dim}"
            )
        if self.policy.action_dim != len(names):
            raise ShapeError(
                f"the policy must make {len(names)} parameters for formula "
                f"'{self.setting.fusion.formula}', it makes {self.policy.action_dim}"
            )

    @property
    def is_static(self) -> bool:
        """Whether the action is the same at every request, whatever is observed."""
        return isinstance(self.policy, ConstantPolicy)

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks whose predictions are fused, in the order of `rank_arrays`."""
        return self.setting.fusion.tasks

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """A name for each fusion parameter."""
        return self._parts.formula.parameter_names

    @property
    def served(self) -> SavedPolicy:
        """The policy that takes `inputs` alone."""
        return self._parts.policy

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the observed numbers that can change an action."""
        return tuple(self.setting.observation[position] for position in self._parts.inputs)

    @property
    def context(self) -> tuple[str, ...]:
        """Names of what the policy reads of a request besides its candidates' predictions."""
        return tuple(name for name in self.inputs if not name.startswith(CANDIDATES_PREFIX))

    @cached_property
    def _parts(self) -> "_Parts":
        return _Parts.of(self)

    def parameters(self, predictions: FloatArray, context: FloatArray) -> FloatArray:
        """The fusion parameters of some requests, (num_envs, action_dim) float32.

        Args:
            predictions: of the candidates, (num_envs, candidates, tasks) float32 in [0, 1].
            context: the numbers named by `context`, (num_envs, context).
        """
        parts = self._parts
        if self.is_static:
            return np.tile(parts.static, (len(predictions), 1))
        seen = np.empty((len(predictions), len(parts.inputs)), dtype=np.float32)
        bounded = np.clip(context, -OBSERVATION_BOUND, OBSERVATION_BOUND)
        seen[:, parts.of_context] = bounded
        if len(parts.of_candidates):
            seen[:, parts.of_candidates] = summarise(logits_of(predictions))[:, parts.statistics]
        action, _ = parts.policy.predict(seen, deterministic=True)
        return parts.action_map.to_parameters(action)

    def fused(self, predictions: FloatArray, parameters: FloatArray) -> FloatArray:
        """The candidates' ranking scores, (num_envs, candidates) float32.

        Args:
            predictions: (num_envs, candidates, tasks) float32 in [0, 1].
            parameters: (num_envs, action_dim).
        """
        formula = self._parts.formula
        return formula.fuse(formula.prepare(self._parts.all_tasks(predictions)), parameters)

    def rank_arrays(
        self, predictions: FloatArray, context: FloatArray | Mapping[str, float] | None = None
    ) -> "Ranking":
        """The order of one request's candidates, as the environment would have it.

        The fast way for a service: no table is made, and values are taken as they are given
        (`mtf_rl.agents.rank` checks them). A value above 20 or below -20 is cut, as observations
        are.

        Args:
            predictions: (candidates, tasks) in [0, 1], one column for each of `tasks`.
            context: the numbers named by `context`, (context,) or by name; none if there is none.

        Raises:
            ShapeError: if an array has another shape.
            DataError: if a name of the context is missing.
        """
        names = self.context
        if isinstance(context, Mapping):
            missing = [name for name in names if name not in context]
            if missing:
                raise DataError(f"the context lacks {', '.join(missing)}")
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
    """One request's candidates in order."""

    order: IntArray  # (candidates,), positions, best first; of equal scores the earlier is better
    scores: FloatArray  # (candidates,) float32, in the order in which candidates were given
    parameters: FloatArray  # (action_dim,) float32, the fusion parameters


@dataclass(frozen=True)
class _Parts:
    """What serving needs of a policy, made once."""

    policy: SavedPolicy
    """Of the inputs alone."""
    inputs: IntArray  # positions in the observation
    of_context: IntArray  # positions among the inputs
    of_candidates: IntArray  # positions among the inputs
    statistics: IntArray  # positions in `summarise`, one for each of `of_candidates`
    formula: FusionFormula
    action_map: ActionMap
    static: FloatArray  # (action_dim,), the parameters of a static policy; else none

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
        """Predictions of the fused tasks among those of all tasks, (..., whole); others are 0."""
        tasks = self.formula.tasks
        shown = np.zeros((*predictions.shape[:2], len(tasks.whole)), dtype=np.float32)
        shown[:, :, tasks.columns] = predictions
        return shown
