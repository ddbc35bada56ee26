"""Reliability diagrams: predicted against observed rates."""

import io

import numpy as np
from matplotlib.figure import Figure

from mtf_rl.core.arrays import FloatArray
from mtf_rl.scorers.metrics import ECE_BINS
from mtf_rl.scorers.rows import LabelledRows

__all__ = ["reliability_curve", "reliability_picture"]


def reliability_curve(
    predictions: FloatArray, targets: FloatArray, bins: int = ECE_BINS
) -> tuple[FloatArray, FloatArray]:
    """Mean prediction and mean target of equal-mass bins, (bins,) each, by rising prediction.

    Args:
        predictions: (rows,) probabilities.
        targets: (rows,) labels in [0, 1].
        bins: number of bins, at least 1; at most one bin per row is used.
    """
    parts = np.array_split(np.argsort(predictions, kind="stable"), min(bins, len(predictions)))
    means = [(float(predictions[part].mean()), float(targets[part].mean())) for part in parts]
    curve = np.array(means).reshape(-1, 2)
    return curve[:, 0], curve[:, 1]


def reliability_picture(
    calibrated: FloatArray, uncalibrated: FloatArray, rows: LabelledRows
) -> bytes:
    """A PNG with one panel per task, before and after calibration.

    The diagonal marks perfect calibration. `calibrated` and `uncalibrated` are predictions (rows,
    tasks) for the labelled `rows`.
    """
    figure = Figure(figsize=(14, 7), layout="constrained")
    columns = min(len(rows.tasks), 4)
    panels = figure.subplots(-(-len(rows.tasks) // columns), columns, squeeze=False).ravel()
    for axes in panels[len(rows.tasks) :]:
        axes.set_axis_off()
    for task, (axes, name) in enumerate(zip(panels, rows.tasks.names, strict=False)):
        mask = rows.mask[:, task]
        axes.set_title(name)
        axes.set_xlabel("predicted")
        axes.set_ylabel("observed")
        if not mask.any():
            continue
        for label, predictions in (("before", uncalibrated), ("after", calibrated)):
            curve = reliability_curve(predictions[mask, task], rows.targets[mask, task])
            axes.plot(*curve, marker=".", label=label)
        end = axes.get_xlim()[1]
        axes.plot([0, end], [0, end], color="grey", linewidth=0.8)
        axes.legend()
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=80)
    return file.getvalue()
