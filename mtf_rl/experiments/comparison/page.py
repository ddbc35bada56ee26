"""Writes a comparison as one offline HTML file, with sortable tables and interactive charts."""

import base64
import html
import io
from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure

from mtf_rl.core.protocols import GROUND_TRUTH, SIMULATOR
from mtf_rl.experiments.comparison.comparing import Comparison
from mtf_rl.experiments.comparison.numbers import against, exploits, ordered
from mtf_rl.experiments.comparison.pictures import colours_of, curves_of
from mtf_rl.experiments.comparison.summary import answer_of, summary_of
from mtf_rl.experiments.comparison.tables import tables_of
from mtf_rl.experiments.tables import to_html

__all__ = ["html_of"]

_QUIET, _INK = "#868e96", "#1f2933"

_GLOSSARY = (
    "Session reward: undiscounted sum of a session's rewards. CI: 95 % confidence interval."
    " over X: difference from X on common random numbers. ! marks a value that is significantly"
    " worse than the reference's. Green is significantly better and red is worse; less hate is"
    " green. All terms: docs/glossary.md."
)

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2933; max-width: 1200px; margin: 2rem auto;
       padding: 0 1.5rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin: 2.4rem 0 .4rem; }
p { max-width: 75ch; } p.note { color: #52606d; font-size: .88rem; }
.wide { overflow-x: auto; } img { max-width: 100%; }
table { border-collapse: collapse; font-size: .84rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem .25rem 0; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
th { border-bottom: 2px solid #1f2933; vertical-align: bottom; white-space: normal; }
th button { all: unset; cursor: pointer; font-weight: 600; }
th button:focus-visible { outline: 2px solid #0b7285; }
th[aria-sort=ascending] button::after { content: " \\2191"; }
th[aria-sort=descending] button::after { content: " \\2193"; }
tr:nth-child(even) td { background: #f5f7fa; } td b { color: #0b7285; }
td.better { color: #2b8a3e; } td.worse { color: #c92a2a; } p.answer { font-size: 1.1rem; }
"""

# Text before numbers; cells without a key, such as empty ones, stay last either way.
_SORTING = """
document.querySelectorAll("th button").forEach(button => button.addEventListener("click", () => {
  const head = button.closest("th"), body = head.closest("table").tBodies[0];
  const up = head.getAttribute("aria-sort") === "descending";
  head.closest("tr").querySelectorAll("th").forEach(other => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const key = row => row.cells[head.cellIndex].dataset.key;
  const order = (a, b) => isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b;
  [...body.rows].sort((one, two) => {
    const a = key(one), b = key(two);
    if (a === "" || b === "") return (a === "") - (b === "");
    return up ? order(a, b) : order(b, a);
  }).forEach(row => body.append(row));
}));
"""


def html_of(comparison: Comparison, pictures: Mapping[str, Figure]) -> str:
    """The self-contained page, with styles, scripts and images.

    Args:
        comparison: a comparison with at least one finished contestant.
        pictures: figures of `pictures_of`; those without an interactive chart are embedded.
    """
    config = comparison.config
    charts = _charts(comparison)
    shown = [
        figure.to_html(
            full_html=False,
            include_plotlyjs=position == 0,
            config={"responsive": True},
            div_id=f"chart-{position}",
        )
        for position, figure in enumerate(charts.values())
    ]
    images = [_image(name, picture) for name, picture in pictures.items() if name not in charts]
    title = html.escape(f"Leaderboard of {config.run.name}: {config.requests:,} requests")
    first, *further = (" ".join(sentences) for sentences in answer_of(comparison))
    parts = [
        f"<h1>{title}</h1>",
        f'<p class="note">{datetime.now(UTC):%Y-%m-%d}, run {html.escape(str(config.run))}</p>',
        f'<p class="answer">{html.escape(first)}</p>',
        *(f"<p>{html.escape(text)}</p>" for text in (*further, *summary_of(comparison))),
        f'<p class="note">{html.escape(_GLOSSARY)} Click on a column head to sort by it.</p>',
        *shown,
        *images,
        *(to_html(table) for table in tables_of(comparison)),
    ]
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>\n'
        f"<style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + f"\n<script>{_SORTING}</script></body></html>\n"
    )


def _charts(comparison: Comparison) -> dict[str, go.Figure]:
    charts = {"differences": _differences(comparison)}
    if curves_of(comparison, comparison.evaluator):
        charts["budget"] = _budget(comparison)
    if {SIMULATOR, GROUND_TRUTH} <= set(comparison.results.evaluators()):
        charts["gap"] = _gap(comparison)
    return charts


def _differences(comparison: Comparison) -> go.Figure:
    """Paired differences from the headline search, one set of markers per evaluator."""
    order = ordered(comparison, comparison.evaluator)[::-1]
    names = [name for name in order if name != comparison.search]
    figure = go.Figure()
    for evaluator, colour in zip(
        comparison.results.evaluators(), (_QUIET, "#0b7285"), strict=False
    ):
        intervals = [against(comparison, name, comparison.search, evaluator) for name in names]
        means = np.array([interval.mean for interval in intervals])
        figure.add_scatter(
            x=means,
            y=names,
            mode="markers",
            name=evaluator.replace("_", " "),
            marker={"color": colour, "size": 9},
            error_x={
                "array": np.array([interval.high for interval in intervals]) - means,
                "arrayminus": means - np.array([interval.low for interval in intervals]),
                "color": colour,
            },
        )
    figure.add_vline(0.0, line_color=_INK, line_width=1)
    figure.update_xaxes(title=f"session reward over {comparison.search}, 95 % CIs over seeds")
    return _styled(figure, "Each policy over the headline search", 140 + 22 * len(names))


def _budget(comparison: Comparison) -> go.Figure:
    colours = colours_of(comparison)
    figure = go.Figure()
    for curve in curves_of(comparison, comparison.evaluator):
        figure.add_scatter(
            x=curve.requests,
            y=[interval.mean for interval in curve.intervals],
            name=curve.name,
            mode="lines+markers",
            line={"color": colours.get(curve.name, "#ced4da")},
        )
    figure.update_xaxes(type="log", title="simulated requests")
    figure.update_yaxes(title="session reward")
    evaluator = comparison.evaluator.replace("_", " ")
    return _styled(figure, f"Session reward by budget, evaluator: {evaluator}", 480)


def _gap(comparison: Comparison) -> go.Figure:
    results = comparison.common
    names = ordered(comparison, GROUND_TRUTH)
    figure = go.Figure()
    labels = (("does not exploit the simulator", False), ("exploits the simulator", True))
    for label, exploiting in labels:
        group = [name for name in names if exploits(comparison, name) is exploiting]
        figure.add_scatter(
            x=[results.mean(name, "reward", SIMULATOR) for name in group],
            y=[results.mean(name, "reward", GROUND_TRUTH) for name in group],
            text=group,
            mode="markers+text",
            textposition="middle right",
            name=label,
            marker={"color": "#c92a2a" if exploiting else "#0b7285", "size": 10},
        )
    figure.update_xaxes(title="session reward in the simulator")
    figure.update_yaxes(title="session reward in the ground truth")
    return _styled(figure, "Simulator against ground truth", 620)


def _styled(figure: go.Figure, title: str, height: int) -> go.Figure:
    figure.update_layout(
        title={"text": title, "x": 0.0},
        template="plotly_white",
        height=height,
        margin={"l": 10, "r": 10, "t": 60, "b": 50},
        font={"color": _INK},
    )
    figure.update_yaxes(automargin=True)
    return figure


def _image(name: str, picture: Figure) -> str:
    stream = io.BytesIO()
    picture.savefig(stream, format="png", dpi=110, metadata={"Software": None})
    data = base64.b64encode(stream.getvalue()).decode()
    return f'<p><img alt="{html.escape(name)}" src="data:image/png;base64,{data}"></p>'
