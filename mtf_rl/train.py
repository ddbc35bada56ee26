"""Command: learn fusion weights with an agent, and compare it with baselines.

python -m mtf_rl.train [AGENT] [flags]
"""

from mtf_rl.experiments.command_line import parse_train
from mtf_rl.experiments.console import Terminal, run_command
from mtf_rl.experiments.training import train


def main() -> None:
    """Parse, train, print."""
    train(parse_train(), Terminal())


if __name__ == "__main__":
    run_command(main)
