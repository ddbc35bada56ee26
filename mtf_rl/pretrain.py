"""Command: fit scorers on all training rows, calibrate them, report each task's quality.

python -m mtf_rl.pretrain [MODEL|all] [--data DIR] [flags]
"""

from mtf_rl.experiments.command_line import parse_command
from mtf_rl.experiments.command_settings import PretrainConfig
from mtf_rl.experiments.console import Terminal, run_command


def main() -> None:
    """Parse, fit, print."""
    config = parse_command(PretrainConfig, "pretrain")
    from mtf_rl.experiments.pretraining import pretrain

    pretrain(config, Terminal())


if __name__ == "__main__":
    run_command(main)
