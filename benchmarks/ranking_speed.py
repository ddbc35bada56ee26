"""How long `rank` takes for one request of 100 candidates, beside two other ways.

python benchmarks/ranking_speed.py

Measured in one process, in turns: `rank` (table in, table out), `FusionPolicy.rank_arrays` (arrays
in, arrays out), the same arithmetic as plain numpy without any check, and the way that `rank` went
before: pandas, column by column. Ratios are comparable between machines, milliseconds are not.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import numpy as np
import pandas as pd

from mtf_rl.agents import FusionPolicy, FusionSetting, Mlp, MlpPolicy, rank
from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.envs.observation import session_names
from mtf_rl.envs.summaries import STATISTICS

CANDIDATES = 100
WARMUP = 20
TASKS = KUAIRAND_TASKS.names
PROFILE = ("log_follow_user_num", "user_log_exposures", "user_like_rate", "user_watch_rate")


def policy_of(widths: tuple[int, ...], *, features: int | None) -> FusionPolicy:
    """A policy of all observed numbers, or of the first few alone, as lspi makes them."""
    generator = np.random.default_rng(0)
    names = (
        *session_names(),
        *(f"profile/{name}" for name in PROFILE),
        *(f"candidates/{part}/{task}" for part in STATISTICS for task in TASKS),
    )
    sizes = (len(names), *widths, len(TASKS))
    weights = [
        generator.normal(size=(outputs, inputs)) / np.sqrt(inputs)
        for inputs, outputs in pairwise(sizes)
    ]
    if features is not None:
        weights[0][:, features:] = 0.0
    biases = [np.zeros(outputs) for outputs in sizes[1:]]
    network = Mlp(tuple(weights), tuple(biases))
    setting = FusionSetting(names, tuple(np.full(len(TASKS), 0.1)))
    return FusionPolicy(MlpPolicy(np.zeros(len(names)), np.ones(len(names)), network), setting)


def plain_numpy(policy: FusionPolicy) -> Callable[[FloatArray, FloatArray], IntArray]:
    """log_sum with weights of a network of few features: nothing is checked, sums run anyhow."""
    served = policy.served
    assert isinstance(served, MlpPolicy)
    first, bias = served.network.weights[0].T, served.network.biases[0]
    signs = policy.setting.fusion.task_set.signs
    rates = np.array(policy.setting.base_rates, dtype=np.float32)

    def order(predictions: FloatArray, context: FloatArray) -> IntArray:
        action = np.tanh((context - served.mean) / served.scale @ first + bias)
        weights = (action * signs + 1.0) * 0.5 * signs
        return np.argsort(-(np.log(predictions + rates) @ weights), kind="stable")

    return order


def column_by_column(frame: pd.DataFrame, policy: FusionPolicy) -> pd.DataFrame:
    """`rank` as it was: columns are read and written one at a time through pandas."""
    predictions = np.empty((len(frame), len(policy.tasks)), dtype=np.float32)
    for column, name in enumerate(policy.tasks):
        assert pd.api.types.is_numeric_dtype(frame[name])
        predictions[:, column] = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
    context = {}
    for name in policy.setting.observation:
        if not name.startswith("candidates/"):
            assert pd.api.types.is_numeric_dtype(frame[name])
            values = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
            assert (values == values[0]).all()
            context[name] = float(values[0])
    ranking = policy.rank_arrays(predictions, context)
    values = {f"weight/{n}": v for n, v in zip(policy.tasks, ranking.parameters, strict=True)}
    columns = {"score": ranking.scores[ranking.order], "rank": np.arange(len(frame)) + 1, **values}
    return frame.iloc[ranking.order].assign(**columns)


def timings(ways: dict[str, Callable[[], object]], repeats: int) -> dict[str, FloatArray]:
    """Milliseconds of each call, (repeats,), the ways in turns."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats + WARMUP):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if repeat >= WARMUP:
                taken[name].append(1e3 * (time.perf_counter() - start))
    return {name: np.array(values) for name, values in taken.items()}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=500, help="calls of each way")
    repeats = parser.parse_args().repeats
    generator = np.random.default_rng(1)
    predictions = generator.uniform(size=(CANDIDATES, len(TASKS)))
    kinds = {
        "3 features (lspi)": policy_of((), features=3),
        "network of 2 x 256": policy_of((256, 256), features=None),
    }
    print(f"{'policy':20} {'way':24} {'p50 ms':>8} {'p95 ms':>8} {'times rank':>11}")
    for kind, policy in kinds.items():
        context = generator.normal(size=len(policy.context))
        given = dict(zip(policy.context, context, strict=True))
        everything = dict.fromkeys(
            name for name in policy.setting.observation if not name.startswith("candidates/")
        )
        frame = pd.DataFrame(predictions, columns=list(policy.tasks)).assign(**given)
        wide = frame.assign(**{name: given.get(name, 0.0) for name in everything})
        ways: dict[str, Callable[[], object]] = {
            "rank": partial(rank, frame, policy),
            "rank_arrays": partial(policy.rank_arrays, predictions, context),
            "pandas column by column": partial(column_by_column, wide, policy),
        }
        if kind == "3 features (lspi)":
            ways["plain numpy, unchecked"] = partial(plain_numpy(policy), predictions, context)
        found = timings(ways, repeats)
        middle = float(np.median(found["rank"]))
        for name, taken in found.items():
            p50, p95 = np.quantile(taken, [0.5, 0.95])
            print(f"{kind:20} {name:24} {p50:8.3f} {p95:8.3f} {p50 / middle:11.2f}")


if __name__ == "__main__":
    main()
