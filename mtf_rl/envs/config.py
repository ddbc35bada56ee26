"""The settings of the environments."""

from dataclasses import dataclass

from mtf_rl.core.errors import ConfigError
from mtf_rl.core.ranges import check_at_least
from mtf_rl.core.tasks import TASK_NAMES, TaskSet
from mtf_rl.envs.rewards import check_reward_name
from mtf_rl.fusion import FORMULAS, check_pair

__all__ = ["RetentionConfig", "SessionConfig"]


@dataclass(frozen=True)
class SessionConfig:
    """One session of one user: what is shown, how it is fused, what it is worth.

    Raises:
        ConfigError: if a number is out of range, or formula, action map and tasks do not fit.
        UnknownNameError: if a name is not in its registry.
    """

    candidates: int = 100
    """Videos retrieved for each request, at most the pool."""
    slate: int = 6
    """Videos shown at each request, at most the candidates."""
    max_requests: int = 50
    """Requests after which a session is truncated."""
    formula: str = "log_sum"
    """Fusion formula: weighted_sum, log_sum, power_product, rank or click_gated."""
    action_map: str = "box"
    """Map from action to fusion parameters: box, simplex, residual or power_bias."""
    tasks: tuple[str, ...] = TASK_NAMES
    """Tasks whose predictions are fused and observed; any of click to watch."""
    base: tuple[float, ...] = ()
    """Weights around which action map residual moves, one per task; none for uniform ones."""
    radius: float = 0.15
    """How far residual moves from them, in units of the action, in (0, 1]."""
    reward: str = "engagement"
    """Worth of a request: engagement, watch_time, interaction, none or your own module:function."""

    def __post_init__(self) -> None:
        check_at_least("slate", self.slate, 1)
        if self.candidates < self.slate:
            raise ConfigError(
                f"candidates must be at least the slate of {self.slate}, got {self.candidates}"
            )
        check_at_least("max_requests", self.max_requests, 1)
        FORMULAS[self.formula]
        check_pair(self.formula, self.action_map)
        tasks = TaskSet.of(self.tasks)
        object.__setattr__(self, "base", self._base_in_order(tasks))
        object.__setattr__(self, "tasks", tasks.names)
        check_reward_name(self.reward)
        if not 0.0 < self.radius <= 1.0:
            raise ConfigError(f"radius must be in (0, 1], got {self.radius}")
        FORMULAS[self.formula]((1.0,) * len(self.tasks), tasks)  # Refuses tasks that do not fit.

    def _base_in_order(self, tasks: TaskSet) -> tuple[float, ...]:
        """The base as the tasks stand, each within [0, 1], or [-1, 0] for hate."""
        given = tuple(self.tasks)
        if self.base and len(self.base) != len(given):
            raise ConfigError(
                f"base must have one weight for each of {', '.join(given)}, got {self.base}"
            )
        weights = dict(zip(given, self.base, strict=False))
        for name, sign in zip(tasks.names, tasks.signs, strict=True):
            if name in weights and not 0.0 <= weights[name] * sign <= 1.0:
                limits = "[0, 1]" if sign > 0 else "[-1, 0]"
                raise ConfigError(f"base of {name} must be in {limits}, got {weights[name]}")
        return tuple(weights[name] for name in tasks.names) if weights else ()


@dataclass(frozen=True)
class RetentionConfig:
    """Several sessions of one user, with the days between them.

    Raises:
        ConfigError: if a number is out of range.
    """

    max_sessions: int = 6
    """Sessions after which an episode is truncated."""
    return_cost: float = 1.0
    """Reward lost for each day from a session to the user's next active day, at least 0."""
    lost_after_days: int = 14
    """A user who stays away for more days is lost, and the episode terminated; at least 1."""

    def __post_init__(self) -> None:
        check_at_least("max_sessions", self.max_sessions, 1)
        check_at_least("return_cost", self.return_cost, 0.0)
        check_at_least("lost_after_days", self.lost_after_days, 1)
