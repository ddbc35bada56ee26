"""Command: estimate how each feedback relates to the watch time of the user's next session.

python -m mtf_rl.reward_weights --data DIR | --run RUN [--out DIR]
"""

from mtf_rl.experiments.command_line import parse_command
from mtf_rl.experiments.command_settings import RewardWeightsConfig
from mtf_rl.experiments.entry_point import run_command


def main() -> None:
    """Parse, estimate, print."""
    config = parse_command(RewardWeightsConfig, "reward_weights")
    from mtf_rl.experiments.console import Terminal
    from mtf_rl.experiments.reward_weights import weigh_rewards

    weigh_rewards(config, Terminal())


if __name__ == "__main__":
    run_command(main)
