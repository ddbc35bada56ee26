"""Comparisons, bars, and the page that shows them."""

import json
from dataclasses import replace

import pytest

from mtf_rl.evaluation import Interval
from mtf_rl.evaluation.fidelity import (
    RATES,
    REPLAY,
    ROLLOUT,
    SESSION_LENGTH,
    Discrimination,
    Distance,
    FidelityComparison,
    FidelityReport,
    Measure,
    Suspect,
    check_bars,
    compare_distances,
    compare_measures,
)
from mtf_rl.user_models import FitReport

NAN = float("nan")


def measure(name: str, mean: float, half: float = 0.1) -> Measure:
    return Measure(RATES, name, Interval(mean, mean - half, mean + half))


def verdict(name: str, auc: float) -> Discrimination:
    return Discrimination(
        name, (10, 10), Interval(auc, auc, auc), (Suspect("videos", 0.1, 5.0, 6.0),)
    )


def test_figures_meet_by_name() -> None:
    log = [
        measure("click", 0.4),
        measure("follow", 0.0),
        measure("lonely", 1.0),
        measure("no", NAN),
    ]
    replay = [measure("follow", 0.1), measure("click", 0.5), measure("no", 1.0)]
    click, follow = compare_measures(log, {REPLAY: replay, ROLLOUT: [measure("click", 0.3)]})
    assert (click.name, click.others) == ("click", {REPLAY: 0.5, ROLLOUT: 0.3})
    assert click.difference(REPLAY) == pytest.approx(0.25)
    assert follow.others == {REPLAY: 0.1}
    assert follow.difference(REPLAY) != follow.difference(REPLAY)  # the log has none: NaN


def test_bars() -> None:
    comparisons = [
        FidelityComparison(
            RATES, "click", Interval(0.40, 0.39, 0.41), {REPLAY: 0.43, ROLLOUT: 0.45}
        ),
        FidelityComparison(RATES, "hate", Interval(0.0010, 0.0008, 0.0012), {REPLAY: 0.0012}),
        FidelityComparison("Spread", "click", Interval(0.4, 0.39, 0.41), {REPLAY: 0.9}),
    ]
    distances = compare_distances(
        {
            REPLAY: [Distance(SESSION_LENGTH, 0.06, 1.0)],
            ROLLOUT: [Distance(SESSION_LENGTH, 0.04, 1.0)],
        }
    )
    verdicts = {REPLAY: verdict(REPLAY, 0.7), ROLLOUT: verdict(ROLLOUT, 0.6)}
    bars = check_bars(comparisons, distances, verdicts, [verdict("control", 0.95)])
    assert [(bar.source, bar.met) for bar in bars] == [
        (REPLAY, True),  # click, 7.5 % off
        (REPLAY, True),  # hate, at the limit of the log's interval
        (ROLLOUT, False),  # click, 12.5 % off
        (REPLAY, False),  # lengths
        (ROLLOUT, True),
        (ROLLOUT, True),  # the discriminator: rollouts, where there are some
        ("control", True),
    ]
    alone = check_bars(comparisons, [], {REPLAY: verdict(REPLAY, 0.7)}, [verdict("control", 0.8)])
    assert [(bar.source, bar.met) for bar in alone[-2:]] == [(REPLAY, False), ("control", False)]


@pytest.fixture(name="report")
def small_report() -> FidelityReport:
    comparisons = (
        FidelityComparison(RATES, "click", Interval(0.40, 0.39, 0.41), {REPLAY: 0.43}),
        FidelityComparison(
            RATES, "hate", Interval(NAN, -float("inf"), float("inf")), {REPLAY: 0.0012}
        ),
    )
    return FidelityReport(
        head=("Held out: a day.",),
        bars=(),
        comparisons=comparisons,
        distances=tuple(compare_distances({REPLAY: [Distance("play", 0.1, 2.0)]})),
        verdicts=(verdict(REPLAY, 0.7),),
        reliabilities=(),
        fit=FitReport(()),
        notes=("The log ends.",),
        curves=(),
    )


def test_a_page_for_people(report: FidelityReport) -> None:
    page = report.to_markdown()
    assert "| click | 0.4 | 0.39 to 0.41 | 0.43 | +7.5% * |" in page
    assert "| hate | - | - | 0.00120 |  |" in page
    assert "| play | 0.100 | 2 |" in page
    assert "| videos | replay | 0.100 | 5 | 6 |" in page
    assert "- The log ends." in page
    assert ROLLOUT not in report.sources


def test_records_and_json(report: FidelityReport) -> None:
    click = report.records()[0]
    assert click == {
        "group": RATES, "name": "click", "log": 0.4, "log_low": 0.39, "log_high": 0.41,
        "replay": 0.43,
    }  # fmt: skip
    document = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert document["comparisons"][1]["log"] == {"mean": None, "low": None, "high": None}
    assert replace(report, notes=()).to_json()["notes"] == []
