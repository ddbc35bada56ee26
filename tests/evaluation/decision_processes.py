"""Small decision processes whose values are known on paper, and policies for them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.protocols import Policy
from mtf_rl.data import Transitions


@dataclass
class LinearPolicy(Policy):
    """action = bias + observation @ slope."""

    slope: FloatArray  # (obs_dim, action_dim)
    bias: FloatArray  # (action_dim,)

    @override
    def predict(
        self,
        observation: NDArray[np.float32],
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.float32], Any]:
        return (observation @ self.slope + self.bias).astype(np.float32), state


def constant_policy(obs_dim: int, *action: float) -> LinearPolicy:
    """The same action everywhere."""
    return LinearPolicy(np.zeros((obs_dim, len(action))), np.array(action))


@dataclass(frozen=True)
class LinearQuadratic:
    """s' = A s + B a + N(0, noise^2), r = -(q s^2 + u a^2), policy a = k s; nobody ever leaves.

    V(s) = P s^2 + gamma P noise^2 / (1 - gamma), P = -(q + u k^2) / (1 - gamma (A + B k)^2).
    """

    a: float = 0.7
    b: float = 0.25
    k: float = -0.4
    q: float = 1.0
    u: float = 0.5
    noise: float = 0.05

    @property
    def policy(self) -> LinearPolicy:
        return LinearPolicy(np.array([[self.k]]), np.zeros(1))

    def log(self, rows: int, seed: int) -> Transitions:
        """States and actions uniform in [-1, 1]."""
        rng = np.random.default_rng(seed)
        states, actions = rng.uniform(-1.0, 1.0, (2, rows, 1))
        noise = self.noise * rng.normal(size=(rows, 1))
        return Transitions(
            observations=states,
            actions=actions,
            rewards=-(self.q * states**2 + self.u * actions**2)[:, 0],
            next_observations=self.a * states + self.b * actions + noise,
            terminated=np.zeros(rows, dtype=np.bool_),
            sessions=np.arange(rows),
            requests=np.zeros(rows, dtype=np.int32),
        )

    def state_values(self, states: FloatArray, gamma: float) -> FloatArray:
        """V of states (rows, 1): (rows,)."""
        p = -(self.q + self.u * self.k**2) / (1.0 - gamma * (self.a + self.b * self.k) ** 2)
        values: FloatArray = p * states[:, 0] ** 2 + gamma * p * self.noise**2 / (1.0 - gamma)
        return values

    def q_values(self, states: FloatArray, actions: FloatArray, gamma: float) -> FloatArray:
        """Q of states (rows, 1) and actions (rows, 1): (rows,).

        Q = r + gamma E V(s'), and E s'^2 = (A s + B a)^2 + noise^2.
        """
        onward = (self.a * states + self.b * actions)[:, 0]
        around = self.state_values(np.hypot(onward, self.noise)[:, None], gamma)
        rewards = -(self.q * states**2 + self.u * actions**2)[:, 0]
        return np.asarray(rewards + gamma * around)


def sessions_of(lengths: list[int], *, left: bool, seed: int, action_dim: int = 1) -> Transitions:
    """Sessions of given lengths, all left or all cut; random rewards and actions.

    The observation tells the step: entry t is 1 at step t + 1, all are 0 at step 0. So a function
    that is linear in it can be any function of the step.
    """
    rng = np.random.default_rng(seed)
    longest = max(lengths)
    requests = np.concatenate([np.arange(length) for length in lengths])
    ends = np.concatenate([np.arange(length) == length - 1 for length in lengths])
    steps = np.eye(longest + 1)[:, 1:]  # (longest + 1, longest)
    return Transitions(
        observations=steps[requests],
        actions=rng.uniform(-1.0, 1.0, (len(requests), action_dim)),
        rewards=rng.normal(size=len(requests)),
        next_observations=steps[requests + 1],
        terminated=ends & left,
        sessions=np.repeat(np.arange(len(lengths)), lengths),
        requests=requests,
    )


def chain(rows: int, *, left: bool, seed: int = 0) -> Transitions:
    """Two states, 0 and 1, each two requests long session 0 -> 1 -> end; r = state + action.

    Under a constant action w and discount g: Q(0, a) = a + g (1 + w) and Q(1, a) = 1 + a if the
    second request ends all reward. If it is cut instead, its next state is 0 again:
    V(0) = (w + g (1 + w)) / (1 - g^2).
    """
    rng = np.random.default_rng(seed)
    states = np.tile([0.0, 1.0], rows // 2)
    actions = rng.uniform(-1.0, 1.0, rows)
    return Transitions(
        observations=states[:, None],
        actions=actions[:, None],
        rewards=states + actions,
        next_observations=1.0 - states[:, None],
        terminated=(states == 1.0) & left,
        sessions=np.repeat(np.arange(rows // 2), 2),
        requests=np.tile(np.arange(2), rows // 2),
    )


def random_log(
    rows: int, *, obs_dim: int, action_dim: int, seed: int, leave: float = 0.2
) -> Transitions:
    """Sessions of five requests at most, of which each is left with probability `leave`."""
    rng = np.random.default_rng(seed)
    requests = np.arange(rows) % 5
    return Transitions(
        observations=rng.normal(size=(rows, obs_dim)),
        actions=rng.uniform(-1.0, 1.0, (rows, action_dim)),
        rewards=rng.normal(size=rows),
        next_observations=rng.normal(size=(rows, obs_dim)),
        terminated=(rng.random(rows) < leave) & (requests == 4),
        sessions=np.arange(rows) // 5,
        requests=requests,
    )
