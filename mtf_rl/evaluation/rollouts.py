"""Rollouts of policies over a fixed set of complete episodes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from mtf_rl.core.arrays import FloatArray, IntArray, select_rows
from mtf_rl.core.protocols import Policy
from mtf_rl.core.tasks import KUAIRAND_TASKS, TaskSet
from mtf_rl.envs import (
    FusionDynamics,
    Outcome,
    RequestBudget,
    RetentionOutcome,
    play_episodes,
)

__all__ = ["Sessions", "roll_out", "roll_out_each"]


@dataclass(frozen=True)
class Sessions:
    """Finished episodes, one row each, in the order of their numbers.

    An episode is one session, or several sessions in the retention environment.
    """

    episodes: IntArray  # (sessions,)
    users: IntArray  # (sessions,)
    reward: FloatArray  # (sessions,) undiscounted sum
    depth: IntArray  # (sessions,) requests served
    visits: IntArray  # (sessions,) number of sessions in the episode
    return_days: IntArray  # (sessions,) sum of days from each session to the next active day
    watch_seconds: FloatArray  # (sessions,)
    feedback: FloatArray  # (sessions, feedbacks) counts
    impressions: IntArray  # (sessions,) videos shown
    weights: FloatArray  # (sessions, action_dim) mean over the session's requests
    weights_spread: FloatArray  # (sessions, action_dim) std over the session's requests
    tasks: TaskSet = KUAIRAND_TASKS
    """Tasks of the log; `feedback` has a column for each of `tasks.feedbacks`."""

    @property
    def requests(self) -> int:
        """Total number of requests."""
        return int(self.depth.sum())


def roll_out(
    dynamics: FusionDynamics[Any],
    policy: Policy,
    *,
    seed: int,
    episodes: IntArray,
    budget: RequestBudget | None = None,
    num_envs: int = 1024,
    progress: Callable[[int], None] | None = None,
) -> Sessions:
    """Play the policy's deterministic actions in all `episodes` to their ends.

    All episodes are completed and counted, so there is no bias towards short sessions. The same
    seed and episodes give every policy the same users, candidates and random numbers.

    Args:
        dynamics: dynamics of the sessions.
        policy: policy that chooses the weights.
        seed: seed of the random numbers.
        episodes: distinct episode numbers, (sessions,).
        budget: charged one per request served.
        num_envs: number of sessions played in parallel.
        progress: called with the number of sessions just finished.
    """
    chunks = []
    for first in range(0, len(episodes), num_envs):
        chunk = np.asarray(episodes[first : first + num_envs], dtype=np.int64)
        chunks.append(_play(dynamics, [policy], seed, chunk, budget)[0])
        if progress is not None:
            progress(len(chunk))
    return _joined(chunks)


def roll_out_each(
    dynamics: FusionDynamics[Any],
    policies: Sequence[Policy],
    *,
    seed: int,
    episodes: IntArray,
    budget: RequestBudget | None = None,
    num_envs: int = 1024,
) -> list[Sessions]:
    """The results of `roll_out` for each policy, with several policies played in parallel.

    This is faster when there are few episodes, because a step has a fixed overhead.
    """
    together = max(1, num_envs // len(episodes))
    numbers = np.asarray(episodes, dtype=np.int64)
    results: list[Sessions] = []
    for first in range(0, len(policies), together):
        results += _play(dynamics, policies[first : first + together], seed, numbers, budget)
    return results


def _play(
    dynamics: FusionDynamics[Any],
    policies: Sequence[Policy],
    seed: int,
    numbers: IntArray,
    budget: RequestBudget | None,
) -> list[Sessions]:
    episodes = np.tile(numbers, len(policies))
    sessions = dynamics.sessions

    def choose(state: Any, rows: IntArray) -> FloatArray:
        action = _actions(policies, dynamics.observe(state), rows // len(numbers))
        if budget is not None:
            budget.spend(len(rows))
        return sessions.action_map.to_parameters(action)

    tally = _Tally(episodes, sessions.action_dim, sessions.tasks)
    for request in play_episodes(dynamics, choose, seed=seed, episodes=episodes):
        tally.add(request.rows, dynamics.session(request.state).users, request.outcome)
    played = tally.sessions()
    if len(policies) == 1:
        return [played]
    return [_part(played, first, len(numbers)) for first in range(0, len(episodes), len(numbers))]


def _actions(policies: Sequence[Policy], observation: FloatArray, owners: IntArray) -> FloatArray:
    """The action of each row's policy, (num_envs, action_dim).

    `owners` (num_envs,) holds the policies' indices, in ascending order.
    """
    if len(policies) == 1:
        return policies[0].predict(observation, deterministic=True)[0]
    ends = np.searchsorted(owners, np.arange(len(policies) + 1))
    return np.concatenate(
        [
            policy.predict(observation[start:end], deterministic=True)[0]
            for policy, start, end in zip(policies, ends[:-1], ends[1:], strict=True)
            if end > start
        ]
    )


class _Tally:
    """Running sums over the requests of unfinished sessions."""

    def __init__(self, episodes: IntArray, action_dim: int, tasks: TaskSet) -> None:
        count = len(episodes)
        self._episodes = episodes
        self._users = np.zeros(count, dtype=np.int32)
        self._reward = np.zeros(count)
        self._depth = np.zeros(count, dtype=np.int64)
        self._visits = np.zeros(count, dtype=np.int64)
        self._return_days = np.zeros(count, dtype=np.int64)
        self._watch = np.zeros(count)
        self._feedback = np.zeros((count, len(tasks.feedbacks)))
        self._tasks = tasks
        self._impressions = np.zeros(count, dtype=np.int64)
        self._weights = np.zeros((count, action_dim))
        self._weights_squared = np.zeros((count, action_dim))

    def add(self, rows: IntArray, users: IntArray, outcome: Outcome) -> None:
        self._users[rows] = users
        parameters = outcome.parameters.astype(np.float64)
        self._reward[rows] += outcome.reward
        self._depth[rows] += 1
        if isinstance(outcome, RetentionOutcome):
            self._visits[rows] += outcome.session_ended
            self._return_days[rows] += outcome.return_days
        else:
            self._visits[rows] += outcome.terminated | outcome.truncated
        self._watch[rows] += outcome.response.watch_seconds.sum(axis=1, dtype=np.float64)
        self._feedback[rows] += outcome.response.feedback.sum(axis=1, dtype=np.float64)
        self._impressions[rows] += outcome.slate.mask.sum(axis=1)
        self._weights[rows] += parameters
        self._weights_squared[rows] += parameters**2

    def sessions(self) -> Sessions:
        depth = self._depth[:, None]
        mean = self._weights / depth
        variance = np.maximum(self._weights_squared / depth - mean**2, 0.0)
        return Sessions(
            episodes=self._episodes,
            users=self._users,
            reward=self._reward,
            depth=self._depth,
            visits=self._visits,
            return_days=self._return_days,
            watch_seconds=self._watch,
            feedback=self._feedback,
            impressions=self._impressions,
            weights=mean,
            weights_spread=np.sqrt(variance),
            tasks=self._tasks,
        )


def _part(sessions: Sessions, first: int, count: int) -> Sessions:
    return select_rows(sessions, np.arange(first, first + count))


def _joined(chunks: list[Sessions]) -> Sessions:
    arrays = [field.name for field in fields(Sessions) if field.name != "tasks"]
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(chunk, name) for chunk in chunks]) for name in arrays
    }
    return replace(chunks[0], **joined)
