"""The figure of a fidelity report."""

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from mtf_rl.evaluation.fidelity import (
    GAP,
    PLACE,
    PLAY,
    POSITIONS,
    RATES,
    REPLAY,
    ROLLOUT,
    SESSION_LENGTH,
    TRUTH_AGAIN,
    FidelityReport,
    position_name,
)

__all__ = ["fidelity_figure"]

_INK, _QUIET = "#1f2933", "#adb5bd"
_COLOURS = {"log": _INK, REPLAY: "#0b7285", ROLLOUT: "#d9480f", TRUTH_AGAIN: _QUIET}
_WIDTHS = {"log": 2.6, TRUTH_AGAIN: 2.6}


def fidelity_figure(report: FidelityReport) -> Figure:
    """Plot the log and its simulations, one panel for each kind of measure.

    Panels without data in the log are omitted.
    """
    panels: list[Callable[[Axes, FidelityReport], None]] = [_rates]
    drawn = {curve.quantity for curve in report.curves}
    panels += [panel for name, panel in _CURVES.items() if name in drawn]
    panels += [_positions, _calibration]
    columns = 3 if len(panels) > 4 else 2
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(5.0 * columns, 3.9 * lines), layout="constrained")
    FigureCanvasAgg(figure)
    all_axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, panel in zip(all_axes, panels, strict=False):
        panel(axes, report)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    for axes in all_axes[len(panels) :]:
        axes.set_visible(False)
    return figure


def _rates(axes: Axes, report: FidelityReport) -> None:
    """Rates relative to the log's, with the log's CI as a bar."""
    entries = [entry for entry in report.comparisons if entry.group == RATES and entry.log.mean > 0]
    sources = [source for source in report.sources if source != TRUTH_AGAIN]
    for position, entry in enumerate(reversed(entries)):
        mean = entry.log.mean
        low, high = max(entry.log.low / mean, 0.0), entry.log.high / mean
        axes.plot(
            [low, high], [position, position], color=_QUIET, linewidth=7, solid_capstyle="butt"
        )
        for shift, source in enumerate(sources):
            y = position + 0.18 * (shift - (len(sources) - 1) / 2)
            axes.plot(entry.others[source] / mean, y, "o", color=_COLOURS[source], markersize=6)
    axes.axvline(1.0, color=_INK, linewidth=1.0, zorder=0)
    names = [f"{entry.name}  {entry.log.mean:.3g}" for entry in reversed(entries)]
    axes.set_yticks(range(len(entries)), names)
    axes.plot([], [], color=_QUIET, linewidth=7, label="log, 95 % CI")
    for source in sources:
        axes.plot([], [], "o", color=_COLOURS[source], label=source)
    axes.legend(frameon=False, fontsize=8)
    axes.set_title("Rates relative to the log", loc="left", fontweight="bold")


def _plays(axes: Axes, report: FidelityReport) -> None:
    _quantiles(axes, report, PLAY)
    axes.set_title("Play time in the feed, relative to the log", loc="left", fontweight="bold")


def _gaps(axes: Axes, report: FidelityReport) -> None:
    _quantiles(axes, report, GAP)
    axes.set_title("Gap between requests, relative to the log", loc="left", fontweight="bold")


def _quantiles(axes: Axes, report: FidelityReport, quantity: str) -> None:
    """Quantiles relative to those of the log."""
    curves = {curve.source: curve for curve in report.curves if curve.quantity == quantity}
    log = np.array(curves["log"].y)
    shown = log > 0
    fractions = np.array(curves["log"].x)[shown]
    for source in report.sources:
        ratios = np.array(curves[source].y)[shown] / log[shown]
        axes.plot(fractions, ratios, color=_COLOURS[source], linewidth=1.8, label=source)
    axes.axhline(1.0, color=_INK, linewidth=1.0, zorder=0)
    axes.set_ylim(0.75, 1.25)
    axes.xaxis.set_major_formatter(FuncFormatter(_percent))
    axes.set_xlabel("quantile")
    axes.legend(frameon=False, fontsize=8)


def _lengths(axes: Axes, report: FidelityReport) -> None:
    for source in (TRUTH_AGAIN, "log", REPLAY, ROLLOUT):
        for curve in report.curves:
            if (curve.quantity, curve.source) == (SESSION_LENGTH, source):
                width, dashes = _WIDTHS.get(source, 1.6), "--" if source == REPLAY else "-"
                colour = _COLOURS[source]
                axes.plot(curve.x, curve.y, dashes, color=colour, linewidth=width, label=source)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(_percent))
    axes.legend(frameon=False, fontsize=8)
    axes.set_title("Sessions with more than x requests", loc="left", fontweight="bold")


_CURVES: dict[str, Callable[[Axes, FidelityReport], None]] = {
    PLAY: _plays,
    SESSION_LENGTH: _lengths,
    GAP: _gaps,
}


def _positions(axes: Axes, report: FidelityReport) -> None:
    """Rate of the interest task, by position in the session."""
    suffixes = [f" in {position_name(*positions)}" for positions in POSITIONS]
    entries = [
        entry
        for entry in report.comparisons
        if entry.group == PLACE and entry.name.endswith(tuple(suffixes)) and "," not in entry.name
    ]
    task = entries[0].name.split(" in ")[0] if entries else "click"
    positions = np.arange(len(entries))
    means = np.array([entry.log.mean for entry in entries])
    limits = np.array([[entry.log.low, entry.log.high] for entry in entries]).reshape(-1, 2)
    errors = np.abs(limits.T - means)
    axes.errorbar(
        positions,
        means,
        errors,
        color=_INK,
        linewidth=2.0,
        capsize=3,
        marker="s",
        label="log, 95 % CI",
    )
    for source in report.sources:
        if all(source in entry.others for entry in entries):
            values = [entry.others[source] for entry in entries]
            axes.plot(positions, values, "o-", color=_COLOURS[source], linewidth=1.4, label=source)
    ticks = [entry.name.removeprefix(f"{task} in ").split(" ", 1)[1] for entry in entries]
    axes.set_xticks(positions, ticks)
    axes.set_xlabel("requests of the session")
    axes.legend(frameon=False, fontsize=8)
    axes.set_title(
        f"{task.capitalize()} rate by position in the session", loc="left", fontweight="bold"
    )


def _calibration(axes: Axes, report: FidelityReport) -> None:
    """Observed against predicted probability by decile, on logarithmic axes."""
    lowest = 1.0
    usual = ("click", "long_view", "like", "leaving")
    parts = [entry.part for entry in report.reliabilities]
    shown_parts = usual if set(usual) & set(parts) - {"leaving"} else parts
    for entry in report.reliabilities:
        if entry.part not in shown_parts:
            continue
        predicted, observed = np.array(entry.predicted), np.array(entry.observed)
        shown = (predicted > 0) & (observed > 0)
        lowest = min(lowest, *predicted[shown], *observed[shown])
        axes.plot(predicted[shown], observed[shown], "o-", markersize=4, label=entry.part)
    axes.plot([lowest, 1.0], [lowest, 1.0], color=_QUIET, linewidth=1.0, zorder=0)
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(_percent))
    axes.set_xlabel("predicted")
    axes.set_ylabel("observed in the log")
    axes.legend(frameon=False, fontsize=8)
    axes.set_title("Calibration by decile", loc="left", fontweight="bold")


def _percent(fraction: float, _position: int) -> str:
    return f"{100.0 * fraction:g} %"
