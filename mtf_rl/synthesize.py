"""Command: write the logs of the synthetic world in KuaiRand's layout.

python -m mtf_rl.synthesize --out DIR [--users N] [--videos N] [--days N] [--seed N]
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from mtf_rl.core.ranges import check_at_least
from mtf_rl.experiments.console import Terminal, run_command
from mtf_rl.experiments.run_folder import check_free
from mtf_rl.user_models import WorldConfig, synthesize


@dataclass(frozen=True)
class SynthesizeConfig:
    """Roll the world's logging policies and write what a platform would have logged.

    Raises:
        ConfigError: if processes is below 1.
    """

    out: Path
    """Folder to write, new or empty."""
    processes: int = 1
    """How many processes work, at least 1; the files do not depend on it."""
    world: Annotated[WorldConfig, tyro.conf.arg(name="")] = field(default_factory=WorldConfig)
    """The world."""

    def __post_init__(self) -> None:
        check_at_least("processes", self.processes, 1)


def main() -> None:
    """Parse, synthesise, print."""
    config = tyro.cli(SynthesizeConfig, prog="python -m mtf_rl.synthesize")
    check_free(config.out, "--out")
    terminal = Terminal()
    with terminal.progress("users", config.world.users) as bar:
        report = synthesize(
            config.world, config.out, processes=config.processes, progress=bar.reach
        )
    terminal.say(report.to_markdown())


if __name__ == "__main__":
    run_command(main)
