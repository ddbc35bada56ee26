"""Settings of the online learners: a small search for each in a finished run's simulator.

    python -m mtf_rl.train --run-dir runs/lspi-0
    OMP_NUM_THREADS=1 python -m benchmarks.agent_tuning runs/lspi-0

In a trial, a learner with some settings trains on the budget in sessions of learning users. Its
policy then plays sessions of *tuning* users, the same in all trials. Final users and the ground
truth take no part. Trial 0 has the initial settings. Optuna's TPE selects the others; its seed is
the number of the trial. The learner's seed is 100 + trial. Maximising over a few noisy trials
overfits the noise, so the best trial and the initial settings are trained again with fresh seeds.

- *value*: mean session reward on tuning users, simulated.
- The warm-up of off-policy learners is a quarter of the budget, as in the main job.
- Intervals are t-intervals over the fresh learner seeds; differences are paired by seed. They
  contain the noise of training, not that of the tuning sessions, which are the same for all.

A finished trial is a JSON file in the work folder, under a digest of the run's artifacts. Finished
trials are not repeated.
"""

import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
import tyro
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

import mtf_rl
from benchmarks.pages import write_page
from benchmarks.simulator_headroom import digest_of
from mtf_rl.agents import AGENTS, LearningTask
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.files import load_json, save_json
from mtf_rl.core.protocols import SIMULATOR
from mtf_rl.data import UserGroup
from mtf_rl.envs import RequestBudget, SessionDynamics
from mtf_rl.evaluation import mean_interval, roll_out
from mtf_rl.experiments.assembly import Assembly
from mtf_rl.experiments.command_line import settings_of_run
from mtf_rl.experiments.run_folder import open_run_folder

TRIAL_SEED = 100  # of learners in trials, plus the number of the trial
FRESH_SEED = 200  # of learners that compare the best trial with the start
LUCK_SEED = 4_000_003  # of the tuning sessions; no other part of the program uses it
STARTUP_TRIALS = 5
WIDTH = "width"  # stands for two hidden layers of that width


Range = FloatDistribution | IntDistribution


def _log(low: float, high: float) -> FloatDistribution:
    return FloatDistribution(low, high, log=True)


def _log_int(low: int, high: int) -> IntDistribution:
    return IntDistribution(low, high, log=True)


OFF_POLICY: dict[str, Range] = {
    "learning_rate": _log(1e-4, 3e-3),
    "batch_size": _log_int(128, 1024),
    "updates_per_request": _log(0.05, 0.5),
    WIDTH: _log_int(32, 128),
}
RANGES: dict[str, dict[str, Range]] = {
    "sac": {**OFF_POLICY, "initial_temperature": _log(0.01, 1.0)},
    "ddpg": {**OFF_POLICY, "action_noise": _log(0.1, 1.0)},
    "han_actor_critic": {**OFF_POLICY, "first_epsilon": _log(0.05, 1.0)},
    "ppo": {
        "learning_rate": _log(1e-4, 3e-3),
        "rollout_requests": _log_int(512, 4096),
        "epochs": _log_int(3, 20),
        "initial_std": _log(0.2, 1.0),
        WIDTH: _log_int(32, 128),
    },
    "a2c": {
        "learning_rate": _log(3e-4, 2e-2),
        "rollout_requests": _log_int(128, 1024),
        "initial_std": _log(0.2, 1.0),
        WIDTH: _log_int(32, 128),
    },
}
START: dict[str, dict[str, float | int]] = {
    agent: {"learning_rate": 5e-4, "batch_size": 512, "updates_per_request": 0.25, WIDTH: 64, **own}
    for agent, own in {
        "sac": {"initial_temperature": 0.1},
        "ddpg": {"action_noise": 0.5},
        "han_actor_critic": {"first_epsilon": 0.5},
    }.items()
} | {
    "ppo": {
        "learning_rate": 5e-4,
        "rollout_requests": 512,
        "epochs": 5,
        "initial_std": 0.5,
        WIDTH: 64,
    },
    "a2c": {
        "learning_rate": 2e-3,
        "rollout_requests": 256,
        "initial_std": 0.5,
        WIDTH: 64,
    },
}
REFERENCE = "td3"


@dataclass(frozen=True)
class Settings:
    """Which run, which learners, how much to try."""

    run: tyro.conf.Positional[Path]
    """Folder of a finished run."""
    agents: tuple[str, ...] = tuple(RANGES)
    """Learners to tune."""
    trials: int = 11
    """Trials of an on-policy learner, the start among them."""
    off_policy_trials: int = 6
    """Trials of an off-policy learner, which takes several times as long."""
    seeds: int = 6
    """Fresh learner seeds on which the start and the best are compared, at least 2."""
    requests: int = 20_000
    """Budget of a trial."""
    sessions: int = 4_000
    """Sessions of tuning users per trained policy."""
    work: Path = Path("runs/agent_tuning")
    """Folder of finished trials."""
    out: Path = Path("benchmarks/agent_tuning.md")
    """The page to write."""

    def __post_init__(self) -> None:
        unknown = sorted(set(self.agents) - set(RANGES))
        if unknown:
            raise ConfigError(f"agents must be among {', '.join(RANGES)}, got {unknown}")
        if min(self.trials, self.off_policy_trials) < 1 or self.seeds < 2:
            raise ConfigError(
                f"trials must be at least 1 and seeds 2, got {self.trials},"
                f" {self.off_policy_trials} and {self.seeds}"
            )

    def trials_of(self, agent: str) -> int:
        """Trials of this agent."""
        return self.off_policy_trials if "updates_per_request" in RANGES[agent] else self.trials


@dataclass(frozen=True)
class Trial:
    """Settings of a trial, and the results."""

    params: Mapping[str, float | int]  # empty for the defaults
    seed: int  # of the learner
    value: float
    seconds: float


def agent_settings(agent: str, params: Mapping[str, float | int], requests: int) -> Any:
    """The default settings with `params`, and with the warm-up of a small budget."""
    config = AGENTS[agent].config()
    changes: dict[str, Any] = {name: value for name, value in params.items() if name != WIDTH}
    if WIDTH in params:
        changes["hidden"] = (int(params[WIDTH]),) * 2
    if any(entry.name == "updates_per_request" for entry in fields(config)):
        changes["warmup_requests"] = requests // 4
    return replace(config, **changes)


@dataclass(frozen=True)
class Bench:
    """Where learners learn and are evaluated, and where finished trials lie."""

    learning: SessionDynamics
    tuning: SessionDynamics
    cells: Path
    requests: int
    sessions: int

    def run(self, agent: str, params: Mapping[str, float | int], seed: int, cell: str) -> Trial:
        """Learn and evaluator, or read what was found earlier."""
        path = self.cells / agent / f"{cell}.json"
        if path.exists():
            found = Trial(**load_json(path))
            if dict(found.params) == dict(params) and found.seed == seed:
                return found
        start = time.perf_counter()
        task = LearningTask(self.learning, self.tuning, RequestBudget(self.requests), seed)
        learned = AGENTS[agent].learn(task, agent_settings(agent, params, self.requests))
        seconds = time.perf_counter() - start
        played = roll_out(
            self.tuning, learned.policy, seed=LUCK_SEED, episodes=np.arange(self.sessions)
        )
        trial = Trial(dict(params), seed, float(played.reward.mean()), seconds)
        save_json(path, vars(trial))
        print(
            f"{agent} {cell}: {trial.value:.3f} in {seconds:.0f} s with {dict(params)}", flush=True
        )
        return trial


def suggest(agent: str, earlier: Sequence[Trial]) -> dict[str, float | int]:
    """The settings of the next trial: first those to start from, then TPE's choice."""
    if not earlier:
        return START[agent]
    ranges: dict[str, BaseDistribution] = dict(RANGES[agent])
    sampler = optuna.samplers.TPESampler(seed=len(earlier), n_startup_trials=STARTUP_TRIALS)
    study = optuna.create_study(sampler=sampler, direction="maximize")
    for trial in earlier:
        study.add_trial(
            optuna.trial.create_trial(
                params=dict(trial.params), distributions=ranges, value=trial.value
            )
        )
    return dict(study.ask(fixed_distributions=ranges).params)


def tune(bench: Bench, agent: str, trials: int) -> list[Trial]:
    """All trials of an agent, one after the other."""
    done: list[Trial] = []
    for number in range(trials):
        params = suggest(agent, done)
        done.append(bench.run(agent, params, TRIAL_SEED + number, f"trial-{number:02d}"))
    return done


def again(
    bench: Bench, agent: str, params: Mapping[str, float | int], seeds: int, name: str
) -> list[Trial]:
    """The same settings from fresh seeds."""
    return [
        bench.run(agent, params, FRESH_SEED + number, f"{name}-{number}") for number in range(seeds)
    ]


# The page.


def interval_cell(values: Sequence[float], sign: str = "") -> str:
    """Mean and t-interval over learner seeds."""
    found = mean_interval(np.asarray(values), np.arange(len(values)))
    return f"{found.mean:{sign}.2f} [{found.low:{sign}.2f}, {found.high:{sign}.2f}]"


def params_cell(params: Mapping[str, float | int]) -> str:
    """Settings as `name value`, numbers with three digits."""
    return ", ".join(f"{name} {value:.3g}" for name, value in params.items())


def range_cell(ranges: Mapping[str, Range]) -> str:
    """Ranges as `name low to high`."""
    return ", ".join(f"{name} {entry.low:g} to {entry.high:g}" for name, entry in ranges.items())


@dataclass(frozen=True)
class Tuned:
    """What was found for one agent."""

    trials: list[Trial]
    start: list[Trial]
    best: list[Trial]

    @property
    def best_trial(self) -> Trial:
        """The trial of the highest value."""
        return max(self.trials, key=lambda trial: trial.value)


def result_table(tuned: Mapping[str, Tuned], reference: list[Trial]) -> str:
    """The first and the best settings of each agent on fresh seeds."""
    lines = [
        "| agent | start | best trial's settings | best over start |",
        "| --- | --- | --- | --- |",
        f"| {REFERENCE} | {interval_cell([trial.value for trial in reference])} | | |",
    ]
    for agent, found in tuned.items():
        start, best = ([trial.value for trial in ts] for ts in (found.start, found.best))
        difference = np.subtract(best, start).tolist()
        lines.append(
            f"| {agent} | {interval_cell(start)} | {interval_cell(best)}"
            f" | {interval_cell(difference, '+')} |"
        )
    return "\n".join(lines)


def trial_table(tuned: Mapping[str, Tuned]) -> str:
    """Ranges, and the best trial of each agent."""
    lines = [
        "| agent | ranges, all log-uniform | trials | lowest, median, highest value | best trial |",
        "| --- | --- | --- | --- | --- |",
    ]
    for agent, found in tuned.items():
        values = np.array([trial.value for trial in found.trials])
        lines.append(
            f"| {agent} | {range_cell(RANGES[agent])} | {len(values)}"
            f" | {values.min():.2f}, {np.median(values):.2f}, {values.max():.2f}"
            f" | {params_cell(found.best_trial.params)} |"
        )
    return "\n".join(lines)


def page(
    settings: Settings, tuned: Mapping[str, Tuned], reference: list[Trial], uniform: float
) -> str:
    """All tables of the results page."""
    names = ("stable-baselines3", "torch", "numpy", "optuna")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    return f"""# Settings of the online learners

You can see here which settings each online learner needs, and where its defaults come from.

    python -m mtf_rl.train --run-dir {settings.run}
    OMP_NUM_THREADS=1 python -m benchmarks.agent_tuning {settings.run}

mtf_rl {mtf_rl.__version__}, Python {platform.python_version()}, {versions}. \
{settings.requests} requests a trial, learner seeds {TRIAL_SEED} and up; values are session \
rewards in {settings.sessions} simulated sessions of tuning users. Fresh learner seeds: \
{settings.seeds} from {FRESH_SEED}. Uniform weights are worth {uniform:.2f} there. The script \
gives the definitions.

{result_table(tuned, reference)}

`start`: the settings of trial 0; of {REFERENCE}, its defaults.

{trial_table(tuned)}
"""


def bench_of(settings: Settings) -> Bench:
    """Sessions of a run's simulator."""
    folder = open_run_folder(settings.run)
    assembly = Assembly.load(folder.data, folder.simulator)
    session = settings_of_run(folder).run.session
    return Bench(
        learning=assembly.dynamics(session, UserGroup.LEARN, SIMULATOR),
        tuning=assembly.dynamics(session, UserGroup.TUNE, SIMULATOR),
        cells=settings.work
        / digest_of(settings.run, assembly)
        / f"{settings.requests}x{settings.sessions}",
        requests=settings.requests,
        sessions=settings.sessions,
    )


def value_of_uniform(bench: Bench) -> float:
    """The value of uniform weights, without training."""
    task = LearningTask(bench.learning, bench.tuning, RequestBudget(0), seed=0)
    policy = AGENTS["uniform"].learn(task, AGENTS["uniform"].config()).policy
    episodes = np.arange(bench.sessions)
    return float(roll_out(bench.tuning, policy, seed=LUCK_SEED, episodes=episodes).reward.mean())


def main(settings: Settings) -> None:
    """Tune, compare, print and write."""
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    bench = bench_of(settings)
    reference = again(bench, REFERENCE, {}, settings.seeds, "default")
    tuned = {}
    for agent in settings.agents:
        trials = tune(bench, agent, settings.trials_of(agent))
        best = max(trials, key=lambda trial: trial.value).params
        tuned[agent] = Tuned(
            trials,
            again(bench, agent, START[agent], settings.seeds, "start"),
            again(bench, agent, best, settings.seeds, "best"),
        )
    text = page(settings, tuned, reference, value_of_uniform(bench))
    print(text)
    write_page(settings.out, text)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
