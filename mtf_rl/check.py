"""Command: check that an extension fulfils the contract of its kind.

python -m mtf_rl.check module:Name [--kind KIND]
"""

import sys

from mtf_rl.experiments.command_line import parse_command
from mtf_rl.experiments.contracts.config import CheckConfig
from mtf_rl.experiments.entry_point import run_command


def main() -> None:
    """Parse, check, print; exit with 1 if a check fails."""
    config = parse_command(CheckConfig, "check")
    from mtf_rl.experiments.console import Terminal
    from mtf_rl.experiments.contracts import check_extension

    if not check_extension(config, Terminal()):
        sys.exit(1)


if __name__ == "__main__":
    run_command(main)
