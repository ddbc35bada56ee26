"""Command: raw KuaiRand files to checked, sessionised Parquet, with a description.

python -m mtf_rl.prepare DIR --out DIR
"""

from dataclasses import dataclass
from pathlib import Path

import tyro

from mtf_rl.core.files import replace_atomically, save_json
from mtf_rl.data import describe, read_kuairand, write_prepared
from mtf_rl.experiments.console import Terminal, run_command
from mtf_rl.experiments.run_folder import check_free


@dataclass(frozen=True)
class PrepareConfig:
    """Check and sessionise a folder of KuaiRand files, and describe what was found."""

    data: tyro.conf.Positional[Path]
    """Folder with log_standard_*, log_random_*, user_features_*, video_features_*."""
    out: Path
    """Folder to write, new or empty: Parquet, description.md, description.json."""
    session_gap_minutes: float = 30.0
    """A longer gap between two requests starts another session, above 0."""


def main() -> None:
    """Parse, prepare, print."""
    config = tyro.cli(PrepareConfig, prog="python -m mtf_rl.prepare")
    check_free(config.out, "--out")
    dataset = read_kuairand(config.data, session_gap_minutes=config.session_gap_minutes)
    description = describe(dataset)
    write_prepared(dataset, config.out)
    save_json(config.out / "description.json", description.to_json())
    replace_atomically(config.out / "description.md", description.to_markdown().encode())
    Terminal().say(description.to_markdown())


if __name__ == "__main__":
    run_command(main)
