"""Speed of the synthetic world: impressions per second written to logs.

    python -m benchmarks.world_speed

Times `synthesize` with one and with two processes, and the same simulation one user at a time,
which writes the same rows. The ways are repeated in turn; medians and ranges are printed and
written.
"""

import os
import platform
import resource
import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numba
import numpy as np
import tyro

import mtf_rl
from benchmarks.pages import wrapped
from mtf_rl.user_models import WorldConfig, synthesize


@dataclass(frozen=True)
class Settings:
    """Sizes of the measurement."""

    users: int = 4000
    """Users of the world that is timed in chunks."""
    loop_users: int = 40
    """Users of the world that is timed one user at a time."""
    repeats: int = 3
    """How often each is timed."""
    out: Path = Path("benchmarks/world_speed.md")
    """The table to write."""


def rate(config: WorldConfig, *, processes: int, chunk_users: int | None) -> float:
    """Impressions per second of one synthesis."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        report = synthesize(config, Path(folder), processes=processes, chunk_users=chunk_users)
        seconds = time.perf_counter() - start
    return (report.standard_rows + report.random_rows) / seconds


def main(settings: Settings) -> None:
    """Time, print and write."""
    world = replace(WorldConfig(), users=settings.users)
    small = replace(WorldConfig(), users=settings.loop_users)
    ways = {
        "one user at a time": (small, 1, 1),
        "chunks, one process": (world, 1, None),
        "chunks, two processes": (world, 2, None),
    }
    rate(small, processes=1, chunk_users=None)  # compile
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(settings.repeats):
        for name, (config, processes, chunk_users) in ways.items():
            rates[name].append(rate(config, processes=processes, chunk_users=chunk_users))
            print(f"{name}: {rates[name][-1]:,.0f} impressions/s", flush=True)
    reference = statistics.median(rates["one user at a time"])
    memory = max(
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    lines = [
        "# Speed of the synthetic world",
        "",
        "You can see here how fast `synthesize` writes logs.",
        "",
        "    python -m benchmarks.world_speed",
        "",
        f"mtf_rl {mtf_rl.__version__}, Python {platform.python_version()}, numpy {np.__version__}, "
        f"numba {numba.__version__}, {os.cpu_count()} cores. {settings.users} users, 3 days; "
        f"{settings.loop_users} users for one user at a time. The time includes simulation, "
        f"calibration, files and the start of the processes; {settings.repeats} repeats in turn. "
        f"Largest memory of a process: {memory / 1e6:.1f} GB.",
        "",
        "| way | impressions/s, median | lowest | highest | ratio to one user at a time |",
        "| --- | --- | --- | --- | --- |",
        *(
            f"| {name} | {statistics.median(found):,.0f} | {min(found):,.0f} | {max(found):,.0f} "
            f"| {statistics.median(found) / reference:.1f} |"
            for name, found in rates.items()
        ),
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    settings.out.write_text(wrapped(text))


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
