"""Command: evaluator policies, by rollouts or from a log.

python -m mtf_rl.evaluate RUN [--sessions N] [--seed N] [--reward NAME]
python -m mtf_rl.evaluate RUN --random-log
python -m mtf_rl.evaluate --data BATCH POLICY... [--simulator RUN] [flags]
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from mtf_rl.core.errors import ConfigError
from mtf_rl.core.ranges import check_at_least, check_seed
from mtf_rl.experiments.console import Terminal, run_command
from mtf_rl.experiments.offline_evaluation import (
    OfflineConfig,
    check_free_for_results,
    evaluate,
    report,
)
from mtf_rl.experiments.random_exposures import replay_run
from mtf_rl.experiments.re_evaluation import evaluate_run


@dataclass(frozen=True)
class EvaluateConfig:
    """Roll out every policy of a run on final users, and write the leaderboard.

    With --data BATCH the command estimates from logged sessions instead: see --data BATCH --help.

    Raises:
        ConfigError: if sessions is below 2, seed out of range, or flags do not go together.
    """

    run: tyro.conf.Positional[Path]
    """Folder of a finished run."""
    sessions: int | None = None
    """Sessions of final users per policy; as in the run by default."""
    seed: int | None = None
    """Seed of their random numbers; as in the run by default, which repeats its numbers."""
    reward: str | None = None
    """Another reward; a run made with your own module:function asks you to name it again."""
    random_log: bool = False
    """Replay the run's static weights on the videos that its log showed at random, instead."""

    def __post_init__(self) -> None:
        if self.sessions is not None:
            check_at_least("sessions", self.sessions, 2)
        if self.seed is not None:
            check_seed("seed", self.seed)
        if self.random_log and (self.sessions, self.seed) != (None, None):
            raise ConfigError("--random-log rolls nothing out: leave --sessions and --seed away")


def main() -> None:
    """Parse, evaluate, print."""
    if any(word.split("=")[0] == "--data" for word in sys.argv[1:]):
        offline = tyro.cli(OfflineConfig, prog="python -m mtf_rl.evaluate")
        terminal = Terminal()
        check_free_for_results(offline)  # before the work, not after it
        report(evaluate(offline, terminal), terminal)
        return
    config = tyro.cli(EvaluateConfig, prog="python -m mtf_rl.evaluate")
    if config.random_log:
        replay_run(config.run, Terminal(), reward=config.reward)
        return
    evaluate_run(
        config.run,
        sessions=config.sessions,
        seed=config.seed,
        reward=config.reward,
        terminal=Terminal(),
    )


if __name__ == "__main__":
    run_command(main)
