"""Command: roll a behaviour policy, and write a batch dataset with its densities.

python -m mtf_rl.collect RUN [--behaviour NAME] [--requests N] [--evaluator simulator|ground_truth]
"""

import tyro

from mtf_rl.experiments.collection import CollectConfig, collect_batch
from mtf_rl.experiments.console import Terminal, run_command


def main() -> None:
    """Parse, collect, print."""
    collect_batch(tyro.cli(CollectConfig, prog="python -m mtf_rl.collect"), Terminal())


if __name__ == "__main__":
    run_command(main)
