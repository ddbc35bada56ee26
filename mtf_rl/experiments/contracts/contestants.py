"""What every contestant of a comparison promises."""

from typing import Any

from mtf_rl.agents import AGENTS
from mtf_rl.experiments.comparison.contestants import CONTESTANTS, LEARNER, SEARCH, STATIC
from mtf_rl.experiments.contracts.contract import Check, Contract, require

__all__ = ["CONTESTANT_CONTRACT"]


def _settings_hold(contestant: Any) -> None:
    settings = contestant.settings()
    for name, value in contestant.changes.items():
        found = getattr(settings, name, None)
        require(found == value, f"its change {name}={value!r} does not hold: {found!r}")


def _kind_is_known(contestant: Any) -> None:
    kinds = (STATIC, SEARCH, LEARNER)
    require(contestant.kind in kinds, f"kind must be one of {kinds}, got {contestant.kind!r}")


def _agent_is_known(contestant: Any) -> None:
    agent = AGENTS.resolve(contestant.agent)
    require(agent.min_requests(contestant.settings()) >= 0, "min_requests must be at least 0")


def _baseline_is_myopic(contestant: Any) -> None:
    if contestant.myopic_baseline_of is not None:
        gamma = contestant.settings().gamma
        require(gamma == 0.0, f"a myopic baseline has gamma 0, got {gamma}")
        other = CONTESTANTS[contestant.myopic_baseline_of]
        require(other.agent == contestant.agent, "it is of another agent than its contestant")


def _looks_like_a_contestant(own: Any) -> bool:
    return all(hasattr(own, name) for name in ("agent", "kind", "changes"))


CONTESTANT_CONTRACT = Contract(
    kind="contestant",
    registry=CONTESTANTS,
    recognises=_looks_like_a_contestant,
    subject=CONTESTANTS.resolve,
    checks=(
        Check("its kind is static, search or learner", _kind_is_known),
        Check("its agent can be built", _agent_is_known),
        Check("its changes are settings of its agent", _settings_hold),
        Check("a myopic baseline has gamma 0 and its contestant's agent", _baseline_is_myopic),
    ),
)
