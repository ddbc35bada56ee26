"""Figures of a comparison."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mtf_rl.agents import load_policy
from mtf_rl.agents.search.loop import pareto_front
from mtf_rl.agents.search.study import Record, read_records
from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.protocols import GROUND_TRUTH, SIMULATOR
from mtf_rl.data import UserGroup
from mtf_rl.evaluation import Interval
from mtf_rl.evaluation.over_seeds import mean_over_seeds
from mtf_rl.experiments.answer import reference_words
from mtf_rl.experiments.comparison.comparing import Comparison, policy_folder
from mtf_rl.experiments.comparison.contestants import CONTESTANTS, STATIC
from mtf_rl.experiments.comparison.numbers import (
    against,
    exploits,
    ordered,
    rank_correlation,
    rewards_by_budget,
    rows_of,
    seesaw_rows,
)
from mtf_rl.experiments.comparison.weights import WeightsAlong, terciles, weights_along
from mtf_rl.experiments.comparison.work import SESSION, Stage
from mtf_rl.experiments.run_evaluation import FINAL_SEED

__all__ = [
    "budget_figure",
    "colours_of",
    "curves_of",
    "differences_figure",
    "front_figure",
    "gap_figure",
    "objectives_of",
    "pictures_of",
    "seesaw_figure",
    "spread_labels",
    "weights_figure",
]

_INK, _QUIET, _FAINT = "#1f2933", "#868e96", "#ced4da"
_SEARCH, _WARNING = "#d9480f", "#c92a2a"
_LEARNERS = ("#0b7285", "#5f3dc4", "#2b8a3e")

KIND_COLUMN = "profile/log_follow_user_num"
KINDS = ("follows few", "follows some", "follows many")
FRONT_OF = "nsga2"


@dataclass(frozen=True)
class BudgetCurve:
    """A contestant's mean reward by budget."""

    name: str
    requests: tuple[int, ...]
    intervals: tuple[Interval, ...]


def pictures_of(comparison: Comparison) -> dict[str, Figure]:
    """All figures with results, by name."""
    makers: dict[str, Callable[[Comparison], Figure | None]] = {
        "budget": _budget,
        "differences": differences_figure,
        "gap": _gap,
        "weights": _weights,
        "front": _front,
        "seesaw": _seesaw,
    }
    made = {name: make(comparison) for name, make in makers.items()}
    return {name: figure for name, figure in made.items() if figure is not None}


def _budget(comparison: Comparison) -> Figure | None:
    evaluator = comparison.results.evaluators()[0]
    return budget_figure(comparison) if curves_of(comparison, evaluator) else None


def _gap(comparison: Comparison) -> Figure | None:
    known = {SIMULATOR, GROUND_TRUTH} <= set(comparison.results.evaluators())
    return gap_figure(comparison) if known else None


def _seesaw(comparison: Comparison) -> Figure | None:
    trained = comparison.results.names(track="watch_time")
    return seesaw_figure(comparison) if trained and seesaw_rows(comparison) else None


def _weights(comparison: Comparison) -> Figure | None:
    """None if the policy is missing, or the profiles lack the number of followed authors."""
    folder = policy_folder(comparison.config, comparison.learner, 0)
    if not (folder / "policy.json").exists():
        return None
    dynamics = Stage(comparison.config.run).dynamics(SESSION, UserGroup.FINAL, SIMULATOR)
    if KIND_COLUMN not in dynamics.layout.profile:
        return None
    sessions = dynamics.sessions
    column = sessions.profiles.values[:, dynamics.layout.profile.index(KIND_COLUMN)]
    kinds = np.zeros(len(column), dtype=np.int64)
    kinds[sessions.users] = terciles(column[sessions.users])
    along = weights_along(
        dynamics,
        load_policy(folder).policy,
        kinds,
        seed=FINAL_SEED,
        episodes=np.arange(comparison.config.sessions),
    )
    return weights_figure(along, comparison.learner, sessions.formula.parameter_names)


def _front(comparison: Comparison) -> Figure | None:
    path = policy_folder(comparison.config, FRONT_OF, 0) / "trials.db"
    if not path.exists():
        return None
    return front_figure(objectives_of(read_records(path)))


def objectives_of(records: Sequence[Record]) -> FloatArray:
    """Watch minutes and interaction worth per session, (trials, 2), on common random numbers.

    A trial can have fewer blocks of sessions than the first one. The values are therefore the
    paired difference from the first trial plus the first trial's mean over all its sessions.
    """
    first = records[0].outcomes[:, 1:]  # (sessions, 2)
    values = []
    for record in records:
        common = min(len(record.outcomes), len(first))
        difference = record.outcomes[:common, 1:] - first[:common]
        values.append(difference.mean(axis=0) + first.mean(axis=0))
    return np.stack(values)


def curves_of(comparison: Comparison, evaluator: str) -> list[BudgetCurve]:
    """Contestants with results for every fraction of the budget, the best first."""
    config = comparison.config
    requests = tuple(
        int(fraction * config.requests) for fraction in (*sorted(config.fractions), 1.0)
    )
    return [
        BudgetCurve(name, requests, tuple(mean_over_seeds(row) for row in rewards))
        for name, rewards in rewards_by_budget(comparison, evaluator).items()
    ]


def budget_figure(comparison: Comparison) -> Figure:
    """Session reward against requests, one panel per evaluator, headline contestants in colour.

    Bands are 95 % t-intervals over seeds, for headline contestants only. Static contestants, which
    are not trained, are dashed.
    """
    evaluators = comparison.results.evaluators()
    figure, panels = _panels(len(evaluators), width=7.2, height=6.0)
    colours = colours_of(comparison)
    for axes, evaluator in zip(panels, evaluators, strict=True):
        curves = curves_of(comparison, evaluator)
        for curve in curves:
            _draw_curve(axes, curve, colours.get(curve.name))
        ends = {curve.name: curve.intervals[-1].mean for curve in curves}
        last = curves[0].requests[-1]
        for name in ordered(comparison, evaluator):
            if CONTESTANTS[name].kind == STATIC:
                ends[name] = comparison.common.mean(name, "reward", evaluator)
                positions = [curves[0].requests[0], last]
                axes.plot(positions, [ends[name]] * 2, "--", color=_INK, linewidth=1.0)
        drawn = [interval.mean for curve in curves for interval in curve.intervals]
        _frame_values(axes, [*drawn, *ends.values()])
        _label_ends(axes, ends, last, colours)
        axes.set_xscale("log")
        axes.set_xticks(curves[0].requests, [_thousands(value) for value in curves[0].requests])
        axes.minorticks_off()
        axes.set_xlabel("simulated requests")
        axes.set_ylabel("session reward (bands: 95 % CI over seeds)")
        axes.set_title(_evaluator(evaluator), loc="left", fontweight="bold")
    return figure


def _draw_curve(axes: Axes, curve: BudgetCurve, colour: str | None) -> None:
    means = [interval.mean for interval in curve.intervals]
    if colour is None:
        axes.plot(curve.requests, means, color=_FAINT, linewidth=1.2, zorder=1)
        return
    limits = np.array([[interval.low, interval.high] for interval in curve.intervals])
    limits[~np.isfinite(limits)] = np.nan
    axes.fill_between(curve.requests, limits[:, 0], limits[:, 1], color=colour, alpha=0.13, lw=0)
    axes.plot(curve.requests, means, "o-", color=colour, linewidth=2.2, markersize=5, zorder=3)


def differences_figure(comparison: Comparison) -> Figure:
    """Each contestant's session reward minus the headline search's, paired by seed.

    Each evaluator has a panel. The order is that of the deciding evaluator.
    """
    evaluators = comparison.results.evaluators()
    names = [
        name for name in ordered(comparison, comparison.evaluator) if name != comparison.search
    ]
    figure, panels = _panels(len(evaluators), width=5.6, height=1.4 + 0.27 * len(names))
    colours = colours_of(comparison)
    for column, (axes, evaluator) in enumerate(zip(panels, evaluators, strict=True)):
        deltas = [against(comparison, name, comparison.search, evaluator) for name in names]
        edge = _edge(deltas)
        for position, (name, delta) in enumerate(zip(names[::-1], deltas[::-1], strict=True)):
            colour = colours.get(name, _QUIET)
            low, high = np.clip([delta.low, delta.high], -edge, edge)
            axes.plot([low, high], [position, position], color=colour, linewidth=2.5)
            axes.plot(delta.mean, position, "o", color=colour, markersize=6)
        axes.axvline(0.0, color=_INK, linewidth=1.0, zorder=0)
        axes.set_xlim(-edge, edge)
        axes.set_ylim(-0.7, len(names) - 0.3)
        axes.set_yticks(range(len(names)), names[::-1] if column == 0 else [""] * len(names))
        for text, name in zip(axes.get_yticklabels(), names[::-1], strict=True):
            text.set_color(colours.get(name, _INK))
            text.set_fontweight("bold" if name in colours else "normal")
        cut = any(max(-delta.low, delta.high) > edge for delta in deltas)
        interval = "95 % CI, cut at the edge" if cut else "95 % CI"
        axes.set_xlabel(f"session reward over {comparison.search} ({interval})")
        axes.set_title(_evaluator(evaluator), loc="left", fontweight="bold")
    return figure


def _edge(intervals: Sequence[Interval]) -> float:
    """Half the width of a panel; it is limited, because few seeds give very wide intervals."""
    means = max(abs(interval.mean) for interval in intervals)
    ends = [max(abs(interval.low), abs(interval.high)) for interval in intervals]
    widest = max(means, *(end for end in ends if np.isfinite(end)), 0.0)
    return min(1.08 * widest, 2.5 * means) or 1.0


def gap_figure(comparison: Comparison) -> Figure:
    """Session reward in the simulator against the ground truth; exploiting policies are red."""
    results = comparison.common
    names = ordered(comparison, GROUND_TRUTH)
    simulated, true = (
        {name: results.mean(name, "reward", evaluator) for name in names}
        for evaluator in (SIMULATOR, GROUND_TRUTH)
    )
    rank = rank_correlation(list(simulated.values()), list(true.values()))
    exploiting = [name for name in names if exploits(comparison, name)]
    colours = {**colours_of(comparison), **dict.fromkeys(exploiting, _WARNING)}
    figure, (axes,) = _panels(1, width=8.2, height=6.4)
    for name in names:
        mark = "X" if name in exploiting else "o"
        axes.plot(simulated[name], true[name], mark, color=colours.get(name, _QUIET), markersize=8)
    _frame_values(axes, list(true.values()))
    right = max(simulated.values()) + 0.06 * (np.ptp(list(simulated.values())) or 1.0)
    labels = {
        name: f"{name}  (exploits the simulator)" if name in exploiting else name for name in names
    }
    _label_ends(axes, true, right, colours, labels=labels, starts=simulated)
    axes.set_xlabel("session reward in the simulator")
    axes.set_ylabel("session reward in the ground truth")
    axes.set_title(
        f"Rank correlation with the ground truth {rank:.2f}, {len(names)} policies",
        loc="left",
        fontweight="bold",
    )
    return figure


def weights_figure(along: WeightsAlong, learner: str, parameters: Sequence[str]) -> Figure:
    """Mean weights by request of a session: a panel per parameter, a line per kind of user.

    Requests that fewer than 10 % of the sessions of a kind reach are omitted.
    """
    columns = min(4, len(parameters))
    lines = -(-len(parameters) // columns)
    figure = Figure(figsize=(3.1 * columns, 0.8 + 2.4 * lines), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(lines, columns, squeeze=False, sharex=True).ravel()
    for axes, (column, name) in zip(panels, enumerate(parameters), strict=False):
        for kind, counts in enumerate(along.counts):
            shown = (counts > 0) & (counts >= 0.1 * counts[0])
            requests = np.flatnonzero(shown) + 1
            means = along.means[kind, shown, column]
            label = f"{KINDS[kind]} ({counts[0]:,} sessions)"
            axes.plot(requests, means, color=_LEARNERS[kind], linewidth=1.8, label=label)
        axes.set_title(name, loc="left", fontsize=10)
        _bare(axes)
    for axes in panels[len(parameters) :]:
        axes.set_visible(False)
    for axes in panels[max(0, len(parameters) - columns) : len(parameters)]:
        axes.set_xlabel("request of the session")
        axes.tick_params(labelbottom=True)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(KINDS), frameon=False)
    figure.suptitle(
        f"Mean fusion weights of {learner} along a session, final users in the simulator",
        x=0.01,
        ha="left",
        fontweight="bold",
    )
    return figure


def front_figure(objectives: FloatArray) -> Figure:
    """Trials of a two-objective search, (trials, 2): watch minutes and interaction worth."""
    is_front = pareto_front(objectives)
    front = objectives[is_front][np.argsort(objectives[is_front, 0], kind="stable")]
    figure, (axes,) = _panels(1, width=7.0, height=5.0)
    dominated = objectives[~is_front]
    axes.plot(
        dominated[:, 0],
        dominated[:, 1],
        "o",
        color=_FAINT,
        markersize=5,
        label=f"{len(dominated)} dominated trials",
    )
    axes.plot(
        front[:, 0],
        front[:, 1],
        "o-",
        color=_LEARNERS[0],
        drawstyle="steps-pre",
        label=f"Pareto front, {len(front)} trials",
    )
    axes.set_xlabel("watch minutes per session")
    axes.set_ylabel("interaction worth per session")
    axes.legend(frameon=False)
    axes.set_title(f"Trials of {FRONT_OF} (seed 0, simulator)", loc="left", fontweight="bold")
    return figure


def seesaw_figure(comparison: Comparison) -> Figure:
    """Change of every metric relative to the reference; blue is better, red is worse."""
    rows = seesaw_rows(comparison)
    changes = np.array([[100.0 * metric.mean for metric in row.changes.all[1:]] for row in rows])
    metrics = rows_of(comparison, comparison.evaluator)[0].metrics
    benefits = changes * metrics.signs[1:]  # (rows, metrics), above 0 if better
    figure, (axes,) = _panels(1, width=10.5, height=1.6 + 0.5 * len(rows))
    finite = np.abs(benefits[np.isfinite(benefits)])
    bound = min(max(finite.max(initial=1.0), 1.0), 60.0)
    image = axes.imshow(benefits, cmap="RdBu", vmin=-bound, vmax=bound, aspect="auto")
    for (line, column), change in np.ndenumerate(changes):
        ink = "white" if abs(change) > 0.6 * bound else _INK
        text = f"{change:+.1f} %" if np.isfinite(change) else "n/a"
        axes.text(column, line, text, ha="center", va="center", color=ink, fontsize=9)
    axes.set_xticks(range(changes.shape[1]), metrics.names[1:])
    axes.set_yticks(range(len(rows)), [f"{row.policy} for {row.track}" for row in rows])
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    figure.colorbar(image, ax=axes, label="% better", shrink=0.9, extend="both")
    axes.set_title(
        f"Seesaw: change against {reference_words(comparison.reference)}."
        f" {_evaluator(comparison.evaluator)}",
        loc="left",
        fontweight="bold",
    )
    return figure


def spread_labels(values: FloatArray, gap: float) -> FloatArray:
    """Positions of labels, (labels,), in the order of the values and at least `gap` apart.

    Labels that would overlap are placed around the mean of their values.
    """
    order = np.argsort(values, kind="stable")
    groups: list[tuple[float, int]] = []  # centre, labels
    for value in values[order]:
        centre, count = float(value), 1
        while groups and centre - groups[-1][0] < gap * (count + groups[-1][1]) / 2.0:
            last_centre, last_count = groups.pop()
            centre = (centre * count + last_centre * last_count) / (count + last_count)
            count += last_count
        groups.append((centre, count))
    in_order = [c + gap * (np.arange(n) - (n - 1) / 2.0) for c, n in groups]
    positions = np.empty(len(values))
    positions[order] = np.concatenate(in_order) if in_order else []
    return positions


def _label_ends(
    axes: Axes,
    ends: Mapping[str, float],
    right: float,
    colours: Mapping[str, str],
    *,
    labels: Mapping[str, str] | None = None,
    starts: Mapping[str, float] | None = None,
) -> None:
    """Write names to the right of the panel, each with a thin line to its point."""
    low, high = axes.get_ylim()
    heights = np.array(list(ends.values()))
    positions = spread_labels(heights, 0.032 * (high - low))
    for (name, height), position in zip(ends.items(), positions, strict=True):
        colour = colours.get(name, _QUIET)
        axes.annotate(
            (labels or {}).get(name, name),
            xy=((starts or {}).get(name, right), height),
            xytext=(1.04, (position - low) / (high - low)),
            textcoords="axes fraction",
            va="center",
            fontsize=8.5,
            color=colour,
            fontweight="bold" if name in colours else "normal",
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "linewidth": 0.5,
                "relpos": (0.0, 0.5),
                "shrinkA": 1.0,
            },
            annotation_clip=False,
        )


def _panels(count: int, *, width: float, height: float) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width * count, height), layout="constrained")
    FigureCanvasAgg(figure)
    panels = list(figure.subplots(1, count, squeeze=False).ravel())
    for axes in panels:
        _bare(axes)
    return figure, panels


def _bare(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _frame_values(axes: Axes, values: Sequence[float]) -> None:
    """Set the limits of the y axis by means; wide intervals are cut."""
    margin = 0.12 * ((max(values) - min(values)) or 1.0)
    axes.set_ylim(min(values) - margin, max(values) + margin)


def colours_of(comparison: Comparison) -> dict[str, str]:
    """Colours of the headline contestants."""
    inks = {name: _LEARNERS[i % len(_LEARNERS)] for i, name in enumerate(comparison.learners)}
    return {**inks, comparison.search: _SEARCH}


def _evaluator(evaluator: str) -> str:
    return f"Evaluator: {evaluator.replace('_', ' ')}"


def _thousands(requests: int) -> str:
    return f"{requests / 1000:g}k" if requests >= 1000 else str(requests)
