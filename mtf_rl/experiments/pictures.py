"""Figures of a run, for its folder and TensorBoard."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mtf_rl.evaluation import LeaderboardRow

__all__ = ["leaderboard_figure", "save_figure"]

_INK, _ACCENT, _QUIET = "#1f2933", "#0b7285", "#adb5bd"


def leaderboard_figure(rows: Sequence[LeaderboardRow], learned: str) -> Figure:
    """Plot session reward over the best static weights, and mean fusion weights.

    Each evaluator has a row of two panels: paired differences with 95 % CIs, and mean weights.

    Args:
        rows: of the leaderboard, for all evaluators.
        learned: name of the policy to draw in colour.
    """
    evaluators = list(dict.fromkeys(row.evaluator for row in rows))
    figure = Figure(figsize=(11.0, 0.9 + 2.5 * len(evaluators)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(evaluators), 2, squeeze=False, width_ratios=[3, 2])
    for (left, right), evaluator in zip(panels, evaluators, strict=True):
        chosen = [row for row in rows if row.evaluator == evaluator][::-1]
        positions = np.arange(len(chosen))
        for position, row in zip(positions, chosen, strict=True):
            delta = row.delta_vs_best_static
            colour = _ACCENT if row.policy == learned else _INK
            left.plot([delta.low, delta.high], [position, position], color=colour, linewidth=2.5)
            left.plot(delta.mean, position, "o", color=colour, markersize=7)
        left.axvline(0.0, color=_QUIET, linewidth=1.0, zorder=0)
        left.set_yticks(
            positions, [f"{row.policy}  {row.metrics.reward.mean:.2f}" for row in chosen]
        )
        left.set_title(f"Evaluator: {evaluator}", loc="left", fontweight="bold")
        left.set_xlabel("session reward over the best static weights (95 % CI)")
        weights = np.stack([row.weights for row in chosen])  # (policies, parameters)
        image = right.imshow(weights, cmap="RdBu", vmin=-1, vmax=1, aspect="auto", origin="lower")
        right.set_yticks([])
        parameters = chosen[0].parameter_names
        right.set_xticks(range(len(parameters)), parameters, rotation=35, ha="right")
        right.set_title("mean fusion weight", loc="left")
        figure.colorbar(image, ax=right, shrink=0.9)
        for side in ("top", "right", "left"):
            left.spines[side].set_visible(False)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG; equal figures make equal bytes."""
    figure.savefig(path, dpi=110, metadata={"Software": None})
