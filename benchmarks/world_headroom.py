"""Possible gains in the synthetic world, in its ground truth, on seeds not used for tuning.

    OMP_NUM_THREADS=1 python -m benchmarks.world_headroom --seeds 100 101

For each world seed an MMoE is fitted on the world's own logs, and every policy ranks by its
predictions. Policies are searched in the world itself, on learning users. They are evaluated there
on final users with fresh random numbers. The result is an upper bound of what learning in a
simulator could bring.

*Static* weights are eight numbers through tanh and the `box` action map, searched with CMA-ES. The
*state-dependent* policy adds a linear map of `FEATURES`, entries of the standardised observation,
inside the tanh. CMA-ES searches it from the first static search's result, moved away from the
corners, with as many trials in all as the three static restarts have together.

The features are the user's profile and the number of requests so far. Actions affect them only by
making users stay. The states that the myopic objective records under random weights therefore show
them much as any policy meets them.

*Long* and *myopic* searches differ in the objective alone. Long: the mean reward of a session.
Myopic: the mean immediate reward of a request, over requests recorded once along sessions of random
weights. The policy answers each of them anew in the state, and with the draws, in which it was
recorded, so its slates never affect later requests. Without carry-over both objectives have the
same optimum, and common random numbers make the two searches follow the same path.

A finished cell is a JSON file in the work folder, under a digest of the world's source. A rerun
continues from the last one.
"""

import hashlib
import multiprocessing
import platform
import shutil
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from cmaes import CMA
from numpy.typing import NDArray
from typing_extensions import override

import mtf_rl
from benchmarks.pages import write_page
from benchmarks.repeated_sessions import (
    MyopicReward,
    OneStepOracle,
    RepeatedSessions,
    SessionReward,
)
from mtf_rl.agents import ConstantPolicy, Mlp, MlpPolicy
from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.files import load_arrays, load_json, save_arrays, save_json
from mtf_rl.core.protocols import Policy
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.data import (
    SYNTHETIC_PLAN,
    Dataset,
    FeatureEncoder,
    ScoreTable,
    UserGroup,
    read_kuairand,
    split_by_time,
    user_groups,
)
from mtf_rl.envs import SessionConfig, SessionDynamics, UserProfiles
from mtf_rl.evaluation import Interval, Sessions, mean_interval, paired_difference, roll_out
from mtf_rl.experiments.assembly import profiles_of
from mtf_rl.experiments.preparation import standard_rows
from mtf_rl.scorers import SCORERS, ScorerFitConfig, fit_scorer, labelled_rows, score_pools
from mtf_rl.user_models import World, WorldConfig, synthesize

FEATURES = (
    "profile/log_follow_user_num",
    "profile/user_like_rate",
    "session/log_requests",
)
DEFAULT, NO_CARRY_OVER = "default", "no-carry-over"
LONG, MYOPIC = "long", "myopic"
RESTARTS = 3
STATIC_POPULATION, LINEAR_POPULATION = 10, 16
STATIC_SIGMA, LINEAR_SIGMA = 0.6, 0.3
# Static searches end in corners of the box, where tanh is flat and slopes would move nothing.
LINEAR_START = 1.5
POOL = 300
SINGLE_COLUMN = 1
EVENING = 20
SEARCH_SEED, TUNING_SEED, FINAL_SEED = 1, 2, 3
TUNING_SESSIONS = 4_000
SMALLEST_GROUP = 50


@dataclass(frozen=True)
class Settings:
    """How much to search and evaluator."""

    seeds: tuple[int, ...] = (100, 101, 102)
    """World seeds, none of them tuned on."""
    trials: int = 300
    """Trials of one static search, a multiple of its population of 10."""
    sessions: int = 1_000
    """Sessions of a trial, the same in all trials."""
    evaluated: int = 20_000
    """Sessions of final users on which policies are evaluated."""
    rows: int = 300_000
    """Rows that the scorer is fitted on at most."""
    quick: bool = False
    """Few trials and sessions, to see that it runs."""
    processes: int = 2
    """Worlds studied at once, one thread each."""
    work: Path = Path("runs/world_headroom")
    """Folder of finished cells and cached score tables."""
    out: Path = Path("benchmarks/world_headroom.md")
    """The table to write."""
    only: tuple[str, ...] = (DEFAULT, NO_CARRY_OVER)
    """Worlds to study: default, no-carry-over."""
    world: WorldConfig = field(default_factory=WorldConfig)
    """Strengths of the effects; the seed is replaced."""

    def effective(self) -> "Settings":
        """The settings with `quick` applied."""
        if not self.quick:
            return self
        return replace(self, trials=60, sessions=300, evaluated=4_000)


# The parts: scores, dynamics, objectives, search.


@dataclass(frozen=True)
class Parts:
    """What sessions of one world are made of; the same with and without carry-over."""

    scores: ScoreTable
    profiles: UserProfiles
    groups: IntArray  # (users,) of `UserGroup`
    degrees: IntArray  # (users,) code of user_active_degree
    degree_names: tuple[str, ...]

    def dynamics(
        self, world: World, group: UserGroup, *, degree: int | None = None
    ) -> SessionDynamics:
        """Sessions of a group of users, or of those of one degree of activity in it."""
        return SessionDynamics(**self._arguments(world, group, degree))

    def oracle(self, world: World, group: UserGroup) -> OneStepOracle:
        """The same sessions, ranked by the one-step oracle."""
        return OneStepOracle(**self._arguments(world, group, None))

    def repeated(
        self, world: World, group: UserGroup, sessions: int, *, degree: int | None = None
    ) -> "RepeatedSessions":
        """The same, for the first `sessions` episodes alone."""
        arguments = self._arguments(world, group, degree)
        return RepeatedSessions(sessions=sessions, seed=SEARCH_SEED, **arguments)

    def _arguments(self, world: World, group: UserGroup, degree: int | None) -> dict[str, Any]:
        members = self.groups == group
        if degree is not None:
            members = members & (self.degrees == degree)
        return {
            "scores": self.scores,
            "user_model": world,
            "catalogue": world.catalogue,
            "profiles": self.profiles,
            "users": np.flatnonzero(members),
            "config": SessionConfig(),
        }

    def save(self, folder: Path) -> None:
        """Write the parts."""
        self.scores.save(folder / "score_table.npz")
        arrays = {"profiles": self.profiles.values, "groups": self.groups, "degrees": self.degrees}
        save_arrays(folder / "users.npz", arrays)
        names = {"profiles": self.profiles.names, "degrees": self.degree_names}
        save_json(folder / "names.json", names)

    @classmethod
    def load(cls, folder: Path) -> "Parts":
        """Read what `save` wrote."""
        arrays, names = load_arrays(folder / "users.npz"), load_json(folder / "names.json")
        return cls(
            scores=ScoreTable.load(folder / "score_table.npz"),
            profiles=UserProfiles(arrays["profiles"], tuple(names["profiles"])),
            groups=arrays["groups"],
            degrees=arrays["degrees"],
            degree_names=tuple(names["degrees"]),
        )


def prepare(config: WorldConfig, folder: Path, rows: int) -> Parts:
    """Log the world, fit a MMoE on the log, score every pool; or read what was made before."""
    if (folder / "names.json").exists():
        return Parts.load(folder)
    synthesize(config, folder / "logs")
    dataset = read_kuairand(folder / "logs")
    shutil.rmtree(folder / "logs")
    split = split_by_time(dataset.impressions, SYNTHETIC_PLAN)
    train = standard_rows(split.train, dataset, rows, 0)
    validation = standard_rows(split.validation, dataset, rows // 4, 0)
    past = np.zeros(len(split.train), dtype=np.bool_)
    past[standard_rows(split.train, dataset)] = True
    learnt = np.zeros_like(past)
    learnt[train] = True
    encoder = FeatureEncoder.fit(dataset, past, learnt=learnt)
    fitted = fit_scorer(
        SCORERS["mmoe"](),
        ScorerFitConfig(),
        encoder.layout,
        labelled_rows(encoder, dataset, train),
        labelled_rows(encoder, dataset, validation),
        rng=np.random.default_rng(0),
        past_keys=dataset.impressions.keys[past],
    )
    pools = World(config).retrieve(POOL)
    hours = np.full(len(pools), EVENING, dtype=np.int8)
    tabs = np.full(len(pools), SINGLE_COLUMN, dtype=np.int16)
    scores = score_pools(fitted.scorer, encoder, dataset, pools, hours=hours, tabs=tabs)
    parts = _parts_of(scores, encoder, dataset)
    parts.save(folder)
    return parts


def _parts_of(scores: ScoreTable, encoder: FeatureEncoder, dataset: Dataset) -> Parts:
    degree = dataset.users.category("user_active_degree")
    return Parts(
        scores=scores,
        profiles=profiles_of(encoder, dataset),
        groups=user_groups(dataset.users.ids, seed=0),
        degrees=degree.codes,
        degree_names=degree.values,
    )


@dataclass(frozen=True)
class Lens:
    """How a latent vector becomes a policy: 8 numbers, then 8 per feature for a linear one."""

    mean: FloatArray  # (obs_dim,)
    scale: FloatArray  # (obs_dim,)
    columns: tuple[int, ...]  # of FEATURES in the observation

    @classmethod
    def of(cls, observations: FloatArray, names: tuple[str, ...]) -> "Lens":
        """The lens that standardises what was observed, (requests, obs_dim)."""
        scale = np.maximum(observations.std(axis=0, dtype=np.float64), 1e-6)
        columns = tuple(names.index(feature) for feature in FEATURES)
        return cls(observations.mean(axis=0, dtype=np.float64), scale, columns)

    def policy(self, latent: FloatArray) -> ConstantPolicy | MlpPolicy:
        """The policy whose action is tanh(latent[:8] + W standardised features)."""
        if len(latent) == len(KUAIRAND_TASKS):
            return ConstantPolicy(np.tanh(latent).astype(np.float32))
        weights = np.zeros((len(KUAIRAND_TASKS), len(self.mean)))
        weights[:, self.columns] = latent[len(KUAIRAND_TASKS) :].reshape(len(KUAIRAND_TASKS), -1)
        return MlpPolicy(self.mean, self.scale, Mlp((weights,), (latent[: len(KUAIRAND_TASKS)],)))


@dataclass(frozen=True)
class Found:
    """The outcome of one search: a cell of the benchmark."""

    latent: FloatArray  # the mean of the better half of the last generation
    best: FloatArray  # (trials,), the best value up to each trial
    requests: int
    seconds: float

    @property
    def late_gain(self) -> float:
        """Relative gain of the best value over the last third of the trials."""
        return float(self.best[-1] / self.best[-1 - len(self.best) // 3] - 1.0)


Objective = SessionReward | MyopicReward


def search(
    objective: Objective,
    policy_of: Callable[[FloatArray], Policy],
    optimizer: CMA,
    trials: int,
) -> Found:
    """Maximise the objective over latent vectors with at most `trials` evaluations."""
    start, before = time.perf_counter(), objective.requests
    size = optimizer.population_size
    values: list[float] = []
    latents: list[FloatArray] = []
    while len(values) + size <= trials:
        latents = [optimizer.ask() for _ in range(size)]
        rewards = [objective(policy_of(latent)) for latent in latents]
        optimizer.tell([(latent, -reward) for latent, reward in zip(latents, rewards, strict=True)])
        values += rewards
    better = np.argsort(values[-size:])[-(size // 2) :]
    return Found(
        latent=np.mean([latents[k] for k in better], axis=0),
        best=np.maximum.accumulate(values),
        requests=objective.requests - before,
        seconds=time.perf_counter() - start,
    )


class Searches:
    """Long and myopic searches in sessions of one user model, each kept as a cell.

    Args:
        make_sessions: the sessions in which trials are made, called when the first is.
        trials: of one static search; a linear one has twice as many.
        cells: folder of finished searches.
    """

    def __init__(
        self, make_sessions: Callable[[], RepeatedSessions], trials: int, cells: Path
    ) -> None:
        self._make_sessions = make_sessions
        self.trials = trials
        self.cells = cells

    @cached_property
    def sessions(self) -> RepeatedSessions:
        """Those in which trials are made."""
        return self._make_sessions()

    @cached_property
    def myopic(self) -> MyopicReward:
        """The myopic objective."""
        return MyopicReward(self.sessions, np.random.default_rng(SEARCH_SEED))

    @cached_property
    def lens(self) -> Lens:
        """Long and myopic policies see the same, standardised alike."""
        return Lens.of(self.myopic.observations, self.sessions.layout.names)

    def objective(self, kind: str) -> Objective:
        """The long or the myopic objective."""
        return SessionReward(self.sessions) if kind == LONG else self.myopic

    def cell(self, name: str, make: Callable[[], Found]) -> Found:
        """The finished cell of that name, or a fresh one."""
        path = self.cells / f"{name}.json"
        if path.exists():
            kept = load_json(path)
            return Found(
                latent=np.array(kept["latent"]),
                best=np.array(kept["best"]),
                requests=kept["requests"],
                seconds=kept["seconds"],
            )
        found = make()
        arrays = {"latent": found.latent.tolist(), "best": found.best.tolist()}
        save_json(path, {**arrays, "requests": found.requests, "seconds": found.seconds})
        print(f"{path}: {found.best[-1]:.3f} in {found.seconds:.0f} s", flush=True)
        return found

    def static(self, kind: str, restart: int = 0) -> Found:
        """One CMA-ES restart over static weights; the first starts from equal weights."""

        def make() -> Found:
            rng = np.random.default_rng([SEARCH_SEED, restart])
            mean = rng.normal(size=len(KUAIRAND_TASKS)) * (restart > 0)
            optimizer = CMA(mean, STATIC_SIGMA, seed=restart + 1, population_size=STATIC_POPULATION)
            return search(self.objective(kind), self.lens.policy, optimizer, self.trials)

        return self.cell(f"static-{kind}-{restart}", make)

    def linear(self, kind: str) -> Found:
        """The linear search, with what its first 300 trials leave of the static search's budget."""

        def make() -> Found:
            static = np.clip(self.static(kind).latent, -LINEAR_START, LINEAR_START)
            mean = np.concatenate([static, np.zeros(len(KUAIRAND_TASKS) * len(FEATURES))])
            optimizer = CMA(mean, LINEAR_SIGMA, seed=1, population_size=LINEAR_POPULATION)
            trials = (RESTARTS - 1) * self.trials
            return search(self.objective(kind), self.lens.policy, optimizer, trials)

        return self.cell(f"linear-{kind}", make)


class Study(Searches):
    """One world: its searches and its evaluation."""

    def __init__(self, settings: Settings, seed: int, variant: str) -> None:
        self.settings = settings
        self.variant = variant
        config = replace(settings.world, seed=seed)
        home = settings.work / world_digest(config)
        self.parts = prepare(config, home / "scores", settings.rows)
        self.world = World(config if variant == DEFAULT else config.without_carry_over())
        size = f"{settings.trials}x{settings.sessions}"
        super().__init__(
            lambda: self.parts.repeated(self.world, UserGroup.LEARN, settings.sessions),
            settings.trials,
            home / variant / size,
        )

    def of_degree(self, degree: int, first: FloatArray) -> Found:
        """Static weights for the users of one degree of activity, searched from `first`."""

        def make() -> Found:
            sessions = self.parts.repeated(
                self.world, UserGroup.LEARN, self.settings.sessions, degree=degree
            )
            optimizer = CMA(first, STATIC_SIGMA / 2, seed=1, population_size=STATIC_POPULATION)
            trials = self.trials // 3
            return search(SessionReward(sessions), self.lens.policy, optimizer, trials)

        return self.cell(f"degree-{self.parts.degree_names[degree]}", make)


def world_digest(config: WorldConfig) -> str:
    """A name for a world: its settings and the source that it runs on."""
    digest = hashlib.sha256(repr(config).encode())
    for path in sorted((Path(mtf_rl.__file__).parent / "user_models" / "world").glob("*.py")):
        digest.update(path.read_bytes())
    return f"seed-{config.seed}-{digest.hexdigest()[:8]}"


# The evaluation: every policy in the same sessions of final users.


@dataclass(frozen=True)
class RandomWeights(Policy):
    """Weights drawn uniformly from the box at every request."""

    rng: np.random.Generator

    @override
    def predict(
        self,
        observation: NDArray[np.float32],
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.float32], Any]:
        actions = self.rng.uniform(-1.0, 1.0, size=(len(observation), len(KUAIRAND_TASKS)))
        return actions.astype(np.float32), state


Verdict = dict[str, list[float]]
"""By comparison `A / B`: how much better A is than B in %, and its 95 % limits."""

COMPARISONS = {
    DEFAULT: (
        ("random weights", "uniform"),
        ("best static", "uniform"),
        ("static per activity group", "best static"),
        ("state-dependent", "best static"),
        ("one-step oracle", "best static"),
        ("best static", "myopic static"),
        ("state-dependent", "myopic state-dependent"),
    ),
    NO_CARRY_OVER: (
        ("best static", "myopic static"),
        ("state-dependent", "myopic state-dependent"),
    ),
}


def evaluate(study: Study) -> dict[str, Any]:
    """Mean rewards and comparisons of all policies of a study, searching what is not there yet."""
    path = study.cells / f"evaluated-{study.settings.evaluated}.json"
    if path.exists():
        return dict(load_json(path))
    played = play(study)
    verdict = {
        f"{better} / {worse}": relative(played[better], played[worse])
        for better, worse in COMPARISONS[study.variant]
    }
    rewards = {
        name: [*limits(mean_interval(s.reward, s.users)), float(s.depth.mean())]
        for name, s in played.items()
    }
    evaluation = {"comparisons": verdict, "rewards": rewards, "searches": searches_of(study)}
    save_json(path, evaluation)
    return evaluation


def play(study: Study) -> dict[str, Sessions]:
    """The final sessions of every policy that the study's comparisons name."""
    final = study.parts.dynamics(study.world, UserGroup.FINAL)
    best = best_restart(study)
    lens = study.lens
    policies: dict[str, Policy] = {
        "best static": lens.policy(best),
        "myopic static": lens.policy(study.static(MYOPIC).latent),
        "state-dependent": lens.policy(study.linear(LONG).latent),
        "myopic state-dependent": lens.policy(study.linear(MYOPIC).latent),
    }
    if study.variant == DEFAULT:
        policies["uniform"] = ConstantPolicy(final.action_map.to_action(KUAIRAND_TASKS.signs))
        policies["random weights"] = RandomWeights(np.random.default_rng(FINAL_SEED))
    episodes = np.arange(study.settings.evaluated)
    played = {
        name: roll_out(final, policy, seed=FINAL_SEED, episodes=episodes)
        for name, policy in policies.items()
    }
    if study.variant == DEFAULT:
        oracle = study.parts.oracle(study.world, UserGroup.FINAL)
        played["one-step oracle"] = roll_out(
            oracle, policies["uniform"], seed=FINAL_SEED, episodes=episodes
        )
        played["static per activity group"] = play_degrees(study, best, played["best static"])
    return played


def best_restart(study: Study) -> FloatArray:
    """The latent static weights of the restart that does best on tuning users."""
    tuning = study.parts.dynamics(study.world, UserGroup.TUNE)
    restarts = RESTARTS if study.variant == DEFAULT else 1
    latents = [study.static(LONG, restart).latent for restart in range(restarts)]
    episodes = np.arange(TUNING_SESSIONS)
    rewards = [
        roll_out(tuning, study.lens.policy(x), seed=TUNING_SEED, episodes=episodes).reward.mean()
        for x in latents
    ]
    return latents[int(np.argmax(rewards))]


def play_degrees(study: Study, best: FloatArray, static: Sessions) -> Sessions:
    """The sessions in which each user is served with the weights of the user's degree."""
    final = study.parts.dynamics(study.world, UserGroup.FINAL)
    learning = study.parts.groups == UserGroup.LEARN
    reward = static.reward.copy()
    for degree in range(len(study.parts.degree_names)):
        if np.sum(learning & (study.parts.degrees == degree)) < SMALLEST_GROUP:
            continue
        policy = study.lens.policy(study.of_degree(degree, best).latent)
        episodes = static.episodes[study.parts.degrees[static.users] == degree]
        rows = np.searchsorted(static.episodes, episodes)
        reward[rows] = roll_out(final, policy, seed=FINAL_SEED, episodes=episodes).reward
    return replace(static, reward=reward)


def relative(sessions: Sessions, reference: Sessions) -> list[float]:
    """Paired difference in % of the reference's mean, with limits clustered by user."""
    scale = 100.0 / float(reference.reward.mean())
    return [scale * value for value in limits(paired_difference(sessions, reference))]


def limits(interval: Interval) -> tuple[float, float, float]:
    """Mean, low, high."""
    return interval.mean, interval.low, interval.high


def searches_of(study: Searches) -> dict[str, dict[str, Any]]:
    """Cost and convergence of each search, and its weights at an average observation."""
    names = sorted(path.stem for path in study.cells.glob("*-*.json") if "judged" not in path.stem)
    searches = {}
    for name in names:
        found = study.cell(name, _never)
        weights = (np.tanh(found.latent[: len(KUAIRAND_TASKS)]) * KUAIRAND_TASKS.signs + 1.0) / 2.0
        searches[name] = {
            "trials": len(found.best),
            "requests": found.requests,
            "seconds": found.seconds,
            "late_gain": found.late_gain,
            "weights": (weights / weights.max()).tolist(),
        }
    return searches


def _never() -> Found:
    raise AssertionError("a listed cell has a file")


# The page.


@dataclass(frozen=True)
class Requirement:
    """Bounds of a comparison, in %, on the mean and on the interval."""

    text: str
    mean: float = -np.inf
    low: float = -np.inf
    high: float = np.inf

    def met(self, mean: float, low: float, high: float) -> bool:
        """Whether a difference and its limits are within the bounds."""
        return mean >= self.mean and low > self.low and high < self.high


REQUIRED = {
    (DEFAULT, "best static / uniform"): Requirement(">= 10 %", mean=10.0),
    (DEFAULT, "state-dependent / best static"): Requirement(
        ">= 5 %, interval above 0", mean=5.0, low=0.0
    ),
    (DEFAULT, "best static / myopic static"): Requirement(">= 2 %", mean=2.0),
    (DEFAULT, "state-dependent / myopic state-dependent"): Requirement(">= 2 %", mean=2.0),
    (NO_CARRY_OVER, "best static / myopic static"): Requirement(
        "interval within ±0.5 %", low=-0.5, high=0.5
    ),
    (NO_CARRY_OVER, "state-dependent / myopic state-dependent"): Requirement(
        "interval within ±0.5 %", low=-0.5, high=0.5
    ),
}


def comparison_table(evaluations: Mapping[tuple[int, str], Mapping[str, Any]]) -> str:
    """One line per world variant and comparison, one column per seed."""
    seeds = sorted({seed for seed, _ in evaluations})
    heads = [f"seed {seed}" for seed in seeds]
    lines = [
        f"| world | comparison | required | {' | '.join(heads)} | met |",
        "| --- " * (4 + len(seeds)) + "|",
    ]
    for variant in dict.fromkeys(variant for _, variant in evaluations):
        for better, worse in COMPARISONS[variant]:
            name = f"{better} / {worse}"
            required = REQUIRED.get((variant, name))
            found = [evaluations[seed, variant]["comparisons"][name] for seed in seeds]
            cells = " | ".join(f"{m:+.2f} % [{low:+.2f}, {high:+.2f}]" for m, low, high in found)
            text, met = "", ""
            if required is not None:
                text = required.text
                met = f"{sum(required.met(*difference) for difference in found)} of {len(found)}"
            lines.append(f"| {variant} | {name} | {text} | {cells} | {met} |")
    return "\n".join(lines)


def reward_table(evaluations: Mapping[tuple[int, str], Mapping[str, Any]]) -> str:
    """Mean session reward and requests per session of every policy."""
    lines = [
        "| world | seed | policy | session reward | requests per session |",
        "| --- | --- | --- | --- | --- |",
    ]
    for (seed, variant), evaluation in evaluations.items():
        for name, (mean, low, high, depth) in evaluation["rewards"].items():
            margin = f"{mean:.2f} [{low:.2f}, {high:.2f}]"
            lines.append(f"| {variant} | {seed} | {name} | {margin} | {depth:.2f} |")
    return "\n".join(lines)


def search_table(evaluations: Mapping[tuple[int, str], Mapping[str, Any]]) -> str:
    """Every search: cost, gain of its last third, weights over the largest one."""
    tasks = " | ".join(KUAIRAND_TASKS.names)
    lines = [
        f"| world | seed | search | trials | requests | s | last third | {tasks} |",
        "| --- " * (7 + len(KUAIRAND_TASKS)) + "|",
    ]
    for (seed, variant), evaluation in evaluations.items():
        for name, found in evaluation["searches"].items():
            weights = " | ".join(f"{weight:.2f}" for weight in found["weights"])
            lines.append(
                f"| {variant} | {seed} | {name} | {found['trials']} | {found['requests']}"
                f" | {found['seconds']:.0f} | {100 * found['late_gain']:+.2f} % | {weights} |"
            )
    return "\n".join(lines)


def page(settings: Settings, evaluations: Mapping[tuple[int, str], Mapping[str, Any]]) -> str:
    """All tables of the results page."""
    seeds = " ".join(str(seed) for seed in settings.seeds)
    digests = ", ".join(world_digest(replace(settings.world, seed=seed)) for seed in settings.seeds)
    size = f" \\\n        --trials {settings.trials} --sessions {settings.sessions}"
    size += f" --evaluated {settings.evaluated}"
    return f"""# Headroom of the synthetic world

You can see here what tuned, state-dependent and long-term weights can gain in the synthetic world.

    OMP_NUM_THREADS=1 python -m benchmarks.world_headroom --seeds {seeds}{size}

mtf_rl {mtf_rl.__version__}, Python {platform.python_version()}, numpy {np.__version__}, torch \
{torch.__version__}, cmaes {version("cmaes")}. Worlds (settings and source): {digests}.
{settings.world}

Evaluator: the ground truth, {settings.evaluated} sessions of final users; searches: \
{settings.sessions} sessions of learning users on common random numbers. Differences are paired, \
in % of the second policy's mean, with 95 % intervals clustered by user. Scores: MMoE on at most \
{settings.rows} logged rows; pool {POOL}, {SessionConfig().candidates} candidates, slate \
{SessionConfig().slate}, tab {SINGLE_COLUMN}, {SessionConfig().fusion.formula}, reward \
{SessionConfig().reward}. Features of state-dependent policies: {", ".join(FEATURES)}.

{comparison_table(evaluations)}

{reward_table(evaluations)}

`last third`: gain of the best value found over the last third of the trials. Weights are at the \
average observation, over the largest one.

{search_table(evaluations)}
"""


def study_one(settings: Settings, seed: int, variant: str) -> dict[str, Any]:
    """One world's evaluation, in a process of its own."""
    torch.set_num_threads(1)
    return evaluate(Study(settings, seed, variant))


def main(settings: Settings) -> None:
    """Prepare, search, evaluate, print and write."""
    settings = settings.effective()
    worlds = [(seed, variant) for seed in settings.seeds for variant in settings.only]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(settings.processes, mp_context=context) as pool:
        # Scores first: both variants of a seed share them.
        configs = [replace(settings.world, seed=seed) for seed in settings.seeds]
        folders = [settings.work / world_digest(config) / "scores" for config in configs]
        list(pool.map(prepare, configs, folders, [settings.rows] * len(configs)))
        results = pool.map(study_one, *zip(*((settings, *world) for world in worlds), strict=True))
        evaluations = dict(zip(worlds, results, strict=True))
    text = page(settings, evaluations)
    print(text)
    write_page(settings.out, text)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
