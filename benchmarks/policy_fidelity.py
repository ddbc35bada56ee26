"""Does the simulator order policies like the ground truth? Fifty policies, with both evaluators.

    python -m mtf_rl.train --run-dir runs/lspi-0
    OMP_NUM_THREADS=1 python -m benchmarks.policy_fidelity runs/lspi-0

Twenty static policies are drawn at random. Fifteen lie close to the best static weights of the run.
Fifteen depend on the state: they move these weights by a random linear map of the standardised
observation. All play the same episodes of all users with both evaluators. All users take part,
because the page evaluates the simulator, and no policy was selected among these.

- *value*: mean reward of a session. *depth*: requests of a session.
- *rank*: Spearman correlation over policies between simulator and ground truth.
- *slope*: of the simulator's values over those of the ground truth, by least squares; 1 reproduces
  the whole effect.
- *top half*: the policies that are better than the median in the ground truth.
- *second run*: the ground truth in other episodes, in the role of the simulator. It shows the
  agreement that random numbers allow with so many sessions.

Intervals contain session noise: users are drawn with replacement, alike for both evaluators.
"""

import platform
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tyro
from scipy import stats

import mtf_rl
from benchmarks.pages import write_page
from mtf_rl.agents import ConstantPolicy, Mlp, MlpPolicy, SavedPolicy, load_policy
from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.files import load_json
from mtf_rl.core.protocols import GROUND_TRUTH, SIMULATOR
from mtf_rl.data import UserGroup
from mtf_rl.envs import SessionDynamics, play_episodes
from mtf_rl.evaluation import Sessions, roll_out
from mtf_rl.experiments.assembly import Assembly
from mtf_rl.experiments.command_line import settings_of_run
from mtf_rl.experiments.run_folder import open_run_folder

RANDOM, NEAR, DEPENDENT = "random static", "near the best", "state-dependent"
GROUPS = {RANDOM: 20, NEAR: 15, DEPENDENT: 15}
NEAR_SPREAD, DEPENDENT_SPREAD = 0.15, 0.1
MOST_LATENT = 1.5
OBSERVED_SESSIONS = 1000
AGAIN = "second run"
EVALUATORS = (SIMULATOR, GROUND_TRUTH)
TITLES = {SIMULATOR: "simulator", AGAIN: "ground truth, second run"}


@dataclass(frozen=True)
class Settings:
    """The run to evaluate, and the number of sessions."""

    run: tyro.conf.Positional[Path]
    """Folder of a run on a synthetic world."""
    best: str = "random_search"
    """The run's static policy around which others are drawn."""
    sessions: int = 8000
    """Sessions of each policy under each evaluator."""
    resamples: int = 500
    """Samples of users for the intervals."""
    seed: int = 0
    """Seed of the policies."""
    out: Path = Path("benchmarks/policy_fidelity.md")
    """The table to write."""


@dataclass(frozen=True)
class Values:
    """Results of one evaluator, by policy and session."""

    reward: FloatArray  # (policies, sessions)
    depth: FloatArray  # (policies, sessions)
    users: IntArray  # (sessions,)


def draw_policies(
    best: FloatArray, observations: FloatArray, rng: np.random.Generator
) -> list[SavedPolicy]:
    """The fifty policies, group by group; `best` is an action, `observations` (requests, any)."""
    width = len(best)
    latent = np.clip(np.arctanh(np.clip(best, -0.999, 0.999)), -MOST_LATENT, MOST_LATENT)
    random = [ConstantPolicy(rng.uniform(-1.0, 1.0, width)) for _ in range(GROUPS[RANDOM])]
    near = [
        ConstantPolicy(np.clip(best + rng.normal(0.0, NEAR_SPREAD, width), -1.0, 1.0))
        for _ in range(GROUPS[NEAR])
    ]
    mean = observations.mean(axis=0, dtype=np.float64)
    std = observations.std(axis=0, dtype=np.float64)
    scale = np.where(std > 1e-3, std, 1.0)
    slopes = rng.normal(0.0, DEPENDENT_SPREAD, (GROUPS[DEPENDENT], width, len(mean)))
    dependent = [MlpPolicy(mean, scale, Mlp((slope,), (latent,))) for slope in slopes]
    return [*random, *near, *dependent]


def observe_sessions(dynamics: SessionDynamics, action: FloatArray, seed: int) -> FloatArray:
    """What a policy of constant `action` sees over whole sessions, (requests, obs_dim)."""
    parameters = dynamics.action_map.to_parameters(action[None, :])
    played = play_episodes(
        dynamics,
        lambda state, rows: np.repeat(parameters, len(rows), axis=0),
        seed=seed,
        episodes=np.arange(OBSERVED_SESSIONS),
    )
    return np.concatenate([dynamics.observe(request.state) for request in played])


def evaluate(
    name: str,
    dynamics: SessionDynamics,
    settings: Settings,
    policies: list[SavedPolicy],
) -> Values:
    """All policies with one evaluator, or with the ground truth in other episodes."""
    first = settings.sessions if name == AGAIN else 0
    episodes = np.arange(first, first + settings.sessions)
    played: list[Sessions] = []
    for policy in policies:
        played.append(roll_out(dynamics, policy, seed=settings.seed, episodes=episodes))
        print(f"{name}: {len(played)} of {len(policies)}", end="\r", flush=True)
    return Values(
        reward=np.stack([sessions.reward for sessions in played]),
        depth=np.stack([sessions.depth for sessions in played]).astype(np.float64),
        users=played[0].users,
    )


def drawn_users(size: int, rng: np.random.Generator) -> FloatArray:
    """How often each of `size` users counts when they are drawn with replacement, (size,)."""
    return np.bincount(rng.integers(size, size=size), minlength=size).astype(np.float64)


def measures(
    evaluated: Values, truth: Values, weights: tuple[FloatArray, FloatArray]
) -> FloatArray:
    """Rank, slope and rank in the top half, of value and then of depth: (6,).

    `weights` are those of the sessions of each, (sessions,).
    """
    cells = []
    for column in ("reward", "depth"):
        simulated, true = (
            np.average(getattr(values, column), axis=1, weights=weight)
            for values, weight in zip((evaluated, truth), weights, strict=True)
        )
        top = true >= np.median(true)
        cells += [
            stats.spearmanr(simulated, true).statistic,
            np.polyfit(true, simulated, 1)[0],
            stats.spearmanr(simulated[top], true[top]).statistic,
        ]
    return np.array(cells)


def fidelity_table(found: dict[str, Values], settings: Settings) -> str:
    """The measures with 95 % intervals, of the simulator and of the second run."""
    lines = [
        "| evaluator | of | rank | slope | rank in the top half |",
        "| --- | --- | --- | --- | --- |",
    ]
    truth = found[GROUND_TRUTH]
    for name in (SIMULATOR, AGAIN):
        rng = np.random.default_rng(settings.seed)
        users = found[name].users, truth.users
        size = int(max(part.max() for part in users)) + 1
        once = np.ones(settings.sessions)
        point = measures(found[name], truth, (once, once))
        drawn = []
        for _ in range(settings.resamples):
            counts = drawn_users(size, rng)
            drawn.append(measures(found[name], truth, (counts[users[0]], counts[users[1]])))
        low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
        cells = [f"{p:.2f} [{a:.2f}, {b:.2f}]" for p, a, b in zip(point, low, high, strict=True)]
        lines.append(f"| {TITLES[name]} | value | {' | '.join(cells[:3])} |")
        lines.append(f"| {TITLES[name]} | depth | {' | '.join(cells[3:])} |")
    return "\n".join(lines)


def group_table(found: dict[str, Values]) -> str:
    """Means of each group with both evaluators, and the rank of the simulator's choice."""
    lines = [
        "| policies | value, simulator | value, ground truth | depth, simulator |"
        " depth, ground truth | best true value | value of the simulator's choice | its rank |",
        "| --- " * 8 + "|",
    ]
    start = 0
    for group, size in (*GROUPS.items(), ("all", sum(GROUPS.values()))):
        rows = slice(0, size) if group == "all" else slice(start, start + size)
        start += size
        means = [
            getattr(found[name], column)[rows].mean()
            for column in ("reward", "depth")
            for name in EVALUATORS
        ]
        simulated, true = (found[name].reward[rows].mean(axis=1) for name in EVALUATORS)
        selected = true[np.argmax(simulated)]
        cells = " | ".join(f"{value:.2f}" for value in (*means, true.max(), selected))
        lines.append(f"| {group} | {cells} | {1 + int((true > selected).sum())} of {size} |")
    return "\n".join(lines)


def main(settings: Settings) -> None:
    """Draw, play, compare, print and write."""
    folder = open_run_folder(settings.run)
    assembly = Assembly.load(folder.data, folder.simulator)
    best = load_policy(folder.policies / settings.best).policy
    if not isinstance(best, ConstantPolicy):
        raise ConfigError(f"best must be a static policy of the run, got {settings.best!r}")
    session = settings_of_run(folder).run.session
    action = np.asarray(best.action, dtype=np.float64)
    learning = assembly.dynamics(session, UserGroup.LEARN, SIMULATOR)
    observations = observe_sessions(learning, action, settings.seed)
    policies = draw_policies(action, observations, np.random.default_rng(settings.seed))
    everyone = replace(assembly, groups=np.full_like(assembly.groups, UserGroup.FINAL))
    evaluators = {SIMULATOR: SIMULATOR, GROUND_TRUTH: GROUND_TRUTH, AGAIN: GROUND_TRUTH}
    found = {
        name: evaluate(name, everyone.dynamics(session, UserGroup.FINAL, who), settings, policies)
        for name, who in evaluators.items()
    }
    world = load_json(folder.data / "world.json")
    tables = f"""# Fidelity: does the simulator order policies like the ground truth?

You can see here how far to trust the simulator when it orders policies.

    python -m mtf_rl.train --run-dir {settings.run}
    OMP_NUM_THREADS=1 python -m benchmarks.policy_fidelity {settings.run}

mtf_rl {mtf_rl.__version__}, Python {platform.python_version()}, numpy {np.__version__}. World \
seed {world["config"]["seed"]}; {settings.sessions} sessions of all users per policy and \
evaluator; intervals over {settings.resamples} samples of users. The script gives the definitions.

{fidelity_table(found, settings)}

{group_table(found)}
"""
    print(tables)
    write_page(settings.out, tables)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
