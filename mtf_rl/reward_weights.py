"""Command: how each feedback relates to the watch time of its user's next session.

python -m mtf_rl.reward_weights --data DIR | --run RUN [--out DIR]
"""

import tyro

from mtf_rl.experiments.console import Terminal, run_command
from mtf_rl.experiments.reward_weights import RewardWeightsConfig, weigh_rewards


def main() -> None:
    """Parse, estimate, print."""
    config = tyro.cli(RewardWeightsConfig, prog="python -m mtf_rl.reward_weights")
    weigh_rewards(config, Terminal())


if __name__ == "__main__":
    run_command(main)
