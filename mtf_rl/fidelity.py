"""Command: compare a run's simulator with the held-out days of its log.

python -m mtf_rl.fidelity RUN [--data DIR] [--sessions N] [--seed N] [--no-truth-again]
"""

import tyro

from mtf_rl.experiments.console import Terminal, run_command
from mtf_rl.experiments.fidelity import FidelityConfig, report_fidelity


def main() -> None:
    """Parse, compare, print."""
    config = tyro.cli(FidelityConfig, prog="python -m mtf_rl.fidelity")
    report_fidelity(config, Terminal())


if __name__ == "__main__":
    run_command(main)
