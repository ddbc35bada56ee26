"""Sessions played by a behaviour policy, as a batch dataset."""

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
    """Sessions, episode after episode, until they have exactly `requests` requests.

    The dataset is that of sessions played one after the other: a function of seed and behaviour
    alone, whatever `num_envs` is. The last session is cut where the requests are reached.

    Args:
        dynamics: whose sessions.
        behaviour: who chooses.
        requests: how many, 1 or more.
        seed: of the random numbers, that of the behaviour included.
        budget: charged with `requests`; what is played past them, so that sessions can be played
            side by side, is dropped unseen.
        num_envs: sessions played side by side.
        progress: called with the requests of sessions just finished.

    Raises:
        ConfigError: if `requests` is below 1.
        BudgetExceededError: if fewer are left.
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
    """Rows in the order in which they were served, and the end of each session."""

    def __init__(self, columns: dict[str, Any], final: dict[int, FloatArray]) -> None:
        self.columns = columns
        self.final = final  # observation after the last request, by session

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
    """Some episodes to their end."""
    chosen: list[tuple[FloatArray, Choice]] = []  # what was seen, and played, at each request

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
    """The first requests, session after session."""
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
    """What actions and rewards mean in an environment, as a batch dataset keeps it."""
    return {
        **dynamics.config.fusion.to_json(),
        "base_rates": list(FusionSetting.of(dynamics).base_rates),
        "reward": dynamics.config.reward,
    }
