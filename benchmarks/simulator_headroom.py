"""Does the simulator reproduce the long-term effect? Long and myopic policies, found in it.

    python -m mtf_rl.train --run-dir runs/lspi-0
    OMP_NUM_THREADS=1 python -m benchmarks.simulator_headroom runs/lspi-0

`world_headroom` searches policies in the synthetic world for a long objective (mean reward of a
session) and for a myopic one (mean immediate reward of requests recorded once). It finds that long
policies are better. Here the same searches, static and state-dependent, run twice in one run: in
its simulator, and in the ground truth that wrote its log. The first shows what can be learned from
logs, the second is an upper bound. Every policy is then evaluated by both, in the same sessions.

Searches run in sessions of learning users. *All users* are evaluated together, since there are few
final users; these have a column of their own. The random numbers of the evaluated sessions are new
to all policies.

A longer session has less reward at each request. The gain of all users is therefore given in two
factors: requests per session, and reward per request.

Differences are in % of the second policy's mean, paired; intervals are clustered by user. Fractions
are ratios of two such differences. Their intervals come from users drawn with replacement, alike
for both evaluators and all policies. No interval contains the noise of the search.

A finished search is a JSON file in the work folder, under a digest of the run's artifacts.
"""

import hashlib
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import tyro

import mtf_rl
from benchmarks.pages import write_page
from benchmarks.repeated_sessions import RepeatedSessions
from benchmarks.world_headroom import (
    FEATURES,
    FINAL_SEED,
    LONG,
    MYOPIC,
    SEARCH_SEED,
    Searches,
    limits,
    searches_of,
    world_digest,
)
from mtf_rl.agents import ConstantPolicy
from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.files import load_json, sha256_of
from mtf_rl.core.protocols import GROUND_TRUTH, SIMULATOR, Policy
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.data import UserGroup
from mtf_rl.envs import SessionConfig, SessionDynamics
from mtf_rl.evaluation import Sessions, mean_interval, roll_out
from mtf_rl.experiments.assembly import Assembly
from mtf_rl.experiments.command_line import settings_of_run
from mtf_rl.experiments.run_folder import RunFolder, open_run_folder

STATIC, DEPENDENT = "static", "state-dependent"
SHAPES = (STATIC, DEPENDENT)
UNIFORM = "uniform"
EVALUATORS = (SIMULATOR, GROUND_TRUTH)
SHORT = {SIMULATOR: "simulator", GROUND_TRUTH: "ground truth"}


@dataclass(frozen=True)
class Settings:
    """The run, the searches, the evaluation."""

    run: tyro.conf.Positional[Path]
    """Folder of a run on a synthetic world."""
    trials: int = 300
    """Trials of a static search, a multiple of its population of 10; half those of a
    state-dependent one."""
    sessions: int = 1_000
    """Sessions of a trial, the same in all trials."""
    evaluated: int = 40_000
    """Sessions of all users on which a policy is evaluated."""
    resamples: int = 1_000
    """Samples of users for the intervals of fractions."""
    work: Path = Path("runs/simulator_headroom")
    """Folder of finished searches."""
    out: Path = Path("benchmarks/simulator_headroom.md")
    """The page to write."""


def named(shape: str, kind: str, searched_in: str) -> str:
    """A policy's name, such as `static, long, in simulator`."""
    return f"{shape}, {kind}, in {SHORT[searched_in]}"


# The searches.


def searches_in(
    assembly: Assembly, session: SessionConfig, evaluator: str, settings: Settings
) -> Searches:
    """The four searches with `evaluator` answering on learning users."""
    size = f"{settings.trials}x{settings.sessions}"
    return Searches(
        lambda: RepeatedSessions.of(
            assembly.dynamics(session, UserGroup.LEARN, evaluator),
            sessions=settings.sessions,
            seed=SEARCH_SEED,
        ),
        settings.trials,
        settings.work / digest_of(settings.run, assembly) / SHORT[evaluator] / size,
    )


def digest_of(run: Path, assembly: Assembly) -> str:
    """A name for what searches in a run depend on: its scores, its simulator and its world."""
    folder = open_run_folder(run)
    digest = hashlib.sha256(sha256_of(folder.data / "score_table.npz").encode())
    for path in sorted(folder.simulator.iterdir()):
        digest.update(sha256_of(path).encode())
    if assembly.world is not None:
        digest.update(world_digest(assembly.world.config).encode())
    return f"{run.name}-{digest.hexdigest()[:8]}"


def policies_of(searches: Searches, searched_in: str) -> dict[str, Policy]:
    """What the four searches found, each by name; searched where it is not there yet."""
    found: dict[str, Policy] = {}
    for kind in (LONG, MYOPIC):
        policy_of: Callable[[FloatArray], Policy] = searches.lens.policy
        found[named(STATIC, kind, searched_in)] = policy_of(searches.static(kind).latent)
        found[named(DEPENDENT, kind, searched_in)] = policy_of(searches.linear(kind).latent)
    return found


# The evaluation.


@dataclass(frozen=True)
class EvaluatedPolicy:
    """Every policy's sessions under every evaluator, all of the same episodes."""

    sessions: Mapping[str, Mapping[str, Sessions]]  # by evaluator, then by policy
    final: BoolArray  # (sessions,), whether the session is a final user's

    @property
    def users(self) -> IntArray:
        """(sessions,), whose session each is; the same for all evaluators and policies."""
        return next(iter(self.sessions[SIMULATOR].values())).users

    def reward(self, evaluator: str, policy: str) -> FloatArray:
        """(sessions,)."""
        return self.sessions[evaluator][policy].reward


@dataclass(frozen=True)
class HeadroomComparison:
    """One policy against another, by one evaluator."""

    better: str
    worse: str
    evaluator: str

    def gain(self, evaluated: EvaluatedPolicy, weights: FloatArray) -> float:
        """How much better in %, each session counting `weights` (sessions,) times."""
        better, worse = (
            weights @ evaluated.reward(self.evaluator, name) for name in (self.better, self.worse)
        )
        return float(100.0 * (better / worse - 1.0))

    def cell(self, evaluated: EvaluatedPolicy, rows: BoolArray) -> str:
        """The gain over the sessions in `rows`, with its interval."""
        better = evaluated.reward(self.evaluator, self.better)[rows]
        worse = evaluated.reward(self.evaluator, self.worse)[rows]
        scale = 100.0 / float(worse.mean())
        found = limits(mean_interval(better - worse, evaluated.users[rows]))
        mean, low, high = (scale * value for value in found)
        return f"{mean:+.2f} % [{low:+.2f}, {high:+.2f}]"

    def parts(self, evaluated: EvaluatedPolicy) -> tuple[float, float]:
        """The gain in % of requests per session, and that of reward per request.

        With gains as factors, 1 + gain / 100, their product is the gain of session reward.
        """
        better, worse = (
            evaluated.sessions[self.evaluator][name] for name in (self.better, self.worse)
        )
        longer = float(better.depth.mean() / worse.depth.mean())
        richer = float(better.reward.mean() / worse.reward.mean()) / longer
        return 100.0 * (longer - 1.0), 100.0 * (richer - 1.0)


def play(
    assembly: Assembly, session: SessionConfig, policies: Mapping[str, Policy], count: int
) -> EvaluatedPolicy:
    """Play all policies in `count` sessions of all users, under both evaluators."""
    sessions: dict[str, dict[str, Sessions]] = {}
    for evaluator in EVALUATORS:
        dynamics = SessionDynamics(
            scores=assembly.scores,
            user_model=assembly.evaluators[evaluator],
            catalogue=assembly.catalogue,
            profiles=assembly.profiles,
            users=np.arange(len(assembly.groups)),
            config=session,
        )
        sessions[evaluator] = {}
        for name, policy in policies.items():
            print(f"{SHORT[evaluator]} evaluators: {name}", flush=True)
            sessions[evaluator][name] = roll_out(
                dynamics, policy, seed=FINAL_SEED, episodes=np.arange(count)
            )
    users = sessions[SIMULATOR][next(iter(policies))].users
    return EvaluatedPolicy(sessions, assembly.groups[users] == UserGroup.FINAL)


def fraction_interval(
    evaluated: EvaluatedPolicy,
    part: HeadroomComparison,
    whole: HeadroomComparison,
    *,
    resamples: int,
    rng: np.random.Generator,
) -> tuple[float, float, float]:
    """The gain `part` over the gain `whole`, with 95 % limits over users drawn with replacement."""
    _, members = np.unique(evaluated.users, return_inverse=True)
    size = int(members.max()) + 1
    sums = {
        (entry.evaluator, name): np.bincount(
            members, weights=evaluated.reward(entry.evaluator, name)
        )
        for entry in (part, whole)
        for name in (entry.better, entry.worse)
    }

    def fraction(counts: FloatArray) -> FloatArray:
        """Of each sample, (samples,), users counting as often as `counts` (samples, users)."""
        gains = [
            counts
            @ sums[entry.evaluator, entry.better]
            / (counts @ sums[entry.evaluator, entry.worse])
            - 1.0
            for entry in (part, whole)
        ]
        return np.asarray(gains[0] / gains[1])

    drawn = rng.multinomial(size, np.full(size, 1.0 / size), size=resamples).astype(np.float64)
    low, high = np.quantile(fraction(drawn), [0.025, 0.975])
    return float(fraction(np.ones((1, size)))[0]), float(low), float(high)


# The page.


def pair(shape: str, searched_in: str, evaluator: str) -> HeadroomComparison:
    """Long against myopic, both found with one evaluator."""
    return HeadroomComparison(
        named(shape, LONG, searched_in), named(shape, MYOPIC, searched_in), evaluator
    )


def gain_table(evaluated: EvaluatedPolicy) -> str:
    """Long against myopic, searched in either, evaluated by either."""
    lines = [
        "| policies | found in | evaluator | all users | requests | reward of a request |"
        " final users |",
        "| --- " * 7 + "|",
    ]
    everyone = np.ones(len(evaluated.final), dtype=np.bool_)
    for shape in SHAPES:
        for searched_in in EVALUATORS:
            for evaluator in EVALUATORS:
                compared = pair(shape, searched_in, evaluator)
                requests, each = compared.parts(evaluated)
                cells = (
                    f"{compared.cell(evaluated, everyone)} | {requests:+.1f} % | {each:+.1f} %"
                    f" | {compared.cell(evaluated, evaluated.final)}"
                )
                lines.append(
                    f"| {shape}, long / myopic | {SHORT[searched_in]} | {SHORT[evaluator]}"
                    f" | {cells} |"
                )
    return "\n".join(lines)


FRACTIONS: dict[str, Callable[[str], tuple[HeadroomComparison, HeadroomComparison]]] = {
    "predicted: pair found in the simulator, evaluated in it": lambda shape: (
        pair(shape, SIMULATOR, SIMULATOR),
        pair(shape, GROUND_TRUTH, GROUND_TRUTH),
    ),
    "transferred: pair found in the simulator, evaluated in the ground truth": lambda shape: (
        pair(shape, SIMULATOR, GROUND_TRUTH),
        pair(shape, GROUND_TRUTH, GROUND_TRUTH),
    ),
    "reproduced: pair found in the ground truth, evaluated in the simulator": lambda shape: (
        pair(shape, GROUND_TRUTH, SIMULATOR),
        pair(shape, GROUND_TRUTH, GROUND_TRUTH),
    ),
}


def fraction_table(evaluated: EvaluatedPolicy, resamples: int) -> str:
    """Gains of long over myopic as fractions of the gain that is possible in the ground truth."""
    lines = [
        f"| fraction of the gain in the ground truth | {' | '.join(SHAPES)} |",
        "| --- " * 3 + "|",
    ]
    for name, compared in FRACTIONS.items():
        cells = []
        for shape in SHAPES:
            part, whole = compared(shape)
            rng = np.random.default_rng(FINAL_SEED)
            found = fraction_interval(evaluated, part, whole, resamples=resamples, rng=rng)
            cells.append("{:.2f} [{:.2f}, {:.2f}]".format(*found))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def loss_comparisons() -> list[tuple[str, str]]:
    """Other differences: the loss and the gain of searching in the simulator."""
    found = []
    for shape in SHAPES:
        best = named(shape, LONG, SIMULATOR)
        found += [
            (best, named(shape, LONG, GROUND_TRUTH)),
            (best, named(shape, MYOPIC, GROUND_TRUTH)),
            (best, UNIFORM),
        ]
    for searched_in in EVALUATORS:
        found.append((named(DEPENDENT, LONG, searched_in), named(STATIC, LONG, searched_in)))
    return found


def loss_table(evaluated: EvaluatedPolicy) -> str:
    """The other differences, by both evaluators, over all users."""
    heads = " | ".join(f"in the {SHORT[evaluator]}" for evaluator in EVALUATORS)
    lines = [f"| first | second | {heads} |", "| --- " * 4 + "|"]
    everyone = np.ones(len(evaluated.final), dtype=np.bool_)
    for better, worse in loss_comparisons():
        cells = [
            HeadroomComparison(better, worse, evaluator).cell(evaluated, everyone)
            for evaluator in EVALUATORS
        ]
        lines.append(f"| {better} | {worse} | {' | '.join(cells)} |")
    return "\n".join(lines)


def level_table(evaluated: EvaluatedPolicy) -> str:
    """What each policy's sessions are made of, by both evaluators, over all users."""
    heads = " | ".join(
        f"{column}, {SHORT[evaluator]}"
        for column in ("session reward", "requests", "reward of a request")
        for evaluator in EVALUATORS
    )
    lines = [f"| policy | {heads} |", "| --- " * 7 + "|"]
    for name in evaluated.sessions[SIMULATOR]:
        rewards = [evaluated.reward(evaluator, name).mean() for evaluator in EVALUATORS]
        depths = [evaluated.sessions[evaluator][name].depth.mean() for evaluator in EVALUATORS]
        each = [reward / depth for reward, depth in zip(rewards, depths, strict=True)]
        cells = [f"{value:.2f}" for value in (*rewards, *depths, *each)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def search_table(searches: Mapping[str, Searches]) -> str:
    """Every search: cost, gain of its last third, weights over the largest one."""
    lines = [
        "| found in | search | trials | requests | s | last third |"
        f" {' | '.join(KUAIRAND_TASKS.names)} |",
        "| --- " * (6 + len(KUAIRAND_TASKS)) + "|",
    ]
    for evaluator, entry in searches.items():
        for name, found in searches_of(entry).items():
            weights = " | ".join(f"{weight:.2f}" for weight in found["weights"])
            lines.append(
                f"| {SHORT[evaluator]} | {name} | {found['trials']} | {found['requests']}"
                f" | {found['seconds']:.0f} | {100 * found['late_gain']:+.2f} % | {weights} |"
            )
    return "\n".join(lines)


def page(
    settings: Settings,
    folder: RunFolder,
    evaluated: EvaluatedPolicy,
    searches: Mapping[str, Searches],
) -> str:
    """All tables of the results page."""
    seed = load_json(folder.data / "world.json")["config"]["seed"]
    users = len(np.unique(evaluated.users))
    return f"""# Does the simulator reproduce the long-term effect?

You can see here how much of a long-term gain you can find in the simulator.

    python -m mtf_rl.train --run-dir {settings.run}
    OMP_NUM_THREADS=1 python -m benchmarks.simulator_headroom {settings.run}

mtf_rl {mtf_rl.__version__}, Python {platform.python_version()}, numpy {np.__version__}, cmaes \
{version("cmaes")}. World seed {seed}. Searches: CMA-ES, {settings.trials} trials for static and \
{2 * settings.trials} for state-dependent policies, of {settings.sessions} sessions of learning \
users; features {", ".join(FEATURES)}. Evaluation: {settings.evaluated} sessions of {users} \
users, {int(evaluated.final.sum())} of them of final users. The script gives the definitions.

{gain_table(evaluated)}

{fraction_table(evaluated, settings.resamples)}

{loss_table(evaluated)}

{level_table(evaluated)}

`last third`: gain of the best value found over the last third of the trials. Weights are at the \
average observation, over the largest one.

{search_table(searches)}
"""


def main(settings: Settings) -> None:
    """Search, evaluate, print and write."""
    folder = open_run_folder(settings.run)
    assembly = Assembly.load(folder.data, folder.simulator)
    if assembly.world is None:
        raise ConfigError(
            f"{settings.run} has no ground truth to compare with; use a run on a synthetic world"
        )
    session = settings_of_run(folder).run.session
    searches = {
        evaluator: searches_in(assembly, session, evaluator, settings) for evaluator in EVALUATORS
    }
    policies: dict[str, Policy] = {UNIFORM: ConstantPolicy(KUAIRAND_TASKS.signs)}
    for evaluator, entry in searches.items():
        policies |= policies_of(entry, evaluator)
    evaluated = play(assembly, session, policies, settings.evaluated)
    text = page(settings, folder, evaluated, searches)
    print(text)
    write_page(settings.out, text)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
