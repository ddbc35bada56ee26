"""Comparison of Gaussian process samplers: Optuna's, and BoTorch's, which `gp_bo` uses.

    python -m mtf_rl.train --preset smoke --run-dir runs/smoke
    OMP_NUM_THREADS=1 python -m benchmarks.gp_samplers runs/smoke

Both start from the same 16 Sobol points and get the same number of trials. Each trial's value has
noise, which is the same for both at trial number n of a seed.

- *Functions*: four functions of 8 numbers in [-1, 1], scaled to a standard deviation of 1 over the
  box. The noise has a standard deviation of 0.3. The score is the gap between the optimum and the
  value, without noise, of the selected trial: the best of 4 finalists, each measured again with
  noise of 0.1. Smaller is better.
- *Simulator*: `gp_bo` as `train` runs it, with an equal budget of requests. The score is the mean
  session reward of its policy over simulated sessions of final users. Larger is better.

Finished jobs are kept in a file, so the same command continues a stopped measurement.
"""

import json
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import optuna
import torch
import tyro
from scipy.stats import qmc
from typing_extensions import override

import mtf_rl
from benchmarks.pages import write_page
from mtf_rl.agents import AGENTS, LearningTask
from mtf_rl.agents.search.config import GpBoConfig
from mtf_rl.agents.search.gaussian_process import GaussianProcess
from mtf_rl.agents.search.loop import learn_by_search
from mtf_rl.agents.search.optimizer import Optimizer, Trial
from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.protocols import SIMULATOR
from mtf_rl.data import UserGroup
from mtf_rl.envs import RequestBudget
from mtf_rl.evaluation import Interval, mean_interval, roll_out
from mtf_rl.experiments.assembly import Assembly
from mtf_rl.experiments.command_line import settings_of_run
from mtf_rl.experiments.run_folder import open_run_folder

WIDTH, INITIAL, FINALISTS = 8, 16, 4
NOISE, FINAL_NOISE = 0.3, 0.1
EVALUATED_SESSIONS = 4_000
EVALUATION_SEED = 7_000_003
SAMPLERS = ("botorch", "optuna")
SIMULATED = "simulator"
Function = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True)
class Settings:
    """Which run, and how much."""

    run: tyro.conf.Positional[Path]
    """Folder of a run, whose simulator is searched."""
    seeds: int = 10
    """Seeds of each function, at least 2."""
    simulator_seeds: int = 30
    """Seeds of the simulator, at least 2."""
    trials: int = 64
    """Trials of a function, the initial points included."""
    requests: int = 40_000
    """Budget of simulated requests."""
    kept: Path | None = None
    """File of finished jobs; RUN/gp_samplers.jsonl by default."""
    out: Path = Path("benchmarks/gp_samplers.md")
    """The page to write."""


class OptunaProcess(Optimizer):
    """Optuna's `GPSampler`, started from the same points as `GaussianProcess`."""

    def __init__(self, dimensions: int, *, seed: int, initial: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.GPSampler(
            seed=seed, n_startup_trials=1, warn_independent_sampling=False
        )
        self._study = optuna.create_study(sampler=sampler, direction="maximize")
        sobol = qmc.Sobol(dimensions, rng=np.random.default_rng(seed))
        self._initial = 2.0 * sobol.random(initial) - 1.0
        box = optuna.distributions.FloatDistribution(-1.0, 1.0)
        self._ranges: dict[str, optuna.distributions.BaseDistribution] = {
            f"x{column}": box for column in range(dimensions)
        }
        self._asked: optuna.trial.Trial | None = None
        self._started = False

    @override
    def start(self, trials: list[Trial]) -> None:  # type: ignore[override]
        for trial in trials:
            self._add(trial)

    @override
    def ask(self) -> FloatArray:
        if not self._started:
            self._started = True
            return self._initial
        self._asked = self._study.ask(self._ranges)
        return np.array([[self._asked.params[name] for name in self._ranges]])

    @override
    def tell(self, trials: list[Trial]) -> None:  # type: ignore[override]
        if self._asked is not None:
            self._study.tell(self._asked, trials[0].value)
            return
        for trial in trials:
            self._add(trial)

    def _add(self, trial: Trial) -> None:
        params = {name: float(x) for name, x in zip(self._ranges, trial.point, strict=True)}
        self._study.add_trial(
            optuna.trial.create_trial(
                params=params, distributions=self._ranges, value=float(trial.value)
            )
        )


def make(sampler: str, dimensions: int, seed: int) -> Optimizer:
    """One of the two."""
    if sampler == "botorch":
        return GaussianProcess(dimensions, seed=seed, initial=INITIAL)
    return OptunaProcess(dimensions, seed=seed, initial=INITIAL)


def bowl(points: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, float]:
    """A quadratic with its optimum inside the box, and another curvature in each direction."""
    centre, curvatures = rng.uniform(-0.6, 0.6, WIDTH), np.geomspace(0.1, 1.0, WIDTH)
    return -((points - centre) ** 2) @ rng.permutation(curvatures), 0.0


def corner(points: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, float]:
    """Linear: the optimum is a corner of the box."""
    slopes = rng.normal(size=WIDTH)
    return points @ slopes, float(np.abs(slopes).sum())


def ridge(points: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, float]:
    """A quadratic that is steep across one random direction and flat along the others."""
    turn = np.linalg.qr(rng.normal(size=(WIDTH, WIDTH)))[0]
    moved = (points - rng.uniform(-0.4, 0.4, WIDTH)) @ turn
    return -(moved**2) @ np.array([5.0, *[0.2] * (WIDTH - 1)]), 0.0


def hills(points: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, float]:
    """Two Gaussian hills of heights 1 and 0.6 with a common width; the higher one wins."""
    high, low = rng.uniform(-0.6, 0.6, (2, WIDTH))
    bumps = [np.exp(-((points - at) ** 2).sum(axis=1) / 2.0) for at in (high, low)]
    return np.maximum(bumps[0], 0.6 * bumps[1]), 1.0


FUNCTIONS = {"bowl": bowl, "corner": corner, "ridge": ridge, "hills": hills}


def function_of(name: str, seed: int) -> tuple[Function, float]:
    """A function scaled to a standard deviation of 1 over the box, and its optimum."""
    raw = FUNCTIONS[name]
    uniform = np.random.default_rng(0).uniform(-1.0, 1.0, (4_096, WIDTH))
    spread = float(raw(uniform, np.random.default_rng(seed))[0].std())
    best = raw(uniform, np.random.default_rng(seed))[1] / spread
    return lambda points: raw(points, np.random.default_rng(seed))[0] / spread, best


def gap_of(name: str, sampler: str, seed: int, trials: int) -> float:
    """Optimum less the value of the selected trial."""
    function, best = function_of(name, seed)
    noise = np.random.default_rng((seed, 1)).normal(0.0, NOISE, trials)
    optimizer = make(sampler, WIDTH, seed)
    points: list[FloatArray] = []
    values: list[float] = []
    while len(points) < trials:
        asked = optimizer.ask()[: trials - len(points)]
        told = function(asked) + noise[len(points) : len(points) + len(asked)]
        optimizer.tell(
            [
                Trial(point, float(value), NOISE, (0.0, 0.0), 1, 1)
                for point, value in zip(asked, told, strict=True)
            ]
        )
        points += list(asked)
        values += [float(value) for value in told]
    finalists = np.stack(points)[np.argsort(-np.array(values), kind="stable")[:FINALISTS]]
    true = function(finalists)
    again = true + np.random.default_rng((seed, 2)).normal(0.0, FINAL_NOISE, FINALISTS)
    return best - float(true[np.argmax(again)])


@cache
def assembly_of(run: Path) -> Assembly:
    """The run's simulator."""
    folder = open_run_folder(run)
    return Assembly.load(folder.data, folder.simulator)


def reward_of(sampler: str, seed: int, settings: Settings) -> float:
    """Mean session reward of the policy that a search of the simulator finds."""
    session = settings_of_run(open_run_folder(settings.run)).run.session
    learning, tuning, final = (
        assembly_of(settings.run).dynamics(session, group, SIMULATOR)
        for group in (UserGroup.LEARN, UserGroup.TUNE, UserGroup.FINAL)
    )
    task = LearningTask(
        learning=learning, tuning=tuning, budget=RequestBudget(settings.requests), seed=seed
    )
    if sampler == "botorch":
        policy = AGENTS["gp_bo"].learn(task, GpBoConfig(initial=INITIAL)).policy
    else:
        policy = learn_by_search(
            task, GpBoConfig(initial=INITIAL), lambda width: make(sampler, width, seed)
        ).policy
    played = roll_out(final, policy, seed=EVALUATION_SEED, episodes=np.arange(EVALUATED_SESSIONS))
    return float(played.reward.mean())


def work(settings: Settings, kept: Path) -> list[dict[str, float | str | int]]:
    """Do what is not finished, one seed of every problem after the other."""
    done = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    finished = {(one["problem"], one["sampler"], one["seed"]) for one in done}
    jobs = [
        (problem, sampler, seed)
        for seed in range(max(settings.seeds, settings.simulator_seeds))
        for problem in (*FUNCTIONS, SIMULATED)
        for sampler in SAMPLERS
        if seed < (settings.simulator_seeds if problem == SIMULATED else settings.seeds)
    ]
    for problem, sampler, seed in jobs:
        if (problem, sampler, seed) in finished:
            continue
        start = time.perf_counter()
        if problem == SIMULATED:
            score = reward_of(sampler, seed, settings)
        else:
            score = gap_of(problem, sampler, seed, settings.trials)
        record = {"problem": problem, "sampler": sampler, "seed": seed, "score": score}
        record["seconds"] = time.perf_counter() - start
        done.append(record)
        with kept.open("a") as file:
            file.write(json.dumps(record) + "\n")
    return done


def page_of(settings: Settings, done: list[dict[str, float | str | int]]) -> str:
    """The table."""
    rows = []
    for problem in (*FUNCTIONS, SIMULATED):
        scores, seconds = (
            {
                sampler: np.array(
                    [
                        float(one[what])
                        for one in sorted(done, key=lambda one: int(one["seed"]))
                        if (one["problem"], one["sampler"]) == (problem, sampler)
                    ]
                )
                for sampler in SAMPLERS
            }
            for what in ("score", "seconds")
        )
        sign = 1.0 if problem == SIMULATED else -1.0
        better = sign * (scores["optuna"] - scores["botorch"])
        cells = [_cell(_mean(scores[sampler])) for sampler in SAMPLERS]
        times = [f"{seconds[sampler].mean():.1f}" for sampler in SAMPLERS]
        rows.append(f"| {problem} | {' | '.join([*cells, _cell(_mean(better)), *times])} |")
    return (
        "# Gaussian process samplers: Optuna's against BoTorch's\n\n"
        f"`OMP_NUM_THREADS=1 python -m benchmarks.gp_samplers {settings.run}`; mtf_rl"
        f" {mtf_rl.__version__}, Python {platform.python_version()}, optuna"
        f" {optuna.__version__}, torch {torch.__version__}.\n\n"
        f"Functions: {settings.seeds} seeds, {settings.trials} trials; the score is the gap to the"
        f" optimum, smaller is better. Simulator: {settings.simulator_seeds} seeds,"
        f" {settings.requests:,} requests; the score is session reward over"
        f" {EVALUATED_SESSIONS:,} sessions, larger is better. Brackets: 95 %"
        " CI (t over seeds). The difference is paired by seed; above 0, Optuna's sampler is"
        " better.\n\n"
        "| problem | BoTorch | Optuna | better by Optuna | seconds, BoTorch |"
        " seconds, Optuna |\n"
        "| --- | --- | --- | --- | --- | --- |\n" + "\n".join(rows) + "\n"
    )


def _mean(values: FloatArray) -> Interval:
    return mean_interval(values, np.arange(len(values)))


def _cell(interval: Interval) -> str:
    return f"{interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def main() -> None:
    """Do what is missing, and write the page."""
    settings = tyro.cli(Settings, description=__doc__)
    torch.set_num_threads(1)
    done = work(settings, settings.kept or settings.run / "gp_samplers.jsonl")
    page = page_of(settings, done)
    write_page(settings.out, page)
    print(page)


if __name__ == "__main__":
    main()
