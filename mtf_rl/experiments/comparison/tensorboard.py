"""Writes a comparison for TensorBoard: figures, and a row of HParams for every result."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from torch.utils.tensorboard.writer import SummaryWriter

from mtf_rl.experiments.comparison.comparing import Comparison
from mtf_rl.experiments.comparison.contestants import CONTESTANTS
from mtf_rl.experiments.comparison.results import Result
from mtf_rl.experiments.comparison.work import Job
from mtf_rl.experiments.settings import settings_to_json

__all__ = ["write_events"]


def write_events(comparison: Comparison, pictures: Mapping[str, Figure], folder: Path) -> None:
    """Write the TensorBoard folder of a comparison.

    Figures are under `comparison/NAME`. HParams has a row for each result: contestant, agent,
    track, seed and requests, the agent's settings that are single values, and the metrics.

    Args:
        comparison: the comparison.
        pictures: figures by name.
        folder: folder to write; earlier contents are removed.
    """
    shutil.rmtree(folder, ignore_errors=True)
    with SummaryWriter(str(folder)) as writer:
        for name, picture in pictures.items():
            writer.add_figure(f"comparison/{name}", picture, close=False)
        for result in comparison.results.all:
            writer.add_hparams(
                _settings(comparison, result),
                _measured(result),
                run_name=f"{result.track}/{result.contestant}/seed-{result.seed}/{result.fraction:g}",
                global_step=result.requests_used,
            )


def _settings(comparison: Comparison, result: Result) -> dict[str, bool | str | float | int]:
    contestant = CONTESTANTS[result.contestant]
    own = settings_to_json(contestant.settings())
    return {
        "contestant": result.contestant,
        "agent": contestant.agent,
        "kind": contestant.kind,
        "track": result.track,
        "seed": result.seed,
        "requests": Job(result.contestant, result.track, result.seed, result.fraction).requests(
            comparison.config
        ),
        **{
            name: value for name, value in own.items() if isinstance(value, (bool, int, float, str))
        },
    }


def _measured(result: Result) -> dict[str, Any]:
    measured: dict[str, Any] = {
        "hparams/tuning_reward": result.tuning_reward,
        "hparams/seconds": result.seconds,
    }
    for evaluator, evaluated in result.evaluated.items():
        measured[f"hparams/{evaluator}/session_reward"] = evaluated.reward
        measured[f"hparams/{evaluator}/depth"] = evaluated.depth
        for task, rate in evaluated.rates.items():
            measured[f"hparams/{evaluator}/{task}_rate"] = rate
    return measured
