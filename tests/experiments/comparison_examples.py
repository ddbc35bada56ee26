"""Made-up results of a comparison, with two judges and a policy that exploits the simulator."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mtf_rl.core.protocols import SIMULATOR, SYNTHETIC_TRUTH
from mtf_rl.core.tasks import FEEDBACKS
from mtf_rl.experiments.comparison import (
    CONTESTANTS,
    Comparison,
    ComparisonConfig,
    Judged,
    Result,
    Results,
)
from mtf_rl.experiments.comparison.contestants import STATIC

SHARES = (0.125, 0.25, 0.5)
LEARNERS, SEARCH, EXPLOITER = ("td3", "sac"), "cma_es", "a2c"
NAMES = tuple(name for name in CONTESTANTS if not name.endswith(("_groups", "_schedule")))[:20]
PARAMETERS = ("click", "like", "watch")


def made_up_comparison(
    folder: Path,
    *,
    seeds: int = 3,
    judges: Sequence[str] = (SIMULATOR, SYNTHETIC_TRUTH),
    noise: float = 0.4,
) -> Comparison:
    """Twenty contestants; headlines with ten seeds; nothing is on the disk."""
    config = ComparisonConfig(
        run=folder, seeds=seeds, contestants=NAMES, shares=SHARES, out=folder / "comparison"
    )
    results: list[Result] = []
    for place, name in enumerate(NAMES):
        headline = name in (*LEARNERS, SEARCH, "uniform")
        for seed in range(config.headline_seeds if headline else seeds):
            results.append(_result(place, name, "session", seed, 1.0, judges, noise))
        if CONTESTANTS[name].kind != STATIC and CONTESTANTS[name].twin_of is None:
            results += [
                _result(place, name, "session", seed, share, judges, noise)
                for seed in range(seeds)
                for share in SHARES
            ]
        if name in (LEARNERS[0], SEARCH):
            results += [
                _result(place, name, track, seed, 1.0, judges, noise)
                for seed in range(seeds)
                for track in ("watch_time", "interaction")
            ]
    return Comparison(config, Results(tuple(results)), LEARNERS, SEARCH, SEARCH)


def _result(
    place: int, name: str, track: str, seed: int, share: float, judges: Sequence[str], noise: float
) -> Result:
    luck = np.random.default_rng([place, seed, int(1000 * share), len(track)])
    worth = 0.0 if name == "uniform" else -4.0 if name == "hand_set" else 2.0 + 0.2 * place
    worth *= share**0.3 if worth > 0.0 else 1.0
    judged = {}
    for judge in judges:
        own = worth
        if name == EXPLOITER:
            own = 9.0 if judge == SIMULATOR else -3.0
        base = 31.0 if judge == SIMULATOR else 58.0
        judged[judge] = Judged(
            reward=base + own + 0.15 * np.sin(seed) + luck.normal(0.0, noise),
            depth=14.0 + luck.normal(0.0, 0.2),
            watch_minutes=50.0 * {"watch_time": 1.2, "interaction": 0.8}.get(track, 1.0),
            visits=1.0,
            return_days=0.0,
            visits_a_week=0.0,
            rates={
                task.name: 0.02 * (1.3 if track == "interaction" else 1.0) for task in FEEDBACKS
            },
            weights=dict.fromkeys(PARAMETERS, 0.3),
            weights_spread=dict.fromkeys(PARAMETERS, 0.1),
        )
    return Result(
        contestant=name,
        track=track,
        seed=seed,
        share=share,
        requests_used=int(share * 100_000),
        seconds=12.0,
        tuning_reward=30.0 + worth,
        judged=judged,
    )
