"""Command: roll out the policies of a run and write the leaderboard.

python -m mtf_rl.evaluate RUN [--sessions N] [--seed N] [--reward NAME] [--out DIR]
"""

import sys
from collections.abc import Sequence

from mtf_rl.experiments.command_line import parse_command
from mtf_rl.experiments.command_settings import EvaluateConfig, ReplayConfig
from mtf_rl.experiments.entry_point import run_command
from mtf_rl.experiments.old_spellings import words_of_ope, words_of_replay


def main() -> None:
    """Parse, roll out, print."""
    words = sys.argv[1:]
    if (ope := words_of_ope(words)) is not None:
        _estimate(ope)
        return
    if (replay := words_of_replay(words)) is not None:
        _replay(replay)
        return
    config = parse_command(EvaluateConfig, "evaluate", words)
    from mtf_rl.experiments.console import Terminal
    from mtf_rl.experiments.re_evaluation import evaluate_run

    evaluate_run(
        config.run,
        sessions=config.sessions,
        seed=config.seed,
        reward=config.reward,
        out=config.out,
        terminal=Terminal(),
    )


def _estimate(words: Sequence[str]) -> None:
    """Run `ope` for its old form `evaluate --data`, which is kept for one release."""
    from mtf_rl.experiments.console import Terminal
    from mtf_rl.experiments.offline_evaluation import (
        OfflineConfig,
        check_free_for_results,
        evaluate,
        report,
    )

    config = parse_command(OfflineConfig, "ope", words)
    check_free_for_results(config)
    terminal = Terminal()
    report(evaluate(config, terminal), terminal)


def _replay(words: Sequence[str]) -> None:
    """Run `replay` for its old form `evaluate --random-log`, which is kept for one release."""
    from mtf_rl.experiments.console import Terminal
    from mtf_rl.experiments.random_exposures import replay_run

    config = parse_command(ReplayConfig, "replay", words)
    replay_run(config.run, Terminal(), reward=config.reward, out=config.out)


if __name__ == "__main__":
    run_command(main)
