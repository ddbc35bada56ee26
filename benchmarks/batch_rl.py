"""Batch RL on logged requests: every algorithm on the same dataset, with both evaluators.

    python -m mtf_rl.train --run-dir runs/lspi-0
    OMP_NUM_THREADS=1 python -m benchmarks.batch_rl runs/lspi-0 --logged-in ground_truth
    OMP_NUM_THREADS=1 python -m benchmarks.batch_rl runs/lspi-0 --logged-in simulator

For each seed a batch dataset is collected from learning users with the default mix around uniform
weights: half of the sessions have uniformly random actions, half a truncated Gaussian.
`--behaviour truncated_gaussian` logs the second half alone. Every algorithm learns from the dataset
with its default settings and that seed. If the simulator logged the dataset, online learners play
as many requests there. Two references stand beside them: the behaviour policy itself, and the best
static weights. These are the best of 500 uniformly random actions by fitted Q evaluation on the
same dataset (least squares, quadratic features). The evaluated sessions affect no selection.

Each seed is evaluated in sessions of its own, of final users, with both evaluators. All policies of
a seed play the same sessions. Differences are paired by seed. Intervals are Student's over seeds,
so they contain the noise of logging, of learning and of the evaluated sessions.

Finished results are kept in the work folder and not repeated. Several processes can share the
seeds: give each some `--seeds`, then run once with all.
"""

import platform
import time
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
import tyro
from scipy import stats

import mtf_rl
from benchmarks.pages import write_page
from benchmarks.simulator_headroom import digest_of
from mtf_rl.agents import (
    AGENTS,
    BehaviourPolicy,
    ConstantPolicy,
    FusionPolicy,
    FusionSetting,
    LearnedPolicy,
    LearningTask,
    SavedPolicy,
    Watch,
    collect,
    save_policy,
)
from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.errors import DataError
from mtf_rl.core.files import load_json, save_json
from mtf_rl.core.protocols import GROUND_TRUTH, SIMULATOR
from mtf_rl.data import BatchDataset, Transitions, UserGroup
from mtf_rl.envs import RequestBudget, SessionDynamics
from mtf_rl.evaluation import LeastSquaresConfig, roll_out, static_policies
from mtf_rl.experiments.assembly import Assembly
from mtf_rl.experiments.collection import BEHAVIOURS, ExplorationStd
from mtf_rl.experiments.command_line import settings_of_run
from mtf_rl.experiments.run_folder import open_run_folder
from mtf_rl.experiments.settings import settings_to_json

BEHAVIOUR, STATIC, UNIFORM = "behaviour policy", "best static", "uniform"
REFERENCES = (BEHAVIOUR, STATIC)
FROM_BATCH = tuple(name for name, agent in AGENTS.items() if agent.from_batch)
ONLINE = ("td3", "sac", "ddpg", "ppo", "a2c", "han_actor_critic")
EVALUATORS = {"simulator": SIMULATOR, "ground_truth": GROUND_TRUTH}
STATIC_CANDIDATES = 500
FINAL_SEED, TUNING_SEED = 3_000_003, 1_000_003
CURVE_POINTS, CURVE_SESSIONS = 5, 500


@dataclass(frozen=True)
class Settings:
    """The run, the log, the budget."""

    run: tyro.conf.Positional[Path]
    """Folder of a run on a synthetic world."""
    logged_in: str = "ground_truth"
    """Where the requests were logged: ground_truth or simulator."""
    seeds: tuple[int, ...] = (1, 2, 3, 4, 5)
    """Seeds of logging and learning; defaults were tuned with seed 0."""
    behaviour: str = "mix"
    """Behaviour policy of the log: mix, or truncated_gaussian for logs that explore little."""
    requests: int = 100_000
    """Requests in each dataset, and budget of the online learners."""
    sessions: int = 4_000
    """Sessions of final users that evaluate each seed."""
    agents: tuple[str, ...] = ()
    """Agents to run; by default all that learn from a batch, and the online ones where the
    simulator logged."""
    work: Path = Path("runs/batch_rl")
    """Folder of what is finished."""
    write: bool = True
    """Whether to write page and picture."""

    @property
    def contestants(self) -> tuple[str, ...]:
        """The agents that take part."""
        default = FROM_BATCH + (ONLINE if self.logged_in == "simulator" else ())
        return self.agents or default

    @property
    def name(self) -> str:
        """Name of this dataset."""
        return self.logged_in if self.behaviour == "mix" else f"{self.logged_in}_{self.behaviour}"

    @property
    def page(self) -> Path:
        """The page to write."""
        return Path(f"benchmarks/batch_rl_{self.name}.md")

    @property
    def picture(self) -> Path:
        """The learning curves."""
        return Path(f"docs/images/batch_rl_{self.name}.png")


class Stage:
    """The run's sessions, and where finished work is kept."""

    def __init__(self, settings: Settings) -> None:
        run = open_run_folder(settings.run)
        self.session = settings_of_run(run).run.session
        self.assembly = Assembly.load(run.data, run.simulator)
        self.settings = settings
        digest = digest_of(settings.run, self.assembly)
        self.folder = settings.work / digest / settings.name / str(settings.requests)

    def sessions_of(self, group: UserGroup, evaluator: str) -> SessionDynamics:
        """Sessions of a group of users, answered by a evaluator."""
        return self.assembly.dynamics(self.session, group, evaluator)

    def behaviour(self) -> BehaviourPolicy:
        """The behaviour policy, around uniform weights."""
        sessions = self.sessions_of(UserGroup.LEARN, SIMULATOR)
        return BEHAVIOURS[self.settings.behaviour](
            uniform_policy(sessions), sessions.action_dim, ExplorationStd()
        )

    def batch(self, seed: int) -> BatchDataset:
        """The dataset of a seed."""
        path = self.folder / f"seed-{seed}.parquet"
        if not path.exists():
            sessions = self.sessions_of(UserGroup.LEARN, EVALUATORS[self.settings.logged_in])
            requests = self.settings.requests
            collect(sessions, self.behaviour(), requests=requests, seed=seed).save(path)
        return BatchDataset.load(path)


def uniform_policy(sessions: SessionDynamics) -> ConstantPolicy:
    """+1 for each positive task, -1 for hate."""
    parameters = sessions.formula.parameters_of(sessions.formula.tasks.signs)
    return ConstantPolicy(sessions.action_map.to_action(parameters))


def best_static(batch: BatchDataset, seed: int) -> ConstantPolicy:
    """The best of uniformly random actions, by fitted Q evaluation on the dataset."""
    transitions = Transitions.of(batch)
    generator = np.random.default_rng(seed)
    actions = generator.uniform(-1.0, 1.0, (STATIC_CANDIDATES, transitions.action_dim))
    values = static_policies(transitions).evaluate(actions, transitions.first_observations).values
    return ConstantPolicy(actions[int(np.argmax(values))].astype(np.float32))


def behaviour_value(stage: Stage, evaluator: str, seed: int) -> float:
    """Mean session reward of the behaviour policy in the evaluated sessions."""
    sessions = stage.sessions_of(UserGroup.FINAL, evaluator)
    count = stage.settings.sessions
    # Long enough that the last of the evaluated sessions is whole.
    requests = count * stage.session.max_requests // 2
    played = collect(sessions, stage.behaviour(), requests=requests, seed=FINAL_SEED + seed)
    rewards = np.bincount(played.sessions, played.rewards)
    if len(rewards) <= count:
        raise DataError(
            f"{requests} requests hold only {len(rewards)} sessions, {count} are evaluated"
        )
    return float(rewards[:count].mean())


def values_of(stage: Stage, policy: SavedPolicy, seed: int) -> dict[str, float]:
    """Mean session reward under both evaluators."""
    episodes = np.arange(stage.settings.sessions)
    return {
        evaluator: float(
            roll_out(
                stage.sessions_of(UserGroup.FINAL, evaluator),
                policy,
                seed=FINAL_SEED + seed,
                episodes=episodes,
            ).reward.mean()
        )
        for evaluator in EVALUATORS.values()
    }


def learn(stage: Stage, name: str, seed: int) -> tuple[LearnedPolicy, list[list[float]]]:
    """An agent's policy, and its curve: (fraction of its steps, value on tuning users)."""
    tuning = stage.sessions_of(UserGroup.TUNE, SIMULATOR)
    curve: list[list[float]] = []
    agent = AGENTS[name]
    config = agent.config()
    steps = config.updates if agent.from_batch else stage.settings.requests

    def see(step: int, policy: SavedPolicy) -> None:
        played = roll_out(tuning, policy, seed=TUNING_SEED, episodes=np.arange(CURVE_SESSIONS))
        curve.append([step / steps, float(played.reward.mean())])

    task = LearningTask(
        learning=stage.sessions_of(UserGroup.LEARN, SIMULATOR),
        tuning=tuning,
        budget=RequestBudget(stage.settings.requests),
        seed=seed,
        watch=Watch(every=steps // CURVE_POINTS, see=see),
    )
    if agent.from_batch:
        task = replace(task, batch=stage.batch(seed))
    return agent.learn(task, config), curve


def asked_of(stage: Stage, name: str) -> dict[str, Any]:
    """Settings of a result: with other settings it is computed again."""
    settings = AGENTS[name].config() if name in AGENTS else None
    return {
        "sessions": stage.settings.sessions,
        "settings": None if settings is None else settings_to_json(settings),
    }


def result_of(stage: Stage, name: str, seed: int) -> dict[str, Any]:
    """Values of one contestant with one seed; worked out where it is not there yet."""
    folder = stage.folder / f"seed-{seed}" / name.replace(" ", "_")
    path = folder / "result.json"
    asked = asked_of(stage, name)
    if path.exists():
        found: dict[str, Any] = load_json(path)
        if found["asked"] == asked:
            return found
    start = time.perf_counter()
    curve: list[list[float]] = []
    seconds = 0.0
    if name == BEHAVIOUR:
        values = {
            evaluator: behaviour_value(stage, evaluator, seed) for evaluator in EVALUATORS.values()
        }
    else:
        if name == STATIC:
            policy: SavedPolicy = best_static(stage.batch(seed), seed)
        elif name == UNIFORM:
            policy = uniform_policy(stage.sessions_of(UserGroup.LEARN, SIMULATOR))
        else:
            learned, curve = learn(stage, name, seed)
            policy = learned.policy
        seconds = time.perf_counter() - start
        setting = FusionSetting.of(stage.sessions_of(UserGroup.LEARN, SIMULATOR))
        save_policy(folder, FusionPolicy(policy, setting))
        values = values_of(stage, policy, seed)
        print(f"seed {seed} {name}: {values} ({seconds:.0f} s)", flush=True)
    result = {"asked": asked, "values": values, "curve": curve, "seconds": seconds}
    save_json(path, result)
    return result


# How well the best static weights could be known.

ESTIMATORS = {
    "gamma 0.95": LeastSquaresConfig(),
    "gamma 0.95, ridge 0.01": LeastSquaresConfig(ridge=0.01),
    "gamma 0": LeastSquaresConfig(gamma=0.0),
}
RANKED, RANKED_SESSIONS = 60, 2_000


@dataclass(frozen=True)
class Ranking:
    """Static weights ordered by fitted Q evaluation, beside what they are worth."""

    true_values: FloatArray  # (RANKED,), of sessions in the logged evaluator
    correlations: dict[str, FloatArray]  # by estimator, (seeds,) Spearman's
    picks: dict[str, FloatArray]  # by estimator, (seeds,) true value of the one ranked first


def ranking_of(stage: Stage) -> Ranking:
    """Order random static weights by each seed's dataset; evaluator all in the same sessions."""
    evaluator = EVALUATORS[stage.settings.logged_in]
    sessions = stage.sessions_of(UserGroup.FINAL, evaluator)
    actions = np.random.default_rng(0).uniform(-1.0, 1.0, (RANKED, sessions.action_dim))
    path = stage.folder / "static_values.json"
    if not path.exists():
        episodes = np.arange(RANKED_SESSIONS)
        values = [
            float(roll_out(sessions, policy, seed=FINAL_SEED, episodes=episodes).reward.mean())
            for policy in (ConstantPolicy(action.astype(np.float32)) for action in actions)
        ]
        save_json(path, values)
    true = np.array(load_json(path))
    correlations: dict[str, list[float]] = {name: [] for name in ESTIMATORS}
    picks: dict[str, list[float]] = {name: [] for name in ESTIMATORS}
    for seed in stage.settings.seeds:
        rows = Transitions.of(stage.batch(seed))
        for name, config in ESTIMATORS.items():
            estimates = static_policies(rows, config).evaluate(actions, rows.first_observations)
            correlations[name].append(float(stats.spearmanr(estimates.values, true).statistic))
            picks[name].append(float(true[np.argmax(estimates.values)]))
    return Ranking(
        true,
        {name: np.array(found) for name, found in correlations.items()},
        {name: np.array(found) for name, found in picks.items()},
    )


def ranking_table(ranking: Ranking, logged_in: str) -> str:
    """One row an estimator, one number a seed."""

    def cells(values: FloatArray, digits: int) -> str:
        return ", ".join(f"{value:.{digits}f}" for value in values)

    low, half, high = np.quantile(ranking.true_values, [0.0, 0.5, 1.0])
    lines = [
        f"## How well fitted Q evaluation orders static weights, evaluator: {logged_in}",
        "",
        f"{RANKED} random static weights, worth {low:.1f} to {high:.1f}, half of them less than"
        f" {half:.1f} ({RANKED_SESSIONS:,} sessions of final users); one number for each seed's"
        " dataset.",
        "",
        "| estimator | rank correlation | value of its first choice |",
        "| --- | --- | --- |",
    ]
    for name, found in ranking.correlations.items():
        lines.append(f"| {name} | {cells(found, 2)} | {cells(ranking.picks[name], 1)} |")
    return "\n".join(lines)


# The page.


def interval(values: FloatArray) -> str:
    """Mean and Student's 95 % interval over seeds."""
    mean = float(values.mean())
    if len(values) < 2:
        return f"{mean:.2f}"
    half = float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))
    return f"{mean:.2f} [{mean - half:.2f}, {mean + half:.2f}]"


def beats_both(values: dict[str, FloatArray], name: str) -> bool:
    """Whether the intervals of the differences from both references lie above 0."""
    for reference in REFERENCES:
        gains = values[name] - values[reference]
        half = stats.t.ppf(0.975, len(gains) - 1) * stats.sem(gains)
        if not gains.mean() - half > 0.0:
            return False
    return True


def tables(settings: Settings, results: dict[str, list[dict[str, Any]]]) -> str:
    """Both evaluators' tables."""
    behaviour = settings.behaviour.replace("_", " ")
    flag = "" if settings.behaviour == "mix" else f" --behaviour {settings.behaviour}"
    lines = [
        f"# Batch RL: {settings.requests:,} requests logged in {settings.logged_in}, {behaviour}",
        "",
        "You can see here how every batch algorithm does on the same log, with both evaluators.",
        "",
        f"`python -m benchmarks.batch_rl RUN --logged-in {settings.logged_in}{flag}`, seeds"
        f" {', '.join(map(str, settings.seeds))}; {settings.sessions:,} sessions of final users for"
        " each. Mean session reward, with 95 % CI over seeds.",
        "",
    ]
    for title, evaluator in EVALUATORS.items():
        values = {
            name: np.array([result["values"][evaluator] for result in found])
            for name, found in results.items()
        }
        lines += [
            f"## Evaluator: {title}",
            "",
            "| policy | value | over the behaviour policy | over the best static | beats both |"
            " seconds of training |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        for name in sorted(values, key=lambda n: -values[n].mean()):
            cells = [name, interval(values[name])]
            for reference in REFERENCES:
                gains = values[name] - values[reference]
                cells.append("" if name == reference else interval(gains))
            cells.append("yes" if beats_both(values, name) else "")
            cells.append(f"{np.mean([result['seconds'] for result in results[name]]):.0f}")
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines).rstrip()


def versions() -> str:
    """What the numbers were made with."""
    return (
        f"mtf_rl {mtf_rl.__version__}, torch {torch.__version__}, stable-baselines3"
        f" {version('stable-baselines3')}, Python {platform.python_version()}, one thread."
    )


def draw_curves(settings: Settings, results: dict[str, list[dict[str, Any]]]) -> None:
    """Value on tuning users against the fraction of a learner's steps, mean and range."""
    kinds = {"from the batch, updates": FROM_BATCH, "in the simulator, requests": ONLINE}
    shown = {
        title: [name for name in names if any(r["curve"] for r in results.get(name, []))]
        for title, names in kinds.items()
    }
    panels = {title: names for title, names in shown.items() if names}
    figure, axes = plt.subplots(
        1, len(panels), figsize=(6.5 * len(panels), 5.0), sharey=True, squeeze=False
    )
    for panel, (title, names) in zip(axes[0], panels.items(), strict=True):
        for name in names:
            curves = [np.array(result["curve"]) for result in results[name] if result["curve"]]
            values = np.stack([curve[:, 1] for curve in curves])
            (line,) = panel.plot(curves[0][:, 0], values.mean(axis=0), marker="o", label=name)
            low, high = values.min(axis=0), values.max(axis=0)
            panel.fill_between(curves[0][:, 0], low, high, alpha=0.08, color=line.get_color())
        panel.set_xlabel(f"learning {title}: fraction done")
        panel.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=5)
        panel.grid(alpha=0.3)
    axes[0][0].set_ylabel("session reward of tuning users, simulator")
    figure.suptitle(f"{settings.requests:,} requests of the {settings.logged_in}; bands: all seeds")
    figure.savefig(settings.picture, dpi=90, bbox_inches="tight")


def main() -> None:
    """Work out what is missing, then write the page."""
    settings = tyro.cli(Settings, description=__doc__)
    torch.set_num_threads(1)
    stage = Stage(settings)
    results: dict[str, list[dict[str, Any]]] = {}
    for seed in settings.seeds:
        for name in (BEHAVIOUR, STATIC, UNIFORM, *settings.contestants):
            results.setdefault(name, []).append(result_of(stage, name, seed))
    if settings.write:
        ranking = ranking_table(ranking_of(stage), settings.logged_in)
        page = "\n\n".join([tables(settings, results), ranking, versions()])
        write_page(settings.page, page)
        draw_curves(settings, results)
        print(settings.page.read_text())


if __name__ == "__main__":
    main()
