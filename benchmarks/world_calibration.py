"""How close the synthetic world's logs are to KuaiRand's public figures.

    python -m benchmarks.world_calibration [--seeds 0 1 2 3 4] [--untuned 100 101 102 103 104]

Simulates the default world for every seed, and 31 days of 500 users for the figures of return of
the seeds in --long. Writes benchmarks/world_calibration.md.
"""

import platform
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import scipy
import tyro

import mtf_rl
from benchmarks.pages import wrapped
from mtf_rl.user_models import WorldConfig
from mtf_rl.user_models.world.calibration import CalibrationRow
from mtf_rl.user_models.world.synthesis import measure

RETURN_TARGETS = ("away_next_day", "return_gap_minus_one_days")
RETURN_USERS, RETURN_DAYS = 500, 31


@dataclass(frozen=True)
class Config:
    """The worlds to measure."""

    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Seeds on which the world was tuned."""
    untuned: tuple[int, ...] = (100, 101, 102, 103, 104)
    """Seeds on which it was not."""
    long: tuple[int, ...] = (0, 100)
    """Seeds whose figures of return come from 31 days of 500 users; else from every day's end."""
    processes: int = 1
    """Seeds measured at once."""
    out: Path = field(default_factory=lambda: Path(__file__).with_suffix(".md"))
    """The table to write."""


def calibration_of(seed: int, config: Config) -> tuple[CalibrationRow, ...]:
    """All rows of one seed."""
    short = measure(WorldConfig(seed=seed))
    if seed not in config.long:
        return short
    long_roll = WorldConfig(users=RETURN_USERS, days=RETURN_DAYS, seed=seed)
    returns = {row.target.name: row for row in measure(long_roll)}
    return tuple(
        returns[row.target.name] if row.target.name in RETURN_TARGETS else row for row in short
    )


def markdown(config: Config, found: dict[int, tuple[CalibrationRow, ...]]) -> str:
    """The table over seeds."""
    lines = [
        "# Calibration of the synthetic world",
        "",
        "You can see here how close the synthetic logs are to KuaiRand's public figures.",
        "",
        f"`python {' '.join(['-m', 'benchmarks.world_calibration', *sys.argv[1:]])}`, "
        f"mtf_rl {mtf_rl.__version__}, Python {platform.python_version()}, "
        f"NumPy {np.__version__}, SciPy {scipy.__version__}.",
        "",
        "The default world (2000 users, 4000 videos, 3 days). Rates are means of the true "
        "probabilities over the generated impressions. The two figures of return come from "
        f"{RETURN_DAYS} days of {RETURN_USERS} users for seeds {', '.join(map(str, config.long))}, "
        "otherwise from the ends of the three days. *Tuned* seeds: "
        f"{', '.join(map(str, config.seeds))}; *untuned*: {', '.join(map(str, config.untuned))}.",
        "",
        "| seed | targets met |",
        "|---|---|",
        *(
            f"| {seed} | {sum(row.met for row in rows)} of {len(rows)} |"
            for seed, rows in found.items()
        ),
        "",
        "| quantity | target | tolerance | tuned: mean (lowest to highest) | met | "
        "untuned: mean (lowest to highest) | met | source |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for position, row in enumerate(next(iter(found.values()))):
        target = row.target
        cells = [
            cell
            for seeds in (config.seeds, config.untuned)
            for cell in _summary([found[seed][position] for seed in seeds])
        ]
        lines.append(
            f"| {target.name} | {target.value:.4g} | {target.low:.4g} to {target.high:.4g} | "
            f"{' | '.join(cells)} | {target.source} |"
        )
    return "\n".join(lines) + "\n"


def _summary(rows: Sequence[CalibrationRow]) -> tuple[str, str]:
    if not rows:
        return "", ""
    values = np.array([row.produced for row in rows])
    text = f"{values.mean():.4g} ({values.min():.4g} to {values.max():.4g})"
    return text, f"{sum(row.met for row in rows)}/{len(rows)}"


def main() -> None:
    """Measure every seed, print and write the table."""
    config = tyro.cli(Config)
    seeds = (*config.seeds, *config.untuned)
    found = {}
    with ProcessPoolExecutor(config.processes, get_context("spawn")) as pool:
        rolled = pool.map(calibration_of, seeds, [config] * len(seeds))
        for seed, rows in zip(seeds, rolled, strict=True):
            found[seed] = rows
            missed = [row.target.name for row in rows if not row.met]
            print(f"seed {seed}: missed {', '.join(missed) or 'nothing'}", flush=True)
    table = markdown(config, found)
    print(table)
    config.out.write_text(wrapped(table))


if __name__ == "__main__":
    main()
