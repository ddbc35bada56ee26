"""The comparison's HTML page, in a browser where there is one, and its TensorBoard events."""

import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from typing_extensions import override

from mtf_rl.experiments.comparison import Comparison, Results
from mtf_rl.experiments.comparison.numbers import exploits, rows_of
from mtf_rl.experiments.comparison.page import html_of
from mtf_rl.experiments.comparison.pictures import pictures_of
from mtf_rl.experiments.comparison.tables import leaderboard_tables
from mtf_rl.experiments.comparison.tensorboard import write_events
from tests.experiments.comparison_examples import EXPLOITER, made_up_comparison

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--virtual-time-budget=20000",
    "--dump-dom",
)
# Click on heads of the first table, and write the order of policies into the title.
CLICKS = """
<script>
const clicked = [];
const table = document.querySelector("table");
const names = () => [...table.tBodies[0].rows].map(row => row.cells[0].textContent).join(",");
for (const head of [2, 2, 0, 0]) {
  table.querySelectorAll("th button")[head].click();
  clicked.push(names());
}
addEventListener("load", () => {
  document.title = clicked.join(";") + "|" + document.querySelectorAll(".js-plotly-plot").length;
});
</script>
"""


@pytest.fixture(scope="module", name="comparison")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return made_up_comparison(tmp_path_factory.mktemp("made_up"))


@pytest.fixture(scope="module", name="page")
def page_of_comparison(comparison: Comparison) -> str:
    return html_of(comparison, pictures_of(comparison))


class Cells(HTMLParser):
    """Collects the cells of tables, and all URLs that a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.fetched: list[str] = []
        self._within = False

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.fetched += [
            value
            for name in ("src", "href")
            if (value := given.get(name)) and not value.startswith("data:")
        ]
        if tag in ("td", "th"):
            self._within = True
            self.cells.append("")

    @override
    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._within = False

    @override
    def handle_data(self, data: str) -> None:
        if self._within:
            self.cells[-1] += data


def test_the_page_holds_the_leaderboard_and_fetches_nothing(
    comparison: Comparison, page: str
) -> None:
    parser = Cells()
    parser.feed(page)
    assert parser.fetched == []
    table = leaderboard_tables(comparison, comparison.evaluator)[0]
    heads = [column.head for column in table.heads]
    expected = [*heads, *(cell for row in table.texts() for cell in row)]
    assert parser.cells[: len(expected)] == expected
    assert f"<b>{comparison.search}</b>" in page


def test_a_single_contestant_makes_a_page(comparison: Comparison) -> None:
    uniform = Results(tuple(comparison.results.of("uniform")))
    single = replace(
        comparison, results=uniform, learners=("uniform",), search="uniform", tuned_once="uniform"
    )
    assert "uniform" in html_of(single, {})


@pytest.mark.external
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here to open the page with")
def test_a_browser_without_a_network_draws_the_charts_and_sorts(
    comparison: Comparison, page: str, tmp_path: Path
) -> None:
    path = tmp_path / "results.html"
    path.write_text(page.replace("</body>", f"{CLICKS}</body>"))
    shown = subprocess.run(
        [str(CHROMIUM), *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", path.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    title = re.search(r"<title>([^<]*)\|(\d+)</title>", shown)
    assert title, shown[:500]
    orders = [order.split(",") for order in title.group(1).split(";")]
    rows = rows_of(comparison, comparison.evaluator)
    values = {row.policy: row.metrics.reward.mean for row in rows}
    ranked = sorted(values.values())
    assert [values[name] for name in orders[0]] == ranked[::-1]
    assert [values[name] for name in orders[1]] == ranked
    assert orders[3] == sorted(values)
    assert orders[2] == orders[3][::-1]
    assert int(title.group(2)) == 3
    assert shown.count('class="main-svg"') >= 3


def test_tensorboard_has_the_figures_and_a_row_for_each_result(
    comparison: Comparison, tmp_path: Path
) -> None:
    few = replace(comparison, results=Results(comparison.results.all[:4]))
    for _ in range(2):  # the second call replaces the files of the first
        write_events(few, {"gap": pictures_of(comparison)["gap"]}, tmp_path / "events")
    folders = sorted({path.parent for path in (tmp_path / "events").rglob("events.*")})
    assert len(folders) == 1 + 4
    top = EventAccumulator(str(tmp_path / "events")).Reload()
    assert top.Tags()["images"] == ["comparison/gap"]
    result = few.results.all[0]
    run = f"{result.track}/{result.contestant}/seed-{result.seed}/{result.fraction:g}"
    accumulator = EventAccumulator(str(tmp_path / "events" / run)).Reload()
    for evaluator, evaluated in result.evaluated.items():
        (event,) = accumulator.Scalars(f"hparams/{evaluator}/session_reward")
        assert event.value == pytest.approx(evaluated.reward)
        assert event.step == result.requests_used


def test_the_page_starts_with_the_run_and_the_answer(comparison: Comparison, page: str) -> None:
    assert comparison.config.run.name in page.split("</title>")[0]
    assert " of session reward over uniform weights" in page.split('<p class="answer">')[1]
    assert "docs/glossary.md" in page
    assert "`" not in re.sub(r"<script.*?</script>", "", page, flags=re.S)
    assert 'class="better"' in page


def test_static_contestants_do_not_exploit_the_simulator(comparison: Comparison) -> None:
    assert exploits(comparison, EXPLOITER)
    assert not exploits(comparison, "reward_weighted")
    assert not exploits(comparison, "uniform")
