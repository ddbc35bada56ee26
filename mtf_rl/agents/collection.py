"""Collect batch datasets: simulate sessions under a behaviour policy."""

from collections.abc import Callable
from typing import Any

import numpy as np

from mtf_rl.agents.behaviour import BehaviourPolicy, Choice
from mtf_rl.agents.fusion_policy import FusionSetting
from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.randomness import EpisodeRng
from mtf_rl.data import BatchDataset
from mtf_rl.envs import RequestBudget, SessionDynamics, SessionState, play_episodes

__all__ = ["collect", "setting_of"]


def collect(
    dynamics: SessionDynamics,
    behaviour: BehaviourPolicy,
    *,
    requests: int,
    seed: int,
    budget: RequestBudget | None = None,
    num_envs: int = 512,
    progress: Callable[[int], None] | None = None,
) -> BatchDataset:
    """Simulate sessions in the order of episodes until they have exactly `requests` requests.

    The dataset depends on seed and behaviour and not on `num_envs`. The last session is truncated
    at the last request.

    Args:
        dynamics: sessions to simulate.
        behaviour: policy that draws the actions.
        requests: size of the dataset, at least 1.
        seed: seed of sessions and behaviour policy.
        budget: charged with `requests`. Requests simulated beyond them, because sessions run in
            batches, are dropped and not charged.
        num_envs: sessions simulated in one batch, at least 1.
        progress: called with the number of requests in each finished batch of sessions.

    Raises:
        ConfigError: if `requests` is below 1.
        BudgetExceededError: if the budget has fewer requests left.
    """
    if requests < 1:
        raise ConfigError(f"requests must be at least 1, got {requests}")
    if budget is not None:
        budget.spend(requests)
    parts: list[_Sessions] = []
    kept = 0
    while kept < requests:
        first = len(parts) * num_envs
        episodes = np.arange(first, first + num_envs)
        part = _play(dynamics, behaviour, seed, episodes)
        parts.append(part)
        kept += len(part.rewards)
        if progress is not None:
            progress(len(part.rewards))
    return _dataset(_Sessions.joined(parts), requests, dynamics, behaviour)


class _Sessions:
    """Rows in the order in which they were served, and last observations of truncated sessions."""

    def __init__(self, columns: dict[str, Any], final: dict[int, FloatArray]) -> None:
        self.columns = columns
        self.final = final  # observation after the last request of truncated sessions, by session

    @property
    def rewards(self) -> FloatArray:
        rewards: FloatArray = self.columns["rewards"]
        return rewards

    @classmethod
    def joined(cls, parts: list["_Sessions"]) -> "_Sessions":
        names = parts[0].columns
        columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in names}
        final = {session: value for part in parts for session, value in part.final.items()}
        return cls(columns, final)


def _play(
    dynamics: SessionDynamics,
    behaviour: BehaviourPolicy,
    seed: int,
    episodes: IntArray,
) -> _Sessions:
    """Simulate some episodes to their end."""
    chosen: list[tuple[FloatArray, Choice]] = []  # observation and choice at each request

    def choose(state: SessionState, rows: IntArray) -> FloatArray:
        observation = dynamics.observe(state)
        episode_rng = EpisodeRng(seed, state.episodes, state.served)
        chosen.append((observation, behaviour.choose(observation, episode_rng)))
        return dynamics.action_map.to_parameters(chosen[-1][1].actions)

    steps: list[dict[str, Any]] = []
    final: dict[int, FloatArray] = {}
    for request in play_episodes(dynamics, choose, seed=seed, episodes=episodes):
        (observation, choice), outcome = chosen[-1], request.outcome
        sessions = request.state.episodes
        steps.append(
            {
                "observations": observation,
                "actions": choice.actions,
                "log_densities": choice.log_densities,
                "behaviours": choice.behaviours,
                "rewards": outcome.reward,
                "terminated": outcome.terminated,
                "truncated": outcome.truncated,
                "sessions": sessions,
                "requests": request.state.served.astype(np.int32),
            }
        )
        cut = np.flatnonzero(outcome.truncated)
        if len(cut):
            following = dynamics.observe(dynamics.select(request.following, cut))
            final |= dict(zip(map(int, sessions[cut]), following, strict=True))
    columns = {name: np.concatenate([step[name] for step in steps]) for name in steps[0]}
    return _Sessions(columns, final)


def _dataset(
    played: _Sessions, requests: int, dynamics: SessionDynamics, behaviour: BehaviourPolicy
) -> BatchDataset:
    """The first `requests` rows, sorted by session and request."""
    columns = played.columns
    order = np.lexsort((columns["requests"], columns["sessions"]))
    arrays = {name: values[order[:requests]] for name, values in columns.items()}
    cut = arrays["sessions"][arrays["truncated"]]
    final = [played.final[int(session)] for session in cut]
    if not (arrays["terminated"][-1] or arrays["truncated"][-1]):
        arrays["truncated"][-1] = True
        final.append(columns["observations"][order[requests]])
    return BatchDataset(
        **arrays,
        final_observations=np.array(final, dtype=np.float32).reshape(-1, dynamics.layout.size),
        behaviour_names=behaviour.names,
        observation_names=dynamics.layout.names,
        parameter_names=dynamics.formula.parameter_names,
        evaluator=dynamics.user_model.evaluator,
        setting=setting_of(dynamics),
    )


def setting_of(dynamics: SessionDynamics) -> dict[str, Any]:
    """The settings that define actions and rewards, as a batch dataset stores them."""
    return {
        **dynamics.config.fusion.to_json(),
        "base_rates": list(FusionSetting.of(dynamics).base_rates),
        "reward": dynamics.config.reward,
    }
