"""Command: the leaderboard of agents and searches, on one budget and several seeds.

python -m mtf_rl.compare RUN [flags]
"""

import tyro

from mtf_rl.experiments.comparison import ComparisonConfig, compare, report
from mtf_rl.experiments.console import Terminal, run_command


def main() -> None:
    """Parse, compare, print."""
    config = tyro.cli(ComparisonConfig, prog="python -m mtf_rl.compare")
    terminal = Terminal()
    report(compare(config, terminal), terminal)


if __name__ == "__main__":
    run_command(main)
