"""A policy with all that turns its actions into an order of candidates."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from mtf_rl.agents.policies import ConstantPolicy, SavedPolicy
from mtf_rl.core.arrays import check_shape, refuse_rows
from mtf_rl.core.errors import ConfigError, ShapeError
from mtf_rl.core.protocols import Policy
from mtf_rl.core.tasks import NUM_TASKS
from mtf_rl.envs import FusionDynamics
from mtf_rl.envs.candidates import STATISTICS
from mtf_rl.fusion import ActionMap, FusionConfig, FusionFormula

__all__ = ["CANDIDATES_PREFIX", "FusionPolicy", "FusionSetting"]

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
    def of(cls, dynamics: FusionDynamics[Any]) -> "FusionSetting":
        """The setting of an environment's episodes."""
        sessions = dynamics.sessions
        rates = sessions.scores.base_rates[sessions.formula.tasks.columns]
        return cls(
            observation=dynamics.layout.names,
            base_rates=tuple(float(rate) for rate in rates),
            fusion=sessions.config.fusion,
        )

    def make_formula(self) -> FusionFormula:
        """The formula that fuses predictions (..., 8), of which it takes those of its tasks."""
        rates = np.zeros(NUM_TASKS)
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
    def context(self) -> tuple[str, ...]:
        """Names of what the policy reads of a request besides its candidates' predictions."""
        if self.is_static:
            return ()
        names = self.setting.observation
        return tuple(name for name in names if not name.startswith(CANDIDATES_PREFIX))

    @override
    def predict(
        self,
        observation: NDArray[np.float32],
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.float32], Any]:
        return self.policy.predict(observation, state, episode_start, deterministic)
