"""The leaderboard's page, from a finished comparison.

    make leaderboard

or, in its parts,

    python -m mtf_rl.train uniform --run-dir runs/leaderboard
    python -m mtf_rl.compare runs/leaderboard
    python -m benchmarks.leaderboard runs/leaderboard

The first command makes the default world, scorer and simulator. The second runs the comparison and
resumes after a stop. The third writes `leaderboard.md`, its pictures, and `leaderboard.jsonl` with
the result of each job. The second command can reuse these (`--jobs benchmarks/leaderboard.jsonl`)
if run and versions are the same.

For another comparison's page, such as that of the real rows, give the flags of that comparison:

    python -m mtf_rl.train uniform --data DIR --run-dir runs/real
    python -m mtf_rl.compare runs/real --requests 40000 --headline-seeds 3 --sessions 2000 \
        --fractions --no-retention --rescored 0 \
        --contestants uniform gp_bo cma_es cem cma_es_features lspi lspi_myopic td3_bc
    python -m benchmarks.leaderboard runs/real --requests 40000 --headline-seeds 3 --sessions 2000 \
        --out benchmarks/leaderboard_real.md --pictures runs/real/comparison
"""

import platform
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path

import tyro

import mtf_rl
from benchmarks.pages import write_page
from mtf_rl.experiments.comparison import (
    ComparisonConfig,
    finished_comparison,
    page_of,
    save_finished_jobs,
)
from mtf_rl.experiments.comparison.pictures import pictures_of
from mtf_rl.experiments.pictures import save_figure

LIBRARIES = ("torch", "stable-baselines3", "optuna", "cmaes", "botorch", "numpy")


@dataclass(frozen=True)
class Settings:
    """The comparison, and the page."""

    run: tyro.conf.Positional[Path]
    """The run that was compared."""
    requests: int = 100_000
    """Its budget."""
    headline_seeds: int = 10
    """Its seeds of the headline contestants."""
    sessions: int = 4_000
    """Its sessions of final users."""
    production: str | None = None
    """Its weights that serve today."""
    out: Path = Path("benchmarks/leaderboard.md")
    """The page to write; the jobs' results go beside it."""
    pictures: Path = Path("docs/images")
    """Folder for the pictures, comparison_NAME.png."""


def flags_of(settings: Settings) -> str:
    """The budget, seeds and sessions that differ from the defaults, as flags."""
    return "".join(
        f" --{field.name.replace('_', '-')} {getattr(settings, field.name)}"
        for field in fields(settings)
        if field.type is int and getattr(settings, field.name) != field.default
    )


def main() -> None:
    """Read the finished jobs, and write the page."""
    settings = tyro.cli(Settings, description=__doc__)
    config = ComparisonConfig(
        settings.run,
        requests=settings.requests,
        headline_seeds=settings.headline_seeds,
        sessions=settings.sessions,
        production=settings.production,
    )
    comparison = finished_comparison(config)
    page = page_of(comparison)
    settings.pictures.mkdir(parents=True, exist_ok=True)
    for name, figure in pictures_of(comparison).items():
        save_figure(figure, settings.pictures / f"comparison_{name}.png")
    save_finished_jobs(config, settings.out.with_suffix(".jsonl"))
    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    stamp = (
        "You can see here how all methods compare at an equal budget.\n\n"
        f"    python -m benchmarks.leaderboard {settings.run}{flags_of(settings)}\n\n"
        "Made by `benchmarks/leaderboard.py`, which gives the commands; mtf_rl"
        f" {mtf_rl.__version__}, Python {platform.python_version()},"
        f" {versions}; one thread a job, two at once."
    )
    title, _, tables = page.partition("\n\n")
    write_page(settings.out, f"{title}\n\n{stamp}\n\n{tables}")
    print(settings.out.read_text())


if __name__ == "__main__":
    main()
