"""Command: evaluate a run's static policies on videos that its log showed at random.

python -m mtf_rl.replay RUN [--reward NAME] [--out DIR]
"""

from mtf_rl.experiments.command_line import parse_command
from mtf_rl.experiments.command_settings import ReplayConfig
from mtf_rl.experiments.entry_point import run_command


def main() -> None:
    """Parse, evaluate, print."""
    config = parse_command(ReplayConfig, "replay")
    from mtf_rl.experiments.console import Terminal
    from mtf_rl.experiments.random_exposures import replay_run

    replay_run(config.run, Terminal(), reward=config.reward, out=config.out)


if __name__ == "__main__":
    run_command(main)
