"""A picture of the synthetic world's users, sessions and rates beside KuaiRand's public figures.

    python -m benchmarks.world_picture

Rolls the logging rankers through the default world and draws docs/images/world.png.
"""

from dataclasses import dataclass, field
from pathlib import Path

import matplotlib as mpl
import numpy as np
import tyro
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.user_models import World, WorldConfig
from mtf_rl.user_models.world.calibration import CalibrationRow, calibrate
from mtf_rl.user_models.world.rankers import LOGGING_RANKERS
from mtf_rl.user_models.world.simulate_logs import LoggedRows, roll
from mtf_rl.user_models.world.tally import tally

WORLD_COLOUR, TARGET_COLOUR, RANDOM_COLOUR = "#2a6f97", "#222222", "#d1495b"
SMALLEST_LIKE_RATE = 1e-4


@dataclass(frozen=True)
class Settings:
    """What to draw."""

    world: WorldConfig = field(default_factory=WorldConfig)
    """The world."""
    out: Path = Path("docs/images/world.png")
    """The picture."""


def draw(world: World) -> Figure:
    """Six panels: two of users, two of sessions, one of play times, one of rates."""
    config = world.config
    rows, ends = roll(world, np.arange(config.users), config.days, LOGGING_RANKERS)
    targets = calibrate(tally(rows, ends, users=config.users, videos=config.videos))
    figure = Figure(figsize=(12.0, 7.0), layout="constrained")
    axes = figure.subplots(2, 3)
    _draw_clicks(axes[0, 0], rows, config.users)
    _draw_likes(axes[0, 1], rows, config.users)
    _draw_plays(axes[0, 2], rows, targets)
    _draw_depths(axes[1, 0], rows)
    _draw_gaps(axes[1, 1], rows)
    _draw_rates(axes[1, 2], targets)
    return figure


def _user_means(rows: LoggedRows, task: int, users: int, *, feed_only: bool) -> FloatArray:
    """Each active user's mean true probability of a task over the standard policy's rows."""
    chosen = ~rows.randomised & ((rows.tabs == 1) | (not feed_only))
    count = np.bincount(rows.users[chosen], minlength=users)
    total = np.bincount(rows.users[chosen], rows.truth[chosen, task], minlength=users)
    return np.asarray(total[count > 0] / count[count > 0])


def _draw_clicks(axes: Axes, rows: LoggedRows, users: int) -> None:
    rates = _user_means(rows, 0, users, feed_only=False)
    axes.hist(rates, bins=40, range=(0, 1), density=True, color=WORLD_COLOUR, alpha=0.6)
    grid = np.linspace(0.001, 0.999, 400)
    axes.plot(grid, stats.beta(3.0, 3.4).pdf(grid), color=TARGET_COLOUR)
    axes.set(title="Users: click rate", xlabel="mean true probability", ylabel="density")
    axes.set_ylim(0.0, 2.5)
    axes.legend(["KuaiRand-27K: beta(3.0, 3.4)", "world"], frameon=False, loc="upper left")


def _draw_likes(axes: Axes, rows: LoggedRows, users: int) -> None:
    rates = np.sort(_user_means(rows, 2, users, feed_only=True)).clip(SMALLEST_LIKE_RATE)
    axes.plot(rates, np.arange(1, len(rates) + 1) / len(rates), color=WORLD_COLOUR)
    grid = np.geomspace(SMALLEST_LIKE_RATE, 1.0, 400)
    axes.plot(grid, stats.beta(0.10, 5.0).cdf(grid), color=TARGET_COLOUR)
    axes.set(xscale="log", title="Users: a few give most likes", ylabel="fraction of users")
    axes.set_xlabel("like rate in the feed, at most")
    axes.legend(["world", "KuaiRand-Pure: beta(0.10, 5.0)"], frameon=False)


def _draw_plays(axes: Axes, rows: LoggedRows, targets: tuple[CalibrationRow, ...]) -> None:
    feed = ~rows.randomised & (rows.tabs == 1) & (rows.play_ms > 0)
    edges = np.geomspace(0.3, 600.0, 90).tolist()
    for clicked, colour, name in ((True, WORLD_COLOUR, "click"), (False, RANDOM_COLOUR, "none")):
        seconds = rows.play_ms[feed & ((rows.feedback[:, 0] > 0) == clicked)] / 1000.0
        axes.hist(seconds, bins=edges, color=colour, alpha=0.5, label=f"world, {name}")
        marks = [
            row.target.value
            for row in targets
            if row.target.name.startswith("feed/play_p") and row.target.name.endswith(name)
        ]
        axes.plot(marks, np.zeros(len(marks)), "|", color=colour, markersize=22, clip_on=False)
    axes.set(xscale="log", title="Play time in the feed", xlabel="seconds", yticks=[])
    axes.legend(title="ticks: KuaiRand's p25 to p90", frameon=False)


def _firsts(rows: LoggedRows, numbers: IntArray) -> IntArray:
    """Where a user's next request or session begins."""
    changes = (np.diff(rows.users) != 0) | (np.diff(numbers) != 0)
    return np.flatnonzero(np.concatenate([[True], changes]))


def _draw_depths(axes: Axes, rows: LoggedRows) -> None:
    requests, sessions = _firsts(rows, rows.requests), _firsts(rows, rows.sessions)
    depths = np.diff(np.append(np.searchsorted(requests, sessions), len(requests)))
    longest = 80
    edges = (np.arange(longest + 2) - 0.5).tolist()
    axes.hist(depths, bins=edges, density=True, color=WORLD_COLOUR, alpha=0.6)
    grid = np.arange(1, longest)
    axes.plot(grid, stats.geom(1 / 13.55).pmf(grid), color=TARGET_COLOUR)
    axes.set(yscale="log", title=f"Sessions: {depths.mean():.1f} requests on average")
    axes.set(xlabel="requests", ylabel="fraction of sessions", xlim=(0, longest))
    axes.legend(["geometric, KuaiRand-27K's mean 13.55", "world"], frameon=False)


def _draw_gaps(axes: Axes, rows: LoggedRows) -> None:
    requests = _firsts(rows, rows.requests)
    times, opens = rows.times_ms[requests], np.isin(requests, _firsts(rows, rows.sessions))
    gaps = np.diff(times)[~opens[1:]] / 1000.0
    edges = np.geomspace(1.0, 1800.0, 80).tolist()
    axes.hist(gaps, bins=edges, color=WORLD_COLOUR, alpha=0.6)
    axes.axvline(71.0, color=TARGET_COLOUR)
    axes.set(xscale="log", title="Gaps between the requests of a session", xlabel="seconds")
    axes.set_yticks([])
    axes.legend(["KuaiRand-27K: median 71 s", "world"], frameon=False)


def _draw_rates(axes: Axes, targets: tuple[CalibrationRow, ...]) -> None:
    rows = {row.target.name: row for row in targets}
    for policy, colour in (("standard", WORLD_COLOUR), ("random", RANDOM_COLOUR)):
        names = [task.name for task in KUAIRAND_TASKS.feedbacks if f"{policy}/{task.name}" in rows]
        found = [rows[f"{policy}/{name}"] for name in names]
        target = np.array([row.target.value for row in found])
        spread = [
            target - [row.target.low for row in found],
            [row.target.high for row in found] - target,
        ]
        axes.errorbar(target, names, xerr=spread, fmt="none", color=colour, alpha=0.5, capsize=4)
        produced = [row.produced for row in found]
        axes.plot(produced, names, "o", color=colour, label=f"world, {policy} policy")
    axes.set(xscale="log", title="Rates; bars: KuaiRand's with tolerance", xlabel="rate")
    axes.invert_yaxis()
    axes.legend(frameon=False, loc="lower right")


def main() -> None:
    """Draw and save."""
    settings = tyro.cli(Settings, description=__doc__)
    mpl.rcParams["axes.spines.top"] = mpl.rcParams["axes.spines.right"] = False
    settings.out.parent.mkdir(parents=True, exist_ok=True)
    draw(World(settings.world)).savefig(settings.out, dpi=110)


if __name__ == "__main__":
    main()
