"""Command: learn fusion weights with an agent, and compare it with baselines.

python -m mtf_rl.train [AGENT] [flags]
python -m mtf_rl.train --resume RUN
"""

from mtf_rl.experiments.command_line import parse_resume, parse_train
from mtf_rl.experiments.console import Terminal, run_command
from mtf_rl.experiments.training import resume, train


def main() -> None:
    """Parse, train, print."""
    resumption = parse_resume()
    if resumption is None:
        train(parse_train(), Terminal())
    else:
        resume(resumption.run, Terminal(), reward=resumption.reward)


if __name__ == "__main__":
    run_command(main)
