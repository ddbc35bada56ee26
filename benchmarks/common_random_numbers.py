"""How much do common random numbers save? The variance of policy differences with and without them.

    python -m mtf_rl.train --run-dir runs/lspi-0
    OMP_NUM_THREADS=1 python -m benchmarks.common_random_numbers runs/lspi-0

Every draw is addressed by (seed, episode, request, purpose, slot). Two policies that play the same
episodes therefore meet the same users, candidates and random numbers, until their slates differ.
Here pairs of policies of one run play the same episodes (common random numbers), and episodes of
two seeds (independent random numbers), of final users.

- *SE*: standard error of the mean difference of session reward, over the sessions played. Sessions
  are the unit; the users are treated as fixed.
- *saving*: variance without common random numbers over variance with them: how many times the
  sessions would be needed for the same error. Intervals: sessions drawn with replacement.
- *request 1*, *requests 1-5*: the same for the reward earned up to there.

Before that, episodes are played one at a time, 7 and 256 at once. They must be bit-identical:
observations, slates, responses, rewards and ends, with both evaluators and in both environments.
"""

import hashlib
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

import mtf_rl
from benchmarks.pages import write_page
from mtf_rl.agents import ConstantPolicy, load_policy
from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.files import load_json
from mtf_rl.core.protocols import GROUND_TRUTH, SIMULATOR, Policy
from mtf_rl.core.randomness import EpisodeRng, Purpose
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.data import UserGroup
from mtf_rl.envs import (
    FusionDynamics,
    FusionRetentionVectorEnv,
    FusionSessionVectorEnv,
    FusionVectorEnv,
    RetentionDynamics,
    SessionDynamics,
    play_episodes,
)
from mtf_rl.experiments.assembly import Assembly
from mtf_rl.experiments.command_line import settings_of_run
from mtf_rl.experiments.run_folder import RunFolder, open_run_folder

EVALUATORS = (SIMULATOR, GROUND_TRUTH)
SHORT = {SIMULATOR: "simulator", GROUND_TRUTH: "ground truth"}
BATCHES = (1, 7, 256)
SHOWN = ("user", "videos", "parameters", "feedback", "play_seconds", "return_days")
MARKS = (1, 5)
"""Requests up to which rewards are summed, beside whole sessions."""
NEAR = 0.05
CHUNK = 1024
SEED, OTHER_SEED = 5, 6


@dataclass(frozen=True)
class Settings:
    """Which run, and how many sessions."""

    run: tyro.conf.Positional[Path]
    """Folder of a run on a synthetic world."""
    static: str = "random_search"
    """The run's static policy beside which a near-equal one is drawn."""
    learnt: tuple[str, str] = ("td3", "td3_untrained")
    """A learner of the run, and its untrained network."""
    sessions: int = 20_000
    """Sessions of each policy, evaluator and seed."""
    checked: int = 300
    """Episodes that must not depend on how many are played at once."""
    resamples: int = 300
    """Samples of sessions for the intervals."""
    out: Path = Path("benchmarks/common_random_numbers.md")
    """The page to write."""


# The same episodes, whatever num_envs is.


def fingerprints(env: FusionVectorEnv[Any], *, episodes: int, seed: int) -> list[str]:
    """A digest of everything that each of the first `episodes` episodes shows.

    Actions are drawn by episode and request, as no policy's matrix product could be: its last bits
    depend on how many rows are multiplied.
    """
    size = env.num_envs
    numbers, served = np.arange(size), np.zeros(size, dtype=np.int64)
    following = size
    digests = {number: hashlib.sha256() for number in range(size)}
    finished: dict[int, str] = {}
    observation, _ = env.reset(seed=seed)
    while len(finished) < episodes:
        for row, number in enumerate(numbers.tolist()):
            digests[number].update(observation[row].tobytes())
        actions = actions_at(numbers, served, env.dynamics.sessions.action_dim)
        observation, reward, terminated, truncated, infos = env.step(actions)
        shown = [reward, terminated, truncated, *(infos[key] for key in SHOWN if key in infos)]
        served += 1
        for row, number in enumerate(numbers.tolist()):
            digests[number].update(b"".join(entry[row].tobytes() for entry in shown))
            if terminated[row] or truncated[row]:
                digest = digests.pop(number)
                digest.update(infos["final_obs"][row].tobytes())
                if number < episodes:
                    finished[number] = digest.hexdigest()
                numbers[row], served[row] = following, 0
                digests[following] = hashlib.sha256()
                following += 1
    return [finished[number] for number in range(episodes)]


def actions_at(episodes: IntArray, requests: IntArray, width: int) -> FloatArray:
    """An action for each request, (num_envs, width), whatever is asked beside it."""
    uniforms = EpisodeRng(0, episodes, requests).uniforms(Purpose.SCORE_NOISE, width)
    return (2.0 * uniforms - 1.0).astype(np.float32)


def check_batches(dynamics: SessionDynamics, episodes: int) -> list[str]:
    """Play in all batch sizes and both environments; a line for each environment.

    Raises:
        AssertionError: if an episode depends on how many are played at once.
    """
    environments: dict[str, Any] = {
        "FusionSession": lambda size: FusionSessionVectorEnv(dynamics, size),
        "FusionRetention": lambda size: FusionRetentionVectorEnv(RetentionDynamics(dynamics), size),
    }
    lines = []
    for name, make in environments.items():
        found = [fingerprints(make(size), episodes=episodes, seed=SEED) for size in BATCHES]
        assert all(entry == found[0] for entry in found), f"{name} depends on num_envs"
        assert len(set(found[0])) == episodes, f"{name} repeats an episode"
        evaluator = SHORT[dynamics.user_model.evaluator]
        sizes = ", ".join(str(size) for size in BATCHES)
        lines.append(f"| {name} | {evaluator} | {episodes} | {sizes} | yes |")
        print(lines[-1], flush=True)
    return lines


# Rewards and their differences.


def rewards_up_to(
    dynamics: FusionDynamics[Any], policy: Policy, *, seed: int, episodes: IntArray
) -> FloatArray:
    """The reward of each episode up to the requests in `MARKS`, and in all: (episodes, marks + 1).

    Rewards after leaving are 0.
    """
    chunks = [episodes[first : first + CHUNK] for first in range(0, len(episodes), CHUNK)]
    return np.concatenate([_play(dynamics, policy, seed, chunk) for chunk in chunks])


def _play(
    dynamics: FusionDynamics[Any], policy: Policy, seed: int, episodes: IntArray
) -> FloatArray:
    def choose(state: Any, rows: IntArray) -> FloatArray:
        action, _ = policy.predict(dynamics.observe(state), deterministic=True)
        return dynamics.sessions.action_map.to_parameters(action)

    total = np.zeros((len(episodes), len(MARKS) + 1))
    played = play_episodes(dynamics, choose, seed=seed, episodes=episodes)
    for served, request in enumerate(played, 1):
        for column, mark in enumerate((*MARKS, np.inf)):
            if served <= mark:
                total[request.rows, column] += request.outcome.reward
    return total


@dataclass(frozen=True)
class Variances:
    """Variances of the difference of two sessions' rewards, with common and independent draws."""

    common: float
    independent: float

    @staticmethod
    def of(first: FloatArray, second: FloatArray, second_anew: FloatArray) -> "Variances":
        """Of two policies' rewards in the same sessions, and the second's in others.

        With d_i the differences in the same sessions: Var(d), and Var(first) + Var(second anew).
        All three are (sessions,); leading axes are samples, and then both variances have them.
        """
        common = np.var(first - second, axis=-1, ddof=1)
        independent = np.var(first, axis=-1, ddof=1) + np.var(second_anew, axis=-1, ddof=1)
        return Variances(common, independent)

    @property
    def saving(self) -> Any:
        """How many times more sessions independent draws need; infinite for identical policies."""
        with np.errstate(divide="ignore"):
            return np.divide(self.independent, self.common)


def saving_cell(
    first: FloatArray,
    second: FloatArray,
    second_anew: FloatArray,
    *,
    resamples: int,
    rng: np.random.Generator,
) -> str:
    """The saving, with 95 % limits over sessions drawn with replacement."""
    count = len(first)
    drawn = []
    for _ in range(resamples):
        rows, others = rng.integers(count, size=(2, count))
        drawn.append(Variances.of(first[rows], second[rows], second_anew[others]).saving)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return f"{Variances.of(first, second, second_anew).saving:.1f} ({low:.1f} to {high:.1f})"


def pairs_of(
    folder: RunFolder, settings: Settings, dynamics: SessionDynamics
) -> dict[tuple[str, str], tuple[Policy, Policy]]:
    """The pairs of policies that are compared, by their names."""
    uniform = ConstantPolicy(dynamics.action_map.to_action(KUAIRAND_TASKS.signs))
    found: dict[tuple[str, str], tuple[Policy, Policy]] = {}
    for task, name in enumerate(KUAIRAND_TASKS.names):
        alone = np.where(np.arange(len(KUAIRAND_TASKS)) == task, KUAIRAND_TASKS.signs, 0.0).astype(
            np.float32
        )
        found[f"{name} alone", "uniform"] = (
            ConstantPolicy(dynamics.action_map.to_action(alone)),
            uniform,
        )
    static = load_policy(folder.policies / settings.static).policy
    if not isinstance(static, ConstantPolicy):
        raise ConfigError(f"static must be a static policy of the run, got {settings.static!r}")
    noise = np.random.default_rng(SEED).normal(0.0, NEAR, len(static.action))
    near = ConstantPolicy(np.clip(static.action + noise, -1.0, 1.0).astype(np.float32))
    found[f"{settings.static}, actions ± {NEAR}", settings.static] = (near, static)
    learnt, untrained = settings.learnt
    found[learnt, untrained] = (
        load_policy(folder.policies / learnt),
        load_policy(folder.policies / untrained),
    )
    return found


def saving_table(
    dynamics: Mapping[str, SessionDynamics],
    pairs: Mapping[tuple[str, str], tuple[Policy, Policy]],
    settings: Settings,
) -> str:
    """One line per pair and evaluator."""
    marks = ["request 1", *(f"requests 1-{mark}" for mark in MARKS[1:]), "session"]
    lines = [
        "| pair | evaluator | difference per session | SE, common | SE, independent | "
        + " | ".join(f"saving, {mark}" for mark in marks)
        + " |",
        "| --- " * (5 + len(marks)) + "|",
    ]
    episodes = np.arange(settings.sessions)
    played: dict[tuple[str, str, int], FloatArray] = {}

    def rewards(evaluator: str, name: str, policy: Policy, seed: int) -> FloatArray:
        key = (evaluator, name, seed)
        if key not in played:
            played[key] = rewards_up_to(dynamics[evaluator], policy, seed=seed, episodes=episodes)
        return played[key]

    for (first, second), (policy, reference) in pairs.items():
        for evaluator in EVALUATORS:
            ours = rewards(evaluator, first, policy, SEED)
            theirs = rewards(evaluator, second, reference, SEED)
            anew = rewards(evaluator, second, reference, OTHER_SEED)
            whole = Variances.of(ours[:, -1], theirs[:, -1], anew[:, -1])
            errors = np.sqrt(np.array([whole.common, whole.independent]) / settings.sessions)
            rng = np.random.default_rng(SEED)
            savings = [
                saving_cell(
                    ours[:, column],
                    theirs[:, column],
                    anew[:, column],
                    resamples=settings.resamples,
                    rng=rng,
                )
                for column in range(len(marks))
            ]
            difference = (ours - theirs)[:, -1].mean()
            lines.append(
                f"| {first} / {second} | {SHORT[evaluator]} | {difference:+.2f} | {errors[0]:.3f}"
                f" | {errors[1]:.3f} | {' | '.join(savings)} |"
            )
            print(lines[-1], flush=True)
    return "\n".join(lines)


def main(settings: Settings) -> None:
    """Check, play, compare, print and write."""
    folder = open_run_folder(settings.run)
    assembly = Assembly.load(folder.data, folder.simulator)
    session = settings_of_run(folder).run.session
    dynamics = {
        evaluator: assembly.dynamics(session, UserGroup.FINAL, evaluator)
        for evaluator in EVALUATORS
    }
    checks = [
        line for entry in dynamics.values() for line in check_batches(entry, settings.checked)
    ]
    pairs = pairs_of(folder, settings, dynamics[SIMULATOR])
    savings = saving_table(dynamics, pairs, settings)
    world = load_json(folder.data / "world.json")
    page = f"""# Common random numbers: what they save

You can see here how many sessions common random numbers save in a comparison of two policies.

    python -m mtf_rl.train --run-dir {settings.run}
    OMP_NUM_THREADS=1 python -m benchmarks.common_random_numbers {settings.run}

mtf_rl {mtf_rl.__version__}, Python {platform.python_version()}, numpy {np.__version__}. World \
seed {world["config"]["seed"]}; {settings.sessions} sessions of final users per policy, evaluator \
and seed; intervals over {settings.resamples} samples of sessions. The script gives the definitions.

{savings}

The same episodes, for each number of environments:

| environment | evaluator | episodes | num_envs | bit-identical |
| --- | --- | --- | --- | --- |
{chr(10).join(checks)}
"""
    print(page)
    write_page(settings.out, page)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
