"""Command: compare a run's simulator with the held-out days of its log.

python -m mtf_rl.fidelity RUN [--data DIR] [--sessions N] [--seed N] [--no-truth-again]
"""

from mtf_rl.experiments.command_line import parse_command
from mtf_rl.experiments.command_settings import FidelityConfig
from mtf_rl.experiments.entry_point import run_command


def main() -> None:
    """Parse, compare, print."""
    config = parse_command(FidelityConfig, "fidelity")
    from mtf_rl.experiments.console import Terminal
    from mtf_rl.experiments.fidelity import report_fidelity

    report_fidelity(config, Terminal())


if __name__ == "__main__":
    run_command(main)
