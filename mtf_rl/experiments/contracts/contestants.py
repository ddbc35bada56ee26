"""The contract of contestants of a comparison."""

from typing import Any

from mtf_rl.agents import AGENTS
from mtf_rl.experiments.comparison.contestants import CONTESTANTS, LEARNER, SEARCH, STATIC
from mtf_rl.experiments.contracts.contract import Check, Contract, require

__all__ = ["CONTESTANT_CONTRACT"]


def _settings_hold(contestant: Any) -> None:
    settings = contestant.settings()
    for name, value in contestant.changes.items():
        actual = getattr(settings, name, None)
        require(actual == value, f"settings must have {name}={value!r}, got {actual!r}")


def _kind_is_known(contestant: Any) -> None:
    kinds = (STATIC, SEARCH, LEARNER)
    require(contestant.kind in kinds, f"kind must be one of {kinds}, got {contestant.kind!r}")


def _agent_is_known(contestant: Any) -> None:
    agent = AGENTS.resolve(contestant.agent)
    require(agent.min_requests(contestant.settings()) >= 0, "min_requests must be at least 0")


def _baseline_is_myopic(contestant: Any) -> None:
    if contestant.myopic_baseline_of is not None:
        gamma = contestant.settings().gamma
        require(gamma == 0.0, f"a myopic baseline must have gamma 0, got {gamma}")
        learner = CONTESTANTS[contestant.myopic_baseline_of]
        require(
            learner.agent == contestant.agent,
            f"a myopic baseline must have the agent {learner.agent}, got {contestant.agent}",
        )


def _looks_like_a_contestant(own: Any) -> bool:
    return all(hasattr(own, name) for name in ("agent", "kind", "changes"))


CONTESTANT_CONTRACT = Contract(
    kind="contestant",
    registry=CONTESTANTS,
    recognises=_looks_like_a_contestant,
    subject=CONTESTANTS.resolve,
    checks=(
        Check("the kind is static, search or learner", _kind_is_known),
        Check("the agent can be built", _agent_is_known),
        Check("the changes are settings of the agent", _settings_hold),
        Check("a myopic baseline has gamma 0 and its learner's agent", _baseline_is_myopic),
    ),
)
