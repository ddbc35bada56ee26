"""Synthetic results of a comparison, with a policy that exploits the simulator."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mtf_rl.core.protocols import GROUND_TRUTH, SIMULATOR
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.experiments.comparison import (
    CONTESTANTS,
    Comparison,
    ComparisonConfig,
    EvaluatedPolicy,
    Result,
    Results,
)
from mtf_rl.experiments.comparison.contestants import STATIC

FRACTIONS = (0.125, 0.25, 0.5)
LEARNERS, SEARCH, EXPLOITER = ("td3", "sac"), "cma_es", "a2c"
NAMES = tuple(
    name for name in CONTESTANTS if not name.endswith(("_groups", "_schedule", "production"))
)[:20]
PARAMETERS = ("click", "like", "watch")


def made_up_comparison(
    folder: Path,
    *,
    seeds: int = 3,
    evaluators: Sequence[str] = (SIMULATOR, GROUND_TRUTH),
    noise: float = 0.4,
) -> Comparison:
    """A comparison of twenty contestants, the headline ones with ten seeds, without files."""
    config = ComparisonConfig(
        run=folder, seeds=seeds, contestants=NAMES, fractions=FRACTIONS, out=folder / "comparison"
    )
    results: list[Result] = []
    for position, name in enumerate(NAMES):
        headline = name in (*LEARNERS, SEARCH, "uniform")
        for seed in range(config.headline_seeds if headline else seeds):
            results.append(_result(position, name, "session", seed, 1.0, evaluators, noise))
        if CONTESTANTS[name].kind != STATIC and CONTESTANTS[name].myopic_baseline_of is None:
            results += [
                _result(position, name, "session", seed, fraction, evaluators, noise)
                for seed in range(seeds)
                for fraction in FRACTIONS
            ]
        if name in (LEARNERS[0], SEARCH):
            results += [
                _result(position, name, track, seed, 1.0, evaluators, noise)
                for seed in range(seeds)
                for track in ("watch_time", "interaction")
            ]
    return Comparison(config, Results(tuple(results)), LEARNERS, SEARCH, SEARCH)


def _result(
    position: int,
    name: str,
    track: str,
    seed: int,
    fraction: float,
    evaluators: Sequence[str],
    noise: float,
) -> Result:
    rng = np.random.default_rng([position, seed, int(1000 * fraction), len(track)])
    worth = (
        0.0 if name == "uniform" else -4.0 if name == "reward_weighted" else 2.0 + 0.2 * position
    )
    worth *= fraction**0.3 if worth > 0.0 else 1.0
    evaluated = {}
    for evaluator in evaluators:
        own = worth
        if name == EXPLOITER:
            own = 9.0 if evaluator == SIMULATOR else -3.0
        base = 31.0 if evaluator == SIMULATOR else 58.0
        evaluated[evaluator] = EvaluatedPolicy(
            reward=base + own + 0.15 * np.sin(seed) + rng.normal(0.0, noise),
            depth=14.0 + rng.normal(0.0, 0.2),
            watch_minutes=50.0 * {"watch_time": 1.2, "interaction": 0.8}.get(track, 1.0),
            visits=1.0,
            return_days=0.0,
            visits_a_week=0.0,
            rates={
                task.name: 0.02 * (1.3 if track == "interaction" else 1.0)
                for task in KUAIRAND_TASKS.feedbacks
            },
            weights=dict.fromkeys(PARAMETERS, 0.3),
            weights_spread=dict.fromkeys(PARAMETERS, 0.1),
        )
    return Result(
        contestant=name,
        track=track,
        seed=seed,
        fraction=fraction,
        requests_used=int(fraction * 100_000),
        seconds=12.0,
        tuning_reward=30.0 + worth,
        evaluated=evaluated,
    )
