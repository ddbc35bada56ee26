"""A two-state process whose sessions are all enumerated, as often as they are likely."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from mtf_rl.core.arrays import FloatArray
from mtf_rl.evaluation.off_policy import OPEInputs

TIME = 3
BEHAVIOUR = np.array([[0.75, 0.25], [0.25, 0.75]])  # (states, actions)
TARGET = np.array([[0.5, 0.5], [0.75, 0.25]])
LEAVES = np.array([[0.0, 0.5], [0.25, 0.25]])  # after an action in a state
ONE_NEXT = np.array([[0.5, 0.25], [0.75, 0.5]])  # probability of state 1 next, if the user stays
REWARD = np.array([[1.0, -0.5], [0.25, 2.0]])


@dataclass(frozen=True)
class Population:
    """Every session, (sessions, time), repeated so that shares are probabilities."""

    states: np.ndarray
    actions: np.ndarray
    live: np.ndarray


@cache
def population() -> Population:
    """2 * 64 * 64 * 4 sessions: all probabilities are quarters, and the first state's a half."""
    rows: list[tuple[list[int], list[int], float]] = []

    def grow(states: list[int], actions: list[int], probability: float) -> None:
        for action in (0, 1):
            state = states[-1]
            taken = probability * BEHAVIOUR[state, action]
            done = [*actions, action]
            stays = 1.0 - LEAVES[state, action]
            if len(done) == TIME:
                rows.append((states, done, taken))
                continue
            if stays < 1.0:
                rows.append((states, done, taken * (1.0 - stays)))
            for following in (0, 1):
                one = ONE_NEXT[state, action]
                grow(
                    [*states, following],
                    done,
                    taken * stays * (one if following else 1.0 - one),
                )

    for first in (0, 1):
        grow([first], [], 0.5)
    total = 2 * 64 * 64 * 4
    states = np.zeros((total, TIME), dtype=int)
    actions, live = np.zeros_like(states), np.zeros((total, TIME), dtype=bool)
    position = 0
    for seen, done, probability in rows:
        times = probability * total
        assert times == round(times)
        stop = position + round(times)
        states[position:stop, : len(done)] = seen
        actions[position:stop, : len(done)] = done
        live[position:stop, : len(done)] = True
        position = stop
    assert position == total
    return Population(states, actions, live)


def values(policy: FloatArray, gamma: float) -> tuple[FloatArray, FloatArray]:
    """Q (time, states, actions) and V (time, states) of a policy, by dynamic programming."""
    q = np.zeros((TIME, 2, 2))
    v = np.zeros((TIME + 1, 2))
    for time in reversed(range(TIME)):
        onward = (1.0 - ONE_NEXT) * v[time + 1, 0] + ONE_NEXT * v[time + 1, 1]
        q[time] = REWARD + gamma * (1.0 - LEAVES) * onward
        v[time] = (policy * q[time]).sum(axis=1)
    return q, v[:TIME]


def meets(policy: FloatArray) -> FloatArray:
    """Probability of being in a state at a time, (time, states)."""
    found = np.zeros((TIME, 2))
    found[0] = 0.5
    for time in range(1, TIME):
        flow = found[time - 1][:, None] * policy * (1.0 - LEAVES)
        found[time, 1] = (flow * ONE_NEXT).sum()
        found[time, 0] = (flow * (1.0 - ONE_NEXT)).sum()
    return found


def inputs(gamma: float = 1.0, *, wrong: float = 0.0, target: FloatArray = TARGET) -> OPEInputs:
    """The population's evidence about a target; `wrong` adds noise to Q and V."""
    everyone = population()
    states, actions, live = everyone.states, everyone.actions, everyone.live
    q, v = values(target, gamma)
    q = q + wrong * np.random.default_rng(5).normal(size=q.shape)
    v = (target * q).sum(axis=2) if wrong else v  # V is that of Q, as a model's is
    times = np.broadcast_to(np.arange(TIME), states.shape)
    state_visits = meets(target) / meets(BEHAVIOUR)
    visits = state_visits[:, :, None] * target / BEHAVIOUR  # (time, states, actions)

    def padded(values_of_rows: FloatArray) -> FloatArray:
        return np.where(live, values_of_rows, 0.0)

    return OPEInputs(
        log_ratios=padded(np.log(target[states, actions] / BEHAVIOUR[states, actions])),
        rewards=padded(REWARD[states, actions]),
        live=live,
        gamma=gamma,
        q=padded(q[times, states, actions]),
        v=padded(v[times, states]),
        state_action_ratios=padded(visits[times, states, actions]),
        bound=1e12,
    )


def value(gamma: float = 1.0, target: FloatArray = TARGET) -> float:
    """J of the target."""
    return float(values(target, gamma)[1][0].mean())
