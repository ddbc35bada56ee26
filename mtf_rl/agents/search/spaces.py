"""The spaces that a search can range over, by name."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from typing_extensions import override

from mtf_rl.agents.features import default_columns
from mtf_rl.agents.learning import LearningTask
from mtf_rl.agents.networks import Mlp
from mtf_rl.agents.policies import ConstantPolicy, MlpPolicy, SavedPolicy, TablePolicy
from mtf_rl.agents.search.space import SearchSpace
from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.registry import Registry
from mtf_rl.envs import FusionDynamics, SessionDynamics, play_episodes

__all__ = ["SEARCH_SPACES", "initial_points", "make_space"]

ACTIVITY = "profile/user_log_exposures"
PLACE = "session/log_requests"
SCHEDULE = (3, 8, 16)  # requests served at which the next part of a session begins
OBSERVED_SESSIONS = 32
HIDDEN = 8


def initial_points(dynamics: SessionDynamics) -> FloatArray:
    """Uniform weights, then each task alone with the sign of its worth: (1 + tasks, parameters)."""
    signs = dynamics.formula.tasks.signs
    weights = [signs, *(signs * np.eye(len(signs), dtype=np.float32))]
    parameters = [dynamics.formula.parameters_of(entry) for entry in weights]
    actions = [dynamics.action_map.to_action(entry) for entry in parameters]
    return np.stack(actions).astype(np.float64)


@dataclass(frozen=True)
class StaticWeights(SearchSpace):
    """A point is the action of every request."""

    by_hand: FloatArray  # (start, action_dim)

    @property
    @override
    def dimensions(self) -> int:
        return int(self.by_hand.shape[1])

    @property
    @override
    def start(self) -> FloatArray:
        return self.by_hand

    @override
    def policy(self, point: FloatArray) -> SavedPolicy:
        return ConstantPolicy(point.astype(np.float32))


@dataclass(frozen=True)
class WeightTable(SearchSpace):
    """A point is one action after the other, for each part of one observed number's range."""

    obs_dim: int
    column: int
    edges: FloatArray  # (rows - 1,)
    by_hand: FloatArray  # (start, action_dim)

    @property
    @override
    def dimensions(self) -> int:
        return (len(self.edges) + 1) * int(self.by_hand.shape[1])

    @property
    @override
    def start(self) -> FloatArray:
        return np.tile(self.by_hand, (1, len(self.edges) + 1))

    @override
    def policy(self, point: FloatArray) -> SavedPolicy:
        actions = point.reshape(len(self.edges) + 1, -1).astype(np.float32)
        return TablePolicy(self.obs_dim, self.column, self.edges, actions)


@dataclass(frozen=True)
class NetworkWeights(SearchSpace):
    """A point moves the weights of a network from the standardised observation to the action.

    Without a hidden layer: action = clip(b + W x / sqrt(obs_dim)), with a point (b, W). With one:
    action = clip(b + W h / sqrt(hidden)), h = tanh((A + V) x / sqrt(obs_dim) + c), with a point
    (b, W, c, V), where A is a draw that stays: at W = 0 the action is static, and a point that
    moves W alone already reads something of the observation. Entries of W are worth `reach` times
    the point's.
    """

    mean: FloatArray  # (obs_dim,)
    scale: FloatArray  # (obs_dim,)
    by_hand: FloatArray  # (start, action_dim)
    first: FloatArray  # (hidden, obs_dim), the draw A; (0, obs_dim) for none
    reach: float = 2.0

    @property
    def _sizes(self) -> tuple[int, int, int]:
        return int(self.by_hand.shape[1]), *self.first.shape

    @property
    @override
    def dimensions(self) -> int:
        width, hidden, observed = self._sizes
        if not hidden:
            return width * (1 + observed)
        return width * (1 + hidden) + hidden * (1 + observed)

    @property
    @override
    def start(self) -> FloatArray:
        points = np.zeros((len(self.by_hand), self.dimensions))
        points[:, : self.by_hand.shape[1]] = self.by_hand
        return points

    @override
    def policy(self, point: FloatArray) -> SavedPolicy:
        width, hidden, observed = self._sizes
        inner = hidden or observed
        bias, rest = point[:width], point[width:]
        weight = self.reach * rest[: width * inner].reshape(width, inner) / np.sqrt(inner)
        layers: list[tuple[FloatArray, FloatArray]] = [(weight, bias)]
        if hidden:
            inner_bias = rest[width * inner :][:hidden]
            moved = self.first + rest[width * inner + hidden :].reshape(hidden, observed)
            layers.insert(0, (moved / np.sqrt(observed), inner_bias))
        weights, biases = zip(*layers, strict=True)
        return MlpPolicy(self.mean, self.scale, Mlp(weights, biases, "tanh", "clip"))


@dataclass(frozen=True)
class FewFeatures(SearchSpace):
    """A point moves a linear policy of a few observed numbers: (b, W) with W for these alone."""

    whole: NetworkWeights  # without a hidden layer
    columns: tuple[int, ...]

    @property
    def _width(self) -> int:
        return int(self.whole.by_hand.shape[1])

    @property
    @override
    def dimensions(self) -> int:
        return self._width * (1 + len(self.columns))

    @property
    @override
    def start(self) -> FloatArray:
        return self.whole.start[:, : self.dimensions]

    @override
    def policy(self, point: FloatArray) -> SavedPolicy:
        # An entry is worth what it is worth in a network of these numbers alone.
        observed = len(self.whole.mean)
        weights = np.zeros((self._width, observed))
        fraction = np.sqrt(observed / max(1, len(self.columns)))
        weights[:, list(self.columns)] = fraction * point[self._width :].reshape(self._width, -1)
        return self.whole.policy(np.concatenate([point[: self._width], weights.ravel()]))


SpaceMaker = Callable[[LearningTask], SearchSpace]


def _static(task: LearningTask) -> SearchSpace:
    return StaticWeights(initial_points(task.learning.sessions))


def _groups(task: LearningTask) -> SearchSpace:
    """Three groups of users by how much they have used the app: terciles of past exposures."""
    sessions = task.learning.sessions
    column = _column(task.learning, ACTIVITY)
    exposures = sessions.profiles.values[sessions.users, column]  # (users,)
    edges = np.unique(np.quantile(exposures, [1 / 3, 2 / 3]))
    return _table(task, column, edges)


def _schedule(task: LearningTask) -> SearchSpace:
    """Four parts of a session: the first 3 requests, up to 8, up to 16, and what follows."""
    return _table(task, _column(task.learning, PLACE), np.log1p(SCHEDULE))


def _table(task: LearningTask, column: int, edges: FloatArray) -> SearchSpace:
    by_hand = initial_points(task.learning.sessions)
    rising = edges.astype(np.float32)
    return WeightTable(task.learning.layout.size, column, rising, by_hand)


def _features(task: LearningTask) -> SearchSpace:
    """Linear in the few numbers that least-squares policy iteration looks at."""
    space = _network(task, hidden=0)
    return FewFeatures(space, default_columns(task.learning.layout))


def _linear(task: LearningTask) -> SearchSpace:
    return _network(task, hidden=0)


def _small_network(task: LearningTask) -> SearchSpace:
    return _network(task, hidden=HIDDEN)


def _network(task: LearningTask, *, hidden: int) -> NetworkWeights:
    by_hand = initial_points(task.learning.sessions)
    seen = _observed(task, by_hand[0])  # (requests, obs_dim)
    std = seen.std(axis=0, dtype=np.float64)
    rng = np.random.default_rng(task.seed)
    return NetworkWeights(
        mean=seen.mean(axis=0, dtype=np.float64),
        scale=np.where(std > 1e-6, std, 1.0),
        by_hand=by_hand,
        first=rng.normal(size=(hidden, seen.shape[1])),
    )


def _observed(task: LearningTask, action: FloatArray) -> FloatArray:
    """What is seen while the action is played in a few sessions, charged to the budget."""
    dynamics: FusionDynamics[Any] = task.learning
    to_parameters = dynamics.sessions.action_map.to_parameters
    parameters = to_parameters(action.astype(np.float32)[None])

    def choose(state: Any, rows: IntArray) -> FloatArray:
        task.budget.spend(len(rows))
        return np.tile(parameters, (len(rows), 1))

    episodes = np.arange(OBSERVED_SESSIONS)
    played = play_episodes(dynamics, choose, seed=task.seed, episodes=episodes)
    return np.concatenate([dynamics.observe(request.state) for request in played])


def _column(dynamics: FusionDynamics[Any], name: str) -> int:
    """Where a number stands in the observation.

    Raises:
        ConfigError: if it is not observed.
    """
    names = dynamics.layout.names
    if name not in names:
        raise ConfigError(
            f"this search space looks at '{name}', which is not observed here; choose another"
            f" space, such as static"
        )
    return names.index(name)


SEARCH_SPACES: Registry[SpaceMaker] = Registry(
    "search space",
    {
        "static": _static,
        "groups": _groups,
        "schedule": _schedule,
        "features": _features,
        "linear": _linear,
        "network": _small_network,
    },
)


def make_space(name: str, task: LearningTask) -> SearchSpace:
    """The space of that name over the policies of a task's sessions.

    `features`, `linear` and `network` standardise what is observed; they look at 32 sessions with
    uniform weights first, which the task's budget pays for.

    Raises:
        UnknownNameError: if there is no such space.
        ConfigError: if the sessions do not show what the space looks at.
        BudgetExceededError: if the budget does not pay for the first look.
    """
    return SEARCH_SPACES[name](task)
