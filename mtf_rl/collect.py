"""Command: roll out a behaviour policy and write a batch dataset with action densities.

python -m mtf_rl.collect RUN [--behaviour NAME] [--requests N] [--evaluator simulator|ground_truth]
"""

from mtf_rl.experiments.command_line import parse_command
from mtf_rl.experiments.command_settings import CollectConfig
from mtf_rl.experiments.entry_point import run_command


def main() -> None:
    """Parse, collect, print."""
    config = parse_command(CollectConfig, "collect")
    from mtf_rl.experiments.collection import collect_batch
    from mtf_rl.experiments.console import Terminal

    collect_batch(config, Terminal())


if __name__ == "__main__":
    run_command(main)
