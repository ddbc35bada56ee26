"""Command: estimate the session reward of policies from sessions that other policies served.

python -m mtf_rl.ope BATCH POLICY... [--simulator RUN] [flags]
"""

from mtf_rl.experiments.command_line import parse_command
from mtf_rl.experiments.entry_point import run_command
from mtf_rl.experiments.offline_evaluation import OfflineConfig


def main() -> None:
    """Parse, estimate, print."""
    config = parse_command(OfflineConfig, "ope")
    from mtf_rl.experiments.console import Terminal
    from mtf_rl.experiments.offline_evaluation import check_free_for_results, evaluate, report

    check_free_for_results(config)  # before any work is done
    terminal = Terminal()
    report(evaluate(config, terminal), terminal)


if __name__ == "__main__":
    run_command(main)
