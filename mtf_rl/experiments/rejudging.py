"""The policies of a finished run, judged again."""

from dataclasses import replace
from pathlib import Path

from mtf_rl.experiments.assembly import Assembly
from mtf_rl.experiments.command_line import settings_of_run
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.judging import FINAL_SEED, judge_run, load_entries
from mtf_rl.experiments.run_folder import RunFolder, open_run_folder
from mtf_rl.experiments.training import report

__all__ = ["evaluate_run"]


def evaluate_run(
    path: Path, *, sessions: int | None, seed: int | None, terminal: Terminal
) -> RunFolder:
    """Judge every saved policy of a run on fresh rollouts, and rewrite its leaderboard.

    Args:
        path: the run's folder.
        sessions: sessions of final users; as in the run by default.
        seed: seed of their luck; as in the run by default, which repeats its numbers.
        terminal: told what happens.

    Raises:
        MtfRlError: if the folder is not a run with a policy in it, or an artifact is torn.
    """
    run = open_run_folder(path)
    settings = settings_of_run(run)
    assembly = Assembly.load(run.data, run.simulator)
    config = settings.run if sessions is None else replace(settings.run, sessions=sessions)
    judgement = judge_run(
        assembly,
        config,
        load_entries(run.policies),
        terminal,
        seed=FINAL_SEED if seed is None else seed,
    )
    report(judgement, settings.agent, assembly, run, terminal)
    return run
