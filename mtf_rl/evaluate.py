"""Command: roll out the policies of a run, and write the leaderboard.

python -m mtf_rl.evaluate RUN [--sessions N] [--seed N] [--reward NAME] [--out DIR]
"""

import sys

from mtf_rl.experiments.command_line import parse_command
from mtf_rl.experiments.command_settings import EvaluateConfig
from mtf_rl.experiments.console import Terminal, run_command
from mtf_rl.experiments.old_spellings import words_of_ope, words_of_replay


def main() -> None:
    """Parse, roll out, print."""
    words = sys.argv[1:]
    if (ope := words_of_ope(words)) is not None:
        from mtf_rl.ope import estimate

        estimate(ope)
        return
    if (replay := words_of_replay(words)) is not None:
        from mtf_rl.replay import replay_exposures

        replay_exposures(replay)
        return
    config = parse_command(EvaluateConfig, "evaluate", words)
    from mtf_rl.experiments.re_evaluation import evaluate_run

    evaluate_run(
        config.run,
        sessions=config.sessions,
        seed=config.seed,
        reward=config.reward,
        out=config.out,
        terminal=Terminal(),
    )


if __name__ == "__main__":
    run_command(main)
