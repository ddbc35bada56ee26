"""Command: compare agents and searches over several seeds at an equal budget.

python -m mtf_rl.compare RUN [flags]
"""

from mtf_rl.experiments.command_line import parse_command
from mtf_rl.experiments.comparison.config import ComparisonConfig
from mtf_rl.experiments.entry_point import run_command


def main() -> None:
    """Parse, compare, print."""
    config = parse_command(ComparisonConfig, "compare")
    from mtf_rl.experiments.comparison import compare, report
    from mtf_rl.experiments.console import Terminal

    terminal = Terminal()
    report(compare(config, terminal), terminal)


if __name__ == "__main__":
    run_command(main)
