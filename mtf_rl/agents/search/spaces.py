"""The search spaces, by name."""

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
REQUESTS_SERVED = "session/log_requests"
SCHEDULE = (3, 8, 16)  # requests served at which the next part of a session begins
OBSERVED_SESSIONS = 32  # sessions for the standardisation of observations
HIDDEN = 8  # width of the hidden layer of the space `network`


def initial_points(dynamics: SessionDynamics) -> FloatArray:
    """Actions for signed uniform weights, then for each task alone: (1 + tasks, action_dim)."""
    signs = dynamics.formula.tasks.signs
    weights = [signs, *(signs * np.eye(len(signs), dtype=np.float32))]
    parameters = [dynamics.formula.parameters_of(entry) for entry in weights]
    actions = [dynamics.action_map.to_action(entry) for entry in parameters]
    return np.stack(actions).astype(np.float64)


@dataclass(frozen=True)
class StaticWeights(SearchSpace):
    """A point is the action of every request."""

    initial: FloatArray  # (start, action_dim)

    @property
    @override
    def dimensions(self) -> int:
        return int(self.initial.shape[1])

    @property
    @override
    def start(self) -> FloatArray:
        return self.initial

    @override
    def policy(self, point: FloatArray) -> SavedPolicy:
        return ConstantPolicy(point.astype(np.float32))


@dataclass(frozen=True)
class WeightTable(SearchSpace):
    """A point is a table of actions, one for each interval of one observed number."""

    obs_dim: int
    column: int
    edges: FloatArray  # (rows - 1,)
    initial: FloatArray  # (start, action_dim)

    @property
    @override
    def dimensions(self) -> int:
        return (len(self.edges) + 1) * int(self.initial.shape[1])

    @property
    @override
    def start(self) -> FloatArray:
        return np.tile(self.initial, (1, len(self.edges) + 1))

    @override
    def policy(self, point: FloatArray) -> SavedPolicy:
        actions = point.reshape(len(self.edges) + 1, -1).astype(np.float32)
        return TablePolicy(self.obs_dim, self.column, self.edges, actions)


@dataclass(frozen=True)
class NetworkWeights(SearchSpace):
    """A point is the weights of a network from the standardised observation x to the action.

    Without a hidden layer, a point is (b, W) and action = clip(b + W x / sqrt(obs_dim)). With one,
    a point is (b, W, c, V) and action = clip(b + W h / sqrt(hidden)), where
    h = tanh((A + V) x / sqrt(obs_dim) + c) and A is a fixed random draw. The action is static at
    W = 0 and depends on the observation as soon as W differs from 0. W is `reach` times the entries
    of the point.
    """

    mean: FloatArray  # (obs_dim,)
    scale: FloatArray  # (obs_dim,)
    initial: FloatArray  # (start, action_dim)
    first: FloatArray  # (hidden, obs_dim), the draw A; (0, obs_dim) without a hidden layer
    reach: float = 2.0

    @property
    def _sizes(self) -> tuple[int, int, int]:
        return int(self.initial.shape[1]), *self.first.shape

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
        points = np.zeros((len(self.initial), self.dimensions))
        points[:, : self.initial.shape[1]] = self.initial
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
    """A point is a linear policy of a few observed numbers: (b, W), with W for these columns."""

    whole: NetworkWeights  # without a hidden layer
    columns: tuple[int, ...]

    @property
    def _width(self) -> int:
        return int(self.whole.initial.shape[1])

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
        # The factor gives an entry the scale that it has in a network of only these numbers.
        observed = len(self.whole.mean)
        weights = np.zeros((self._width, observed))
        factor = np.sqrt(observed / max(1, len(self.columns)))
        weights[:, list(self.columns)] = factor * point[self._width :].reshape(self._width, -1)
        return self.whole.policy(np.concatenate([point[: self._width], weights.ravel()]))


SpaceMaker = Callable[[LearningTask], SearchSpace]


def _static(task: LearningTask) -> SearchSpace:
    return StaticWeights(initial_points(task.learning.sessions))


def _groups(task: LearningTask) -> SearchSpace:
    """Three groups of users: terciles of past exposures."""
    sessions = task.learning.sessions
    column = _column(task.learning, ACTIVITY)
    exposures = sessions.profiles.values[sessions.users, column]  # (users,)
    edges = np.unique(np.quantile(exposures, [1 / 3, 2 / 3]))
    return _table(task, column, edges)


def _schedule(task: LearningTask) -> SearchSpace:
    """Four parts of a session: requests 1 to 3, 4 to 8, 9 to 16, and all later ones."""
    return _table(task, _column(task.learning, REQUESTS_SERVED), np.log1p(SCHEDULE))


def _table(task: LearningTask, column: int, edges: FloatArray) -> SearchSpace:
    initial = initial_points(task.learning.sessions)
    rising = edges.astype(np.float32)
    return WeightTable(task.learning.layout.size, column, rising, initial)


def _features(task: LearningTask) -> SearchSpace:
    """Linear in the default features of least-squares policy iteration."""
    space = _network(task, hidden=0)
    return FewFeatures(space, default_columns(task.learning.layout))


def _linear(task: LearningTask) -> SearchSpace:
    return _network(task, hidden=0)


def _small_network(task: LearningTask) -> SearchSpace:
    return _network(task, hidden=HIDDEN)


def _network(task: LearningTask, *, hidden: int) -> NetworkWeights:
    initial = initial_points(task.learning.sessions)
    observations = _observed(task, initial[0])  # (requests, obs_dim)
    std = observations.std(axis=0, dtype=np.float64)
    rng = np.random.default_rng(task.seed)
    return NetworkWeights(
        mean=observations.mean(axis=0, dtype=np.float64),
        scale=np.where(std > 1e-6, std, 1.0),
        initial=initial,
        first=rng.normal(size=(hidden, observations.shape[1])),
    )


def _observed(task: LearningTask, action: FloatArray) -> FloatArray:
    """Observations (requests, obs_dim) of some sessions with one action, charged to the budget."""
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
    """Column of a number in the observation.

    Raises:
        ConfigError: if the number is not observed.
    """
    names = dynamics.layout.names
    if name not in names:
        raise ConfigError(
            f"this search space needs the observation '{name}', which the sessions do not have;"
            " choose another space, such as static"
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
    """Make a search space over policies for a task's sessions.

    `features`, `linear` and `network` standardise observations with statistics of 32 sessions under
    uniform weights, which are charged to the task's budget.

    Raises:
        UnknownNameError: if there is no such space.
        ConfigError: if an observation that the space needs is missing.
        BudgetExceededError: if the budget does not pay for the 32 sessions.
    """
    return SEARCH_SPACES[name](task)
