"""Command: try the contract of an extension.

python -m mtf_rl.check module:Name [--kind KIND]
"""

import sys

import tyro

from mtf_rl.experiments.console import Terminal, run_command
from mtf_rl.experiments.contracts import CheckConfig, check_extension


def main() -> None:
    """Parse, check, print; exit with 1 if a promise is broken."""
    config = tyro.cli(CheckConfig, prog="python -m mtf_rl.check")
    if not check_extension(config, Terminal()):
        sys.exit(1)


if __name__ == "__main__":
    run_command(main)
