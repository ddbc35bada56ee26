"""Speed of simulated sessions: requests per second by size of the batch, and time by stage.

    python -m mtf_rl.train --run-dir runs/lspi-0
    OMP_NUM_THREADS=1 python -m benchmarks.simulator_speed runs/lspi-0

One process, one thread. All of a run's settings apply: 100 candidates, 8 tasks, slate 6,
observation with session features, infos and automatic resets included.

- *loop*: the same dynamics, one user after the other, each user's request in numpy, like simulators
  without a batch. Its episodes are those of the batch, bit for bit (checked before timing).
- *stage*: the functions of one step of 1024 sessions, timed one by one on the same state.
- *numpy*: the same results by array operations, without compiled loops (checked before timing).
- *bandwidth limit*: requests whose candidates' predictions could be copied in a second, at the rate
  at which this machine copies an array much larger than its caches.
"""

import platform
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
import tyro

import mtf_rl
from benchmarks.pages import write_page
from mtf_rl.agents import SessionVecEnv
from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.history import advance_history
from mtf_rl.core.protocols import GROUND_TRUTH, SIMULATOR
from mtf_rl.core.randomness import EpisodeRng, Purpose
from mtf_rl.data import UserGroup
from mtf_rl.envs import FusionSessionVectorEnv, RewardInputs, SessionDynamics, SessionState
from mtf_rl.envs.candidates import rows_of
from mtf_rl.envs.summaries import UPPER_QUANTILE
from mtf_rl.experiments.assembly import Assembly
from mtf_rl.experiments.command_line import settings_of_run
from mtf_rl.experiments.run_folder import open_run_folder
from mtf_rl.fusion import best_candidates

SIZES = (1, 4, 16, 64, 256, 1024, 4096)
EVALUATORS = (SIMULATOR, GROUND_TRUTH)
STAGED = 1024
COMPARED_EPISODES, COMPARED_REQUESTS = 16, 3


@dataclass(frozen=True)
class Settings:
    """Which run, and for how long to measure."""

    run: tyro.conf.Positional[Path]
    """Folder of a run on a synthetic world."""
    seconds: float = 2.0
    """Time of one measurement; the best of three is reported."""
    out: Path = Path("benchmarks/simulator_speed.md")
    """The page to write."""


def per_second(call: Callable[[], object], amount: int, seconds: float) -> float:
    """How many of what `call` does `amount` of, a second: the best of three measurements."""
    call()
    best = 0.0
    for _ in range(3):
        calls, start = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - start) < seconds / 3:
            call()
            calls += 1
        best = max(best, calls * amount / elapsed)
    return best


def actions_of(dynamics: SessionDynamics, num_envs: int) -> FloatArray:
    """Some fixed actions, (num_envs, action_dim)."""
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, (num_envs, dynamics.action_dim)).astype(np.float32)


def stepper(dynamics: SessionDynamics, num_envs: int) -> Callable[[], object]:
    """One step of the batched environment."""
    env = FusionSessionVectorEnv(dynamics, num_envs)
    env.reset(seed=0)
    actions = actions_of(dynamics, num_envs)
    return lambda: env.step(actions)


def sb3_stepper(dynamics: SessionDynamics, num_envs: int) -> Callable[[], object]:
    """One step of the same environment through Stable-Baselines3's wrapper."""
    env = SessionVecEnv(FusionSessionVectorEnv(dynamics, num_envs))
    env.seed(0)
    env.reset()
    actions = actions_of(dynamics, num_envs)
    return lambda: env.step(actions)


class UserLoop:
    """Sessions one after the other, each user's request by itself."""

    def __init__(self, dynamics: SessionDynamics, num_envs: int) -> None:
        self.dynamics = dynamics
        self.parameters = dynamics.action_map.to_parameters(actions_of(dynamics, num_envs))
        self.states = [dynamics.start(0, np.array([number])) for number in range(num_envs)]
        self.following = num_envs

    def step(self) -> list[tuple[FloatArray, float]]:
        """Observation and reward of every user's next request."""
        outcomes = []
        for env, state in enumerate(self.states):
            after, outcome = self.dynamics.advance(state, self.parameters[env : env + 1], 0)
            if outcome.terminated[0] or outcome.truncated[0]:
                after = self.dynamics.start(0, np.array([self.following]))
                self.following += 1
            self.states[env] = after
            outcomes.append((self.dynamics.observe(after)[0], float(outcome.reward[0])))
        return outcomes


def check_loop(dynamics: SessionDynamics) -> None:
    """The loop serves what the batch serves."""
    loop = UserLoop(dynamics, COMPARED_EPISODES)
    env = FusionSessionVectorEnv(dynamics, COMPARED_EPISODES)
    env.reset(seed=0)
    for _ in range(COMPARED_REQUESTS):
        observations, rewards, *_ = env.step(actions_of(dynamics, COMPARED_EPISODES))
        for row, (observation, reward) in enumerate(loop.step()):
            assert reward == float(rewards[row])
            np.testing.assert_allclose(observation, observations[row], rtol=1e-6, atol=1e-6)


def numpy_draw(episode_rng: EpisodeRng, pool: int, candidates: int) -> IntArray:
    """`draw_candidates` by array operations."""
    ranks = episode_rng.bits(Purpose.CANDIDATES, pool)
    drawn = np.argpartition(ranks, candidates, axis=1)
    return np.sort(drawn[:, :candidates], axis=1)


def numpy_statistics(logits: FloatArray, users: IntArray, candidates: IntArray) -> FloatArray:
    """`PoolPredictions.statistics` by array operations."""
    chosen = np.ascontiguousarray(np.moveaxis(logits[users[:, None], candidates], 2, 1))
    mean = chosen.mean(axis=2, dtype=np.float64)
    spread = np.sqrt(np.maximum((chosen.astype(np.float64) ** 2).mean(axis=2) - mean**2, 0.0))
    position = int(UPPER_QUANTILE * (chosen.shape[2] - 1))
    upper = np.partition(chosen, position, axis=2)[:, :, position]
    return np.concatenate([mean, spread, upper], axis=1).astype(np.float32)


def numpy_best(fused: FloatArray, slate: int) -> IntArray:
    """`best_candidates` by array operations, except for ties."""
    rows = np.arange(len(fused))[:, None]
    chosen = np.sort(np.argpartition(-fused, slate - 1, axis=1)[:, :slate], axis=1)
    order = np.argsort(-fused[rows, chosen], axis=1, kind="stable")
    return chosen[rows, order]


@dataclass(frozen=True)
class Stage:
    """A part of a step, and the same by array operations where it is compiled."""

    name: str
    run: Callable[[], Any]
    in_numpy: Callable[[], Any] | None = None


def stages_of(dynamics: SessionDynamics, state: SessionState) -> list[Stage]:
    """The parts of one step from `state`."""
    users, candidates = state.users, state.candidates
    config, pool = dynamics.config, dynamics.scores.videos.shape[1]
    episode_rng = EpisodeRng(0, state.episodes, state.served)
    parameters = dynamics.action_map.to_parameters(actions_of(dynamics, len(users)))
    prepared = dynamics._prepared
    rows = rows_of(prepared, users, candidates)
    fused = dynamics.fused(state, parameters)
    slate = dynamics.rank(state, parameters)
    model = dynamics.user_model
    response, hidden = model.respond(state.hidden, slate, state.history, episode_rng)
    history = advance_history(state.history, slate, response, dynamics.catalogue)
    predictions = dynamics._predictions
    inputs = RewardInputs(response, slate, state.history, dynamics.catalogue)
    return [
        Stage(
            "candidates drawn",
            lambda: dynamics.draw_candidates(episode_rng),
            lambda: numpy_draw(episode_rng, pool, config.candidates),
        ),
        Stage(
            "their statistics",
            lambda: predictions.statistics(users, candidates),
            lambda: numpy_statistics(predictions.logits, users, candidates),
        ),
        Stage("observation, the rest", lambda: dynamics.observe(state)),
        Stage(
            "predictions gathered",
            lambda: rows_of(prepared, users, candidates),
            lambda: prepared[users[:, None], candidates],
        ),
        Stage(
            "fused",
            lambda: dynamics.formula.fuse(rows, parameters),
            lambda: np.einsum("nct,nt->nc", rows, parameters),
        ),
        Stage(
            "slate chosen",
            lambda: best_candidates(fused, config.slate),
            lambda: numpy_best(fused, config.slate),
        ),
        Stage("answers", lambda: model.respond(state.hidden, slate, state.history, episode_rng)),
        Stage(
            "history",
            lambda: advance_history(state.history, slate, response, dynamics.catalogue),
        ),
        Stage("leaving", lambda: model.leave(hidden, history, episode_rng)),
        Stage("pause", lambda: model.pause_seconds(hidden, history, episode_rng)),
        Stage("reward", lambda: dynamics.reward(inputs)),
    ]


def check_stages(stages: list[Stage]) -> None:
    """Compiled loops and array operations give the same."""
    for stage in stages:
        if stage.in_numpy is not None:
            np.testing.assert_allclose(stage.run(), stage.in_numpy(), rtol=2e-5, atol=2e-5)


def size_table(dynamics: dict[str, SessionDynamics], seconds: float) -> str:
    """Requests per second by number of environments, beside the loop."""
    lines = [
        "| environments | "
        + " | ".join(f"{evaluator}, requests/s" for evaluator in dynamics)
        + " | peak memory, MB |",
        "| ---: | " + "---: | " * (len(dynamics) + 1),
    ]
    for size in SIZES:
        rates = [per_second(stepper(entry, size), size, seconds) for entry in dynamics.values()]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        cells = " | ".join(f"{rate:,.0f}" for rate in rates)
        lines.append(f"| {size} | {cells} | {peak:,.0f} |")
        print(lines[-1], flush=True)
    return "\n".join(lines)


def ratio_table(dynamics: dict[str, SessionDynamics], seconds: float) -> str:
    """The batch of 1024 over the loop, and SB3's wrapper over ours, in one run."""
    lines = [
        "| evaluator | batch of 1024, requests/s | loop over users | ratio (bar 50) |"
        " 256 environments | through SB3's wrapper | overhead (bar 30 %) |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for evaluator, entry in dynamics.items():
        check_loop(entry)
        loop = UserLoop(entry, 64)
        alone = per_second(loop.step, 64, seconds)
        batch = per_second(stepper(entry, 1024), 1024, seconds)
        steppers = stepper(entry, 256), sb3_stepper(entry, 256)
        # By turns, so that a slower moment of the machine meets both.
        turns = [[per_second(step, 256, seconds / 2) for step in steppers] for _ in range(3)]
        plain, sb3 = np.max(turns, axis=0)
        lines.append(
            f"| {evaluator} | {batch:,.0f} | {alone:,.0f} | {batch / alone:.0f} | {plain:,.0f} |"
            f" {sb3:,.0f} | {100.0 * (plain / sb3 - 1.0):.0f} % |"
        )
        print(lines[-1], flush=True)
    return "\n".join(lines)


def stage_table(dynamics: SessionDynamics, seconds: float) -> str:
    """Microseconds per request of each stage, and the gain by compilation."""
    state = dynamics.start(0, np.arange(STAGED))
    stages = stages_of(dynamics, state)
    check_stages(stages)
    taken: dict[str, float] = {}
    lines = [
        "| stage | µs per request | in numpy | gain |",
        "| --- | ---: | ---: | ---: |",
    ]
    for stage in stages:
        taken[stage.name] = 1e6 / per_second(stage.run, STAGED, seconds / 2)
        micro = taken[stage.name]
        if stage.name == "observation, the rest":
            micro -= taken["their statistics"]
        if stage.in_numpy is None:
            lines.append(f"| {stage.name} | {micro:.2f} | | |")
        else:
            plain = 1e6 / per_second(stage.in_numpy, STAGED, seconds / 2)
            lines.append(f"| {stage.name} | {micro:.2f} | {plain:.2f} | {plain / micro:.1f}x |")
    total = 1e6 / per_second(stepper(dynamics, STAGED), STAGED, seconds)
    rest = total - sum(taken.values()) + taken["their statistics"]
    lines.append(f"| infos, resets, the rest | {rest:.2f} | | |")
    lines.append(f"| **one step** | **{total:.2f}** | | |")
    return "\n".join(lines)


def bandwidth_sentence(dynamics: SessionDynamics, rate: float) -> str:
    """How far the predictions' bytes alone would let a machine go."""
    source = np.ones(1 << 25)  # 256 MB, more than any cache
    target = np.empty_like(source)
    copied = per_second(lambda: np.copyto(target, source), source.nbytes, 2.0)
    tasks = len(dynamics.formula.tasks.names)
    bytes_needed = 2 * dynamics.config.candidates * tasks * 4
    limit = copied / bytes_needed
    return (
        f"A request's candidates have {bytes_needed:,} bytes of predictions (prepared, and on the"
        f" logit scale). This machine copies {copied / 1e9:.1f} GB/s with one thread: at most"
        f" {limit:,.0f} requests/s, and the batch of {STAGED} reaches"
        f" {100.0 * rate / limit:.1f} % of it."
    )


def main(settings: Settings) -> None:
    """Check, measure, print and write."""
    folder = open_run_folder(settings.run)
    assembly = Assembly.load(folder.data, folder.simulator)
    session = settings_of_run(folder).run.session
    dynamics = {
        evaluator: assembly.dynamics(session, UserGroup.LEARN, evaluator)
        for evaluator in EVALUATORS
        if evaluator in assembly.evaluators
    }
    simulator = dynamics[SIMULATOR]
    sizes = size_table(dynamics, settings.seconds)
    ratios = ratio_table(dynamics, settings.seconds)
    stages = stage_table(simulator, settings.seconds)
    rate = per_second(stepper(simulator, STAGED), STAGED, settings.seconds)
    page = f"""# Speed of simulated sessions

You can see here how many requests a second the simulator serves, by number of environments.

    python -m mtf_rl.train --run-dir {settings.run}
    OMP_NUM_THREADS=1 python -m benchmarks.simulator_speed {settings.run}

mtf_rl {mtf_rl.__version__}, Python {platform.python_version()}, numpy {np.__version__}, numba \
{numba.__version__}, {platform.processor() or platform.machine()}; one process, one thread. \
The script gives the definitions.

{sizes}

{ratios}

{stages}

{bandwidth_sentence(simulator, rate)}
"""
    print(page)
    write_page(settings.out, page)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
