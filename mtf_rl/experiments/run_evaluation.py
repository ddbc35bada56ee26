"""Evaluates the policies of a run under every evaluator."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mtf_rl.agents import (
    ConstantPolicy,
    FusionPolicy,
    FusionSetting,
    SavedPolicy,
    load_policy,
    save_policy,
)
from mtf_rl.core.files import load_json, save_json
from mtf_rl.core.protocols import GROUND_TRUTH, SIMULATOR
from mtf_rl.data import UserGroup
from mtf_rl.envs import SessionDynamics
from mtf_rl.evaluation import (
    Interval,
    LeaderboardRow,
    PolicySessions,
    Sessions,
    leaderboard,
    paired_difference,
    roll_out,
)
from mtf_rl.experiments.assembly import Assembly
from mtf_rl.experiments.comparison.contestants import PRODUCTION
from mtf_rl.experiments.config import RunConfig
from mtf_rl.experiments.console import Terminal

__all__ = [
    "FINAL_SEED",
    "TUNING_SEED",
    "Entry",
    "RunEvaluation",
    "entry_folders",
    "evaluate_policies",
    "load_entries",
    "save_entries",
]

# Seeds of the sessions of tuning and final users. They are fixed, so that runs of different seeds
# are evaluated in the same sessions, and they differ from the seeds of learners.
TUNING_SEED = 1_000_003
FINAL_SEED = 2_000_003

_ENTRIES = "entries.json"


@dataclass(frozen=True)
class Entry:
    """A policy of a run, and the number of simulated requests that it used."""

    policy: SavedPolicy
    requests_used: int

    @property
    def is_static(self) -> bool:
        """Whether its weights are the same at every request."""
        return isinstance(self.policy, ConstantPolicy)


@dataclass(frozen=True)
class RunEvaluation:
    """The leaderboard's rows and the evaluated sessions, under every evaluator."""

    rows: tuple[LeaderboardRow, ...]
    sessions: Mapping[str, Mapping[str, Sessions]]  # by evaluator, then by policy
    best_static: str
    """The static policy that is best on tuning users."""
    reference: str
    """The reference policy: production, or uniform weights if no production weights are given."""
    requests: int
    """Budget of each trained policy and each search, in requests."""
    declared: tuple[str, ...]
    """Parts of the simulator that are declared, not fitted."""
    notes: tuple[str, ...]
    """Limits of the simulator, in sentences."""

    @property
    def evaluator(self) -> str:
        """The deciding evaluator: the ground truth, if there is one."""
        return GROUND_TRUTH if GROUND_TRUTH in self.sessions else SIMULATOR

    def of(self, evaluator: str) -> tuple[LeaderboardRow, ...]:
        """The rows of one evaluator, best reward first."""
        return tuple(row for row in self.rows if row.evaluator == evaluator)

    def row(self, policy: str, evaluator: str) -> LeaderboardRow:
        """The row of one policy."""
        return next(row for row in self.of(evaluator) if row.policy == policy)

    def difference(self, policy: str, reference: str, evaluator: str) -> Interval:
        """Session reward minus the reference's, paired on common random numbers."""
        played = self.sessions[evaluator]
        return paired_difference(played[policy], played[reference])


def save_entries(folder: Path, entries: Mapping[str, Entry], setting: FusionSetting) -> None:
    """Write every policy into a folder of its own, then the list of policies."""
    for name, entry in entries.items():
        save_policy(folder / name, FusionPolicy(entry.policy, setting))
    records = [
        {"policy": name, "requests_used": entry.requests_used} for name, entry in entries.items()
    ]
    save_json(folder / _ENTRIES, records)


def load_entries(folder: Path) -> dict[str, Entry]:
    """Read what `save_entries` wrote.

    Raises:
        ArtifactError: if no policy was saved, or a file is torn or of another version.
    """
    return {
        record["policy"]: Entry(
            load_policy(folder / record["policy"]).policy, record["requests_used"]
        )
        for record in load_json(folder / _ENTRIES)
    }


def entry_folders(folder: Path) -> dict[str, Path] | None:
    """The folder of each policy that `save_entries` wrote, by name; None if it wrote none."""
    if not (folder / _ENTRIES).exists():
        return None
    return {record["policy"]: folder / record["policy"] for record in load_json(folder / _ENTRIES)}


def evaluate_policies(
    assembly: Assembly,
    config: RunConfig,
    entries: Mapping[str, Entry],
    terminal: Terminal,
    *,
    seed: int = FINAL_SEED,
) -> RunEvaluation:
    """Select the best static weights on tuning users, and roll out every policy on final users.

    All policies play the same sessions under every evaluator. For every policy with per-request
    weights, a static policy NAME_static_mean is added, with its mean weights on tuning users. The
    difference between the two is the benefit of per-request weights. A static mean can be the best
    static policy.
    """
    tuning = assembly.dynamics(config.session, UserGroup.TUNE, SIMULATOR)
    if "uniform" not in entries:  # The run was stopped before it saved them.
        entries = {**entries, "uniform": _uniform(tuning)}
    with terminal.progress("policies on tuning users", None) as bar:
        tuned = {}
        for name, entry in entries.items():
            tuned[name] = _tune(tuning, entry, config.tuning_sessions)
            bar(1)
        static_means = {
            f"{name}_static_mean": _static_mean(tuning, tuned[name], entry)
            for name, entry in entries.items()
            if not entry.is_static and not name.endswith("_untrained")
        }
        for name, entry in static_means.items():
            tuned[name] = _tune(tuning, entry, config.tuning_sessions)
            bar(1)
    entries = {**entries, **static_means}
    static = [name for name, entry in entries.items() if entry.is_static]
    reference = PRODUCTION if PRODUCTION in entries else "uniform"
    best_static = max(static, key=lambda name: float(tuned[name].reward.mean()))
    episodes = np.arange(config.sessions)
    rows: list[LeaderboardRow] = []
    played: dict[str, dict[str, Sessions]] = {}
    for evaluator in assembly.evaluators:
        dynamics = assembly.dynamics(config.session, UserGroup.FINAL, evaluator)
        with terminal.progress(f"sessions, {evaluator}", config.sessions * len(entries)) as bar:
            played[evaluator] = {
                name: roll_out(dynamics, entry.policy, seed=seed, episodes=episodes, progress=bar)
                for name, entry in entries.items()
            }
        contestants = [
            PolicySessions(name, entry.requests_used, played[evaluator][name])
            for name, entry in entries.items()
        ]
        declared = assembly.declared_parts if evaluator == SIMULATOR else ()
        rows += leaderboard(
            contestants,
            evaluator=evaluator,
            best_static=best_static,
            reference=reference,
            parameter_names=tuning.formula.parameter_names,
            declared=declared,
        )
    return RunEvaluation(
        tuple(rows),
        played,
        best_static,
        reference,
        config.requests,
        assembly.declared_parts,
        assembly.notes,
    )


def _uniform(tuning: SessionDynamics) -> Entry:
    parameters = tuning.formula.parameters_of(tuning.formula.tasks.signs)
    return Entry(ConstantPolicy(tuning.action_map.to_action(parameters)), 0)


def _tune(tuning: SessionDynamics, entry: Entry, sessions: int) -> Sessions:
    return roll_out(tuning, entry.policy, seed=TUNING_SEED, episodes=np.arange(sessions))


def _static_mean(tuning: SessionDynamics, played: Sessions, entry: Entry) -> Entry:
    """A static policy with the mean weights over all requests; it used the same requests."""
    weights = np.average(played.weights, axis=0, weights=played.depth)
    action = tuning.action_map.to_action(weights.astype(np.float32))
    return Entry(ConstantPolicy(action), entry.requests_used)
