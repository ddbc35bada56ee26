"""Evaluates the policies of a finished run again."""

from dataclasses import replace
from pathlib import Path

from mtf_rl.experiments.answer import say_wrapped
from mtf_rl.experiments.assembly import Assembly
from mtf_rl.experiments.command_line import settings_of_run
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.run_evaluation import FINAL_SEED, evaluate_policies, load_entries
from mtf_rl.experiments.run_folder import check_free, free_folder, open_run_folder
from mtf_rl.experiments.run_report import report

__all__ = ["evaluate_run"]


def evaluate_run(
    path: Path,
    *,
    sessions: int | None,
    seed: int | None,
    terminal: Terminal,
    reward: str | None = None,
    out: Path | None = None,
) -> Path:
    """Evaluate every saved policy of a run on fresh rollouts.

    Without `sessions`, `seed` and `reward` this repeats the run's own leaderboard. Earlier results
    are not overwritten.

    Args:
        path: the run's folder.
        sessions: number of sessions of final users; by default the run's.
        seed: seed of the sessions; by default the run's.
        terminal: prints progress and the result.
        reward: reward that replaces the run's; repeat the run's own `module:function` here.
        out: folder to write, new or empty; by default a new one in the run's `evaluations/`, named
            after the arguments that are given.

    Returns:
        The folder of the leaderboard.

    Raises:
        MtfRlError: if the folder is not a run with saved policies, or an artifact is torn.
    """
    if out is not None:
        check_free(out, "--out")
    run = open_run_folder(path)
    settings = settings_of_run(run, reward)
    assembly = Assembly.load(run.data, run.simulator)
    config = settings.run if sessions is None else replace(settings.run, sessions=sessions)
    evaluation = evaluate_policies(
        assembly,
        config,
        load_entries(run.policies),
        terminal,
        seed=FINAL_SEED if seed is None else seed,
    )
    changes = {"sessions": sessions, "seed": seed, "reward": reward}
    names = [f"{name}-{value}" for name, value in changes.items() if value is not None]
    name = "-".join(names or ["repeated"]).replace(":", ".")
    folder = out or free_folder(run.path / "evaluations" / name)
    folder.mkdir(parents=True, exist_ok=True)
    report(evaluation, settings.label, folder, terminal)
    say_wrapped([f"Written to {folder}."], terminal)
    return folder
