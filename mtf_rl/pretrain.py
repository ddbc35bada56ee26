"""Command: fit scorers on all training rows, calibrate them, report each task's quality.

python -m mtf_rl.pretrain [MODEL|all] [--data DIR] [flags]
"""

import tyro

from mtf_rl.experiments.console import Terminal, run_command
from mtf_rl.experiments.pretraining import PretrainConfig, pretrain


def main() -> None:
    """Parse, fit, print."""
    config = tyro.cli(PretrainConfig, prog="python -m mtf_rl.pretrain")
    pretrain(config, Terminal())


if __name__ == "__main__":
    run_command(main)
