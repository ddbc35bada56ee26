"""Policies evaluated side by side, under every evaluator, and what is written and shown of it."""

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
from mtf_rl.core.tasks import FEEDBACKS
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
    "markdown_of",
    "render_evaluation",
    "save_entries",
    "weights_sentence",
]

# Seeds of the random numbers on tuning and final users: fixed, so that runs of different seeds are
# evaluated on the same sessions of a given assembly, and apart from any learner's.
TUNING_SEED = 1_000_003
FINAL_SEED = 2_000_003

_ENTRIES = "entries.json"


@dataclass(frozen=True)
class Entry:
    """A policy that takes part, and the simulated requests that it cost."""

    policy: SavedPolicy
    requests_used: int

    @property
    def is_static(self) -> bool:
        """Whether its weights are the same at every request."""
        return isinstance(self.policy, ConstantPolicy)


@dataclass(frozen=True)
class RunEvaluation:
    """The leaderboard's rows, evaluator by evaluator, and the sessions behind them."""

    rows: tuple[LeaderboardRow, ...]
    sessions: Mapping[str, Mapping[str, Sessions]]  # by evaluator, then by policy
    best_static: str
    notes: tuple[str, ...]  # what is declared, not fitted

    def difference(self, policy: str, reference: str, evaluator: str) -> Interval:
        """Session reward of one policy over another's, paired on common random numbers."""
        played = self.sessions[evaluator]
        return paired_difference(played[policy], played[reference])


def save_entries(folder: Path, entries: Mapping[str, Entry], setting: FusionSetting) -> None:
    """Write every policy into a folder of its own, and last the list of them."""
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
    """Name the best static weights on tuning users; roll out every policy on final users.

    All policies play the same sessions, under every evaluator. Beside every policy that chooses its
    weights per request stands NAME_static_mean: the mean of its weights on tuning users, held
    static, which tells apart what is gained by choosing per request. It may be the best static
    policy.
    """
    tuning = assembly.dynamics(config.session, UserGroup.TUNE, SIMULATOR)
    with terminal.progress("policies on tuning users", None) as bar:
        tuned = {}
        for name, entry in entries.items():
            tuned[name] = _tune(tuning, entry, config.tuning_sessions)
            bar(1)
        held = {
            f"{name}_static_mean": _static_mean(tuning, tuned[name], entry)
            for name, entry in entries.items()
            if not entry.is_static and not name.endswith("_untrained")
        }
        for name, entry in held.items():
            tuned[name] = _tune(tuning, entry, config.tuning_sessions)
            bar(1)
    entries = {**entries, **held}
    static = [name for name, entry in entries.items() if entry.is_static]
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
            parameter_names=tuning.formula.parameter_names,
            declared=declared,
        )
    return RunEvaluation(tuple(rows), played, best_static, assembly.notes)


def _tune(tuning: SessionDynamics, entry: Entry, sessions: int) -> Sessions:
    return roll_out(tuning, entry.policy, seed=TUNING_SEED, episodes=np.arange(sessions))


def _static_mean(tuning: SessionDynamics, played: Sessions, entry: Entry) -> Entry:
    """The mean weights over all requests, as a static policy of the same cost."""
    weights = np.average(played.weights, axis=0, weights=played.depth)
    action = tuning.action_map.to_action(weights.astype(np.float32))
    return Entry(ConstantPolicy(action), entry.requests_used)


def render_evaluation(evaluation: RunEvaluation, terminal: Terminal) -> None:
    """Print the leaderboard, one table per evaluator, and the simulator's gap."""
    for evaluator in evaluation.sessions:
        rows = [row for row in evaluation.rows if row.evaluator == evaluator]
        terminal.table(
            f"Leaderboard, evaluator: {evaluator}"
            f" ({rows[0].sessions} sessions of final users; ± is half a 95 % interval)",
            ["policy", "requests", "reward", "Δ best static", "depth", "watch s", *_RATE_HEADS],
            [_cells(row) for row in rows],
        )
    best = f"Best static weights, named on tuning users: {evaluation.best_static}."
    terminal.say(f"{best} Δ is paired on common random numbers.")
    if GROUND_TRUTH in evaluation.sessions:
        terminal.say(_gap_sentence(evaluation))


def markdown_of(evaluation: RunEvaluation) -> str:
    """The leaderboard as a page, with what it rests on."""
    head = ["policy", "requests", "reward", "Δ best static", "depth", "watch s", *_RATE_HEADS]
    lines = []
    for evaluator in evaluation.sessions:
        rows = [row for row in evaluation.rows if row.evaluator == evaluator]
        lines += [f"## Evaluator: {evaluator} ({rows[0].sessions} sessions of final users)", ""]
        lines += ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
        lines += ["| " + " | ".join(_cells(row)) + " |" for row in rows]
        lines += [""]
    lines += [
        f"Best static weights, named on tuning users: {evaluation.best_static}. ± is half a 95 %"
        " interval clustered by user; Δ is paired on common random numbers; rates are per mille of"
        " shown"
        " videos.",
        *evaluation.notes,
    ]
    if GROUND_TRUTH in evaluation.sessions:
        lines.append(_gap_sentence(evaluation))
    return "\n".join(lines) + "\n"


_RATE_HEADS = [f"{task.name} ‰" for task in FEEDBACKS]


def _cells(row: LeaderboardRow) -> list[str]:
    return [
        row.policy,
        str(row.requests_used),
        _with_margin(row.reward),
        "reference"
        if row.delta_vs_best_static.high == 0.0 == row.delta_vs_best_static.low
        else _with_margin(row.delta_vs_best_static, sign="+"),
        f"{row.depth_mean:.2f}",
        f"{row.watch_seconds_mean:.0f}",
        *(f"{1000.0 * rate:.3g}" for rate in row.rates),
    ]


def _with_margin(interval: Interval, sign: str = "") -> str:
    return f"{interval.mean:{sign}.3f} ± {interval.high - interval.mean:.3f}"


def _gap_sentence(evaluation: RunEvaluation) -> str:
    """How far the simulator is from the truth, in the mean of all policies' session reward."""
    gaps = [
        float(simulated.reward.mean() - true.reward.mean())
        for simulated, true in zip(
            *(played.values() for played in evaluation.sessions.values()), strict=True
        )
    ]
    true_mean = np.mean([s.reward.mean() for s in evaluation.sessions[GROUND_TRUTH].values()])
    return (
        f"The simulator's gap: its session rewards lie {np.mean(gaps):+.3f} from the truth on"
        f" average over the policies ({np.mean(gaps) / true_mean:+.1%}), {min(gaps):+.3f} to"
        f" {max(gaps):+.3f}."
    )


def weights_sentence(row: LeaderboardRow) -> str:
    """Mean fusion weights of a policy and how much they move within a session."""
    parts = [
        f"{name} {mean:.2f}±{spread:.2f}"
        for name, mean, spread in zip(
            row.parameter_names, row.weights, row.weights_spread, strict=True
        )
    ]
    return f"{row.policy}: mean weight ± spread within a session: {', '.join(parts)}"
