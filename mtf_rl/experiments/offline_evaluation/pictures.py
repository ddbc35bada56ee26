"""Figures of an off-policy evaluation."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mtf_rl.experiments.offline_evaluation.findings import OfflineEvaluation

__all__ = ["pictures_of"]

_INKS = (
    "#0b7285",
    "#c2255c",
    "#5f3dc4",
    "#e67700",
    "#2b8a3e",
    "#364fc7",
    "#e64980",
    "#495057",
    "#a0522d",
    "#22b8cf",
)
_QUIET = "#adb5bd"
_MARGIN = 0.5  # margin of the x axis, in ranges of the ordering estimator's intervals


def pictures_of(evaluation: OfflineEvaluation) -> dict[str, Figure]:
    """The figures by name; the distribution only if the weights of a policy support it."""
    made = {"estimates": estimates_figure(evaluation)}
    if evaluation.distributions:
        made["distribution"] = distribution_figure(evaluation)
    return made


def estimates_figure(evaluation: OfflineEvaluation) -> Figure:
    """Each policy's value by each estimator, and the session reward of the log's own policies.

    Estimates without support are hollow. Intervals are cut at the edge of the panel.
    """
    names = evaluation.policies[::-1]
    asked = evaluation.config.asked
    figure = Figure(figsize=(9.0, 1.4 + 0.13 * len(names) * (len(asked) + 1.5)))
    FigureCanvasAgg(figure)
    figure.set_layout_engine("constrained")
    axes = figure.subplots()
    for position, name in enumerate(names):
        for number, estimator in enumerate(asked):
            finding = evaluation.of(name, estimator)
            height = position - (number - (len(asked) - 1) / 2.0) / (len(asked) + 1.5)
            ink = _INKS[number % len(_INKS)]
            value = finding.value.interval(evaluation.config.confidence)
            axes.plot([value.low, value.high], [height, height], color=ink, linewidth=1.4)
            axes.plot(
                value.mean,
                height,
                "o",
                color=ink,
                markersize=5,
                markerfacecolor="white" if finding.check.support.is_refusal else ink,
            )
    for number, estimator in enumerate(asked):  # filled markers for the legend
        axes.plot([], [], "o", color=_INKS[number % len(_INKS)], markersize=5, label=estimator)
    logged = evaluation.logged.interval(evaluation.config.confidence)
    axes.axvspan(logged.low, logged.high, color=_QUIET, alpha=0.4, lw=0, zorder=0)
    axes.axvline(logged.mean, color=_QUIET, linewidth=1.0, zorder=0, label="the log's own policies")
    axes.set_xlim(*_frame(evaluation))
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel(f"session reward ({100.0 * evaluation.config.confidence:g} % CI)")
    axes.set_title("Estimates from the log (hollow: not supported)", loc="left", fontweight="bold")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, fontsize=9)
    return figure


def _frame(evaluation: OfflineEvaluation) -> tuple[float, float]:
    """Limits by the ordering estimator's intervals and the log's own value."""
    config = evaluation.config
    shown = [f.value for f in evaluation.findings if f.estimator == config.ordering]
    intervals = [value.interval(config.confidence) for value in (evaluation.logged, *shown)]
    ends = np.array([[i.mean, i.low, i.high] for i in intervals]).ravel()
    low, high = ends[np.isfinite(ends)].min(), ends[np.isfinite(ends)].max()
    margin = _MARGIN * ((high - low) or 1.0)
    return low - margin, high + margin


def distribution_figure(evaluation: OfflineEvaluation) -> Figure:
    """The distribution of session reward under each policy with sufficient support."""
    figure = Figure(figsize=(7.0, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for number, (name, distribution) in enumerate(evaluation.distributions.items()):
        axes.step(
            distribution.rewards,
            distribution.cdf,
            where="post",
            color=_INKS[number % len(_INKS)],
            label=f"{name}: median {distribution.quantile(0.5):.1f}",
        )
    rewards = np.concatenate([d.rewards for d in evaluation.distributions.values()])
    axes.set_xlim(rewards.min(), np.quantile(rewards, 0.995))
    axes.set_xlabel("session reward")
    axes.set_ylabel("cumulative fraction of sessions")
    axes.legend(frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure
