"""Batch RL beside d3rlpy 2.8.1's: Pendulum-v1 learned from one replay, and updates a second.

    python3.11 -m venv .bench/d3rlpy
    .bench/d3rlpy/bin/pip install torch==2.13.0 d3rlpy==2.8.1
    OMP_NUM_THREADS=1 python -m benchmarks.offline_rl

d3rlpy pins gymnasium 1.0.0. It therefore has an environment of its own, where this script calls
`offline_rl_d3rlpy`. The replay is that of Stable-Baselines3's SAC over its first 8,000 steps. Both
sides learn from the same rows, with rewards times 0.1. Networks have two hidden layers of 256,
batches 256 rows; gamma 0.99, Polyak 0.005, one thread. The first 100 updates of a run are not
timed.

Policies play the same 20 episodes. The interval of a mean is over learners' seeds. It contains
neither the noise of the replay nor that of the episodes. The difference is Welch's.

A finished run is a JSON file in the work folder and is not repeated. `--sides d3rlpy` and
`--sides mtf_rl` can run side by side. Speed is measured last, by both in turn.
"""

import itertools
import json
import os
import platform
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from scipy import stats
from stable_baselines3 import SAC

import mtf_rl
from benchmarks.pages import write_page
from benchmarks.pendulum import (
    ACTION_SCALE,
    ALGORITHMS,
    EPISODES,
    HORIZON,
    REWARD_SCALE,
    Job,
    ReplayBatch,
    Stopwatch,
    play,
)
from mtf_rl.agents.offline import AWAC, BC, BCQ, CQL, IQL, TD3BC, BatchLearning
from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.errors import ArtifactError
from mtf_rl.core.files import load_json, save_arrays, save_json
from mtf_rl.data import Transitions
from mtf_rl.evaluation import Interval, mean_interval

OURS, THEIRS = "mtf_rl", "d3rlpy"
COLLECTED_STEPS = 8000
CLOCKS = WALL, PROCESSOR = "updates_per_second", "updates_per_processor_second"

Result = dict[str, Any]
Side = Callable[[Job], Result]
Speeds = dict[str, dict[str, list[list[float]]]]  # by algorithm and clock: (ours, d3rlpy's)


@dataclass(frozen=True)
class Settings:
    """What to train, and where to keep it."""

    interpreter: Path = Path(".bench/d3rlpy/bin/python")
    """Python of the environment that has d3rlpy."""
    seeds: int = 3
    """Learners of each algorithm and library."""
    updates: int = 4000
    """Gradient steps of a learner."""
    speed_updates: int = 300
    """Gradient steps of a run that is only timed, the warm-up of 100 among them."""
    speed_turns: int = 5
    """Timed runs of each library, the two in turn."""
    sides: tuple[str, ...] = (THEIRS, OURS)
    """Libraries to train; the page needs both."""
    work: Path = Path(".bench/offline_rl")
    """Folder of the replay and of finished runs."""
    out: Path = Path("benchmarks/offline_rl.md")
    """The page to write."""


# The replay.


def collect(work: Path) -> Path:
    """Let SAC live its first steps once; keep the rows, and how SAC and chance play."""
    path = work / "replay.npz"
    if path.exists():
        return path
    model = SAC("MlpPolicy", "Pendulum-v1", buffer_size=COLLECTED_STEPS, seed=0, device="cpu")
    model.learn(COLLECTED_STEPS)
    rng = np.random.default_rng(0)
    players = {
        "SAC": play(lambda seen: model.predict(seen, deterministic=True)[0] / ACTION_SCALE),
        "random": play(lambda seen: rng.uniform(-1.0, 1.0, (len(seen), 1)).astype(np.float32)),
    }
    replay = replay_of(model)
    save_json(work / "players.json", players)
    save_arrays(path, {field.name: getattr(replay, field.name) for field in fields(ReplayBatch)})
    return path


def replay_of(model: SAC) -> ReplayBatch:
    """All that a model lived, which its buffer must hold exactly once.

    Raises:
        ArtifactError: if an episode has another length, or ended by something else than the clock.
    """
    buffer: Any = model.replay_buffer
    ends = np.flatnonzero(buffer.dones[:, 0]) + 1
    if not np.array_equal(ends, np.arange(HORIZON, COLLECTED_STEPS + 1, HORIZON)):
        raise ArtifactError(f"episodes must have {HORIZON} steps, got ends at {ends}")
    if not np.array_equal(buffer.dones, buffer.timeouts):
        raise ArtifactError("Pendulum ends by the clock alone, but the replay has another end")
    return ReplayBatch(
        observations=buffer.observations[:, 0],
        actions=buffer.actions[:, 0],
        rewards=REWARD_SCALE * buffer.rewards[:, 0],
        next_observations=buffer.next_observations[:, 0],
    )


# The two sides.

Learner = Callable[..., BatchLearning]

# The settings of `offline_rl_d3rlpy`; `cosine_actor` and BC's rate are not our defaults.
NETWORKS = {"net_arch": [256, 256]}
OURS_AS_THEIRS: Mapping[str, Learner] = {
    "BC": partial(BC, learning_rate=1e-3, policy_kwargs=NETWORKS),
    "TD3+BC": partial(TD3BC, alpha=2.5, policy_kwargs=NETWORKS),
    "CQL": partial(CQL, conservative_weight=5.0, n_action_samples=10, policy_kwargs=NETWORKS),
    "IQL": partial(
        IQL,
        expectile=0.7,
        beta=3.0,
        max_weight=100.0,
        cosine_actor=False,
        policy_kwargs=NETWORKS,
    ),
    "AWAC": partial(AWAC, temperature=1.0, policy_kwargs=NETWORKS),
    "BCQ": partial(
        BCQ,
        min_fraction=0.75,
        n_action_samples=10,
        batch_size=256,
        policy_kwargs=NETWORKS | {"bound": 0.05, "proposals": 10},
    ),
}


class D3rlpy:
    """d3rlpy's interpreter, which trains a learner for each line that it is sent."""

    def __init__(self, interpreter: Path, replay: Path) -> None:
        root = Path(__file__).parent.parent
        self._process = subprocess.Popen(
            [interpreter.absolute(), "-m", "benchmarks.offline_rl_d3rlpy", replay.absolute()],
            cwd=root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __call__(self, job: Job) -> Result:
        """Train one learner.

        Raises:
            ArtifactError: if the interpreter is gone.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(job)) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise ArtifactError(
                f"d3rlpy's side ended at {job}. Send it a job manually to see the error;"
                " offline_rl_d3rlpy gives the command"
            )
        result: Result = json.loads(answer)
        return result


class Ours:
    """mtf_rl's learners, with d3rlpy's settings where the two differ by default."""

    def __init__(self, replay: ReplayBatch) -> None:
        rows = np.arange(len(replay.rewards))
        self._dataset = Transitions(
            observations=replay.observations,
            actions=replay.actions,
            rewards=replay.rewards,
            next_observations=replay.next_observations,
            terminated=np.zeros(len(rows), dtype=np.bool_),
            sessions=rows // HORIZON,
            requests=rows % HORIZON,
        )

    def __call__(self, job: Job) -> Result:
        """Train one learner."""
        model = OURS_AS_THEIRS[job.algorithm](dataset=self._dataset, seed=job.seed)
        watch = Stopwatch()

        def tick(*_: Any) -> bool:
            watch.tick()
            return True

        model.learn(job.updates, callback=tick)
        return {
            "library": OURS,
            **asdict(job),
            **watch.rates,
            "returns": play(lambda seen: model.predict(seen, deterministic=True)[0])
            if job.evaluated
            else [],
            "versions": {
                "mtf_rl": mtf_rl.__version__,
                **{name: version(name) for name in ("stable-baselines3", "torch", "gymnasium")},
            },
        }


def sides_of(settings: Settings, replay: Path) -> dict[str, Side]:
    """The chosen sides by name."""
    makers: dict[str, Callable[[], Side]] = {
        THEIRS: lambda: D3rlpy(settings.interpreter, replay),
        OURS: lambda: Ours(ReplayBatch.read(replay)),
    }
    return {name: makers[name]() for name in settings.sides}


def results_of(side: Side, name: str, settings: Settings) -> list[Result]:
    """Train what is not finished."""
    results = []
    for seed, algorithm in itertools.product(range(settings.seeds), ALGORITHMS):
        path = settings.work / f"{settings.updates}" / f"{name}-{algorithm}-{seed}.json"
        if not path.exists():
            result = side(Job(algorithm, seed, settings.updates, evaluated=True))
            save_json(path, result)
            print(f"{name} {algorithm} {seed}: {np.mean(result['returns']):.0f}", flush=True)
        results.append(load_json(path))
    return results


def speeds_of(sides: Mapping[str, Side], settings: Settings) -> Speeds:
    """Updates a second by algorithm and clock, a pair (ours, d3rlpy's) for each turn.

    The two take turns, so that whatever else loads the machine slows both.
    """
    path = settings.work / f"speed-{settings.speed_updates}.json"
    speeds: Speeds = load_json(path) if path.exists() else {}
    for turn, algorithm in itertools.product(range(settings.speed_turns), ALGORITHMS):
        known = speeds.setdefault(algorithm, {clock: [] for clock in CLOCKS})
        if turn < len(known[WALL]):
            continue
        job = Job(algorithm, turn, settings.speed_updates, evaluated=False)
        results = [sides[name](job) for name in (OURS, THEIRS)]
        for clock, pairs in known.items():
            pairs.append([float(result[clock]) for result in results])
        save_json(path, speeds)
        ours, theirs = known[PROCESSOR][-1]
        print(f"{algorithm} turn {turn}: {ours:.0f} and {theirs:.0f}", flush=True)
    return speeds


# The page.


def mean_over_seeds(means: FloatArray) -> Interval:
    """t-interval of (seeds,)."""
    return mean_interval(means, np.arange(len(means)))


def welch(ours: FloatArray, theirs: FloatArray) -> Interval:
    """The difference of two means over (seeds,), with Welch's interval."""
    found = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.95)
    return Interval(float(np.mean(ours) - np.mean(theirs)), float(found.low), float(found.high))


def speed_ratio(pairs: FloatArray) -> Interval:
    """Geometric mean of the ratios of (turns, 2), with the t-interval of their logarithms."""
    ratios = np.log(pairs[:, 0] / pairs[:, 1])  # (turns,)
    found = mean_over_seeds(ratios)
    return Interval(*(float(np.exp(value)) for value in (found.mean, found.low, found.high)))


def cell(interval: Interval, form: str) -> str:
    """Such as `-150 [-170, -130]`."""
    return f"{interval.mean:{form}} [{interval.low:{form}}, {interval.high:{form}}]"


def seed_means(results: Iterable[Result], algorithm: str) -> FloatArray:
    """Mean return of each learner, (seeds,)."""
    means = [np.mean(one["returns"]) for one in results if one["algorithm"] == algorithm]
    return np.array(means)


def returns_table(results: Mapping[str, list[Result]]) -> str:
    """A line for each algorithm."""
    lines = [
        "| algorithm | mtf_rl | d3rlpy | difference | seeds of mtf_rl | seeds of d3rlpy |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for algorithm in ALGORITHMS:
        ours, theirs = (seed_means(results[name], algorithm) for name in (OURS, THEIRS))
        cells = (
            algorithm,
            cell(mean_over_seeds(ours), ".0f"),
            cell(mean_over_seeds(theirs), ".0f"),
            cell(welch(ours, theirs), "+.0f"),
            *(", ".join(f"{mean:.0f}" for mean in means) for means in (ours, theirs)),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def speed_table(speeds: Speeds) -> str:
    """A line for each algorithm."""
    lines = [
        "| algorithm | mtf_rl | d3rlpy | ratio | ratio by the wall |",
        "| --- | --- | --- | --- | --- |",
    ]
    for algorithm in ALGORITHMS:
        processor, wall = (np.array(speeds[algorithm][clock]) for clock in (PROCESSOR, WALL))
        ours, theirs = np.median(processor, axis=0)
        ratios = (cell(speed_ratio(pairs), ".2f") for pairs in (processor, wall))
        lines.append(f"| {algorithm} | {ours:.0f} | {theirs:.0f} | {' | '.join(ratios)} |")
    return "\n".join(lines)


def page(
    settings: Settings,
    results: Mapping[str, list[Result]],
    speeds: Speeds,
) -> str:
    """The results page."""
    versions: dict[str, str] = {}
    for name in (OURS, THEIRS):
        versions |= {f"{key} ({name}'s)": v for key, v in results[name][-1]["versions"].items()}
    players = load_json(settings.work / "players.json")
    return f"""# Batch RL beside d3rlpy

You can see here how our batch algorithms compare with those of d3rlpy, in return and in speed.

    python3.11 -m venv .bench/d3rlpy
    .bench/d3rlpy/bin/pip install torch==2.13.0 d3rlpy==2.8.1
    OMP_NUM_THREADS=1 python -m benchmarks.offline_rl

Python {platform.python_version()}, \
{", ".join(f"{name} {number}" for name, number in versions.items())}; one thread.

Pendulum-v1: mean return of {EPISODES} episodes (the same for all) after {settings.updates:,} \
updates on the replay of SAC's first {COLLECTED_STEPS:,} steps; {settings.seeds} seeds, 95 % CI \
over seeds. SAC after those steps: {np.mean(players["SAC"]):.0f}; random actions: \
{np.mean(players["random"]):.0f}.

{returns_table(results)}

Updates a second of processor time, medians of {settings.speed_turns} runs of \
{settings.speed_updates} updates, the libraries in turn; ratios are geometric means over turns \
with 95 % CI; average load of the machine at the end: {os.getloadavg()[0]:.1f} on \
{os.cpu_count()} cores.

{speed_table(speeds)}

The script lists what is equal and what is not.
"""


def main(settings: Settings) -> None:
    """Train, evaluate, time, and write the page if both sides are finished."""
    torch.set_num_threads(1)
    sides = sides_of(settings, collect(settings.work))
    results = {name: results_of(side, name, settings) for name, side in sides.items()}
    if set(sides) != {OURS, THEIRS}:
        return
    text = page(settings, results, speeds_of(sides, settings))
    print(text)
    write_page(settings.out, text)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
