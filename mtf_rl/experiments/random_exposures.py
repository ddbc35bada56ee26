"""A run's static weights, replayed on the videos that its log showed at random."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mtf_rl.agents import ConstantPolicy
from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray, select_rows
from mtf_rl.core.errors import DataError
from mtf_rl.core.history import start_history
from mtf_rl.core.slates import Response, Slate
from mtf_rl.core.tasks import TaskSet
from mtf_rl.data import FeatureEncoder, ScoreTable
from mtf_rl.data.impressions import Impressions
from mtf_rl.envs import SessionConfig
from mtf_rl.envs.rewards import RewardInputs, reward_named
from mtf_rl.evaluation import Interval
from mtf_rl.evaluation.off_policy.exposures import (
    RandomExposures,
    TopRanked,
    mtf_gauc,
    ndcg,
    top_ranked,
)
from mtf_rl.experiments.assembly import Assembly
from mtf_rl.experiments.command_line import settings_of_run
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.held_out import HeldOut, read_held_out
from mtf_rl.experiments.run_evaluation import load_entries
from mtf_rl.experiments.run_folder import (
    RunFolder,
    check_free,
    free_folder,
    open_run_folder,
    write_table,
)
from mtf_rl.experiments.tables import Column, Table, show
from mtf_rl.scorers import Scorer, labelled_rows
from mtf_rl.scorers.metrics import grouped_auc

__all__ = ["ExposureReplay", "replay_run"]

NDCG_AT = 3
CLAIM = (
    "Each row is the reward of single videos shown at random on days without fitted rows: those"
    " that the weights rank first among a user's random videos of a day. It contains no effect on"
    " the rest of a session, and no videos that were not shown."
)


@dataclass(frozen=True)
class ExposureReplay:
    """Results of some weights on random exposures."""

    policy: str
    top: TopRanked
    """Reward of the first-ranked video of a user's day."""
    mtf_gauc: Interval
    """Of long views, weighed by reward."""
    ndcg: Interval
    """By reward, of the first three."""
    gauc: Mapping[str, float]
    """Of the fused score, by feedback."""


def replay_run(
    path: Path, terminal: Terminal, *, reward: str | None = None, out: Path | None = None
) -> list[ExposureReplay]:
    """Replay every static policy of a run, print the tables and write them.

    Args:
        path: the run's folder.
        terminal: prints progress and the result.
        reward: another reward than the run's.
        out: folder to write, new or empty; by default a new one in the run's `evaluations/`.

    Raises:
        DataError: if the log shows no video at random on its test days, naming the file that would.
        MtfRlError: if the run, its scorer or its log cannot be read.
    """
    if out is not None:
        check_free(out, "--out")
    run = open_run_folder(path)
    settings = settings_of_run(run, reward).run
    assembly = Assembly.load(run.data, run.simulator)
    held = read_held_out(run, settings.log, None, assembly)
    rows = _random_rows(held, settings.log.data or run.data / "logs")
    shown = select_rows(held.dataset.impressions, rows)
    predictions, covered = _predictions(run, held, rows, assembly.scores)
    shown, predictions = select_rows(shown, covered), predictions[covered]
    terminal.stage(
        f"{len(covered):,} random exposures of the test days"
        + (f", {int(covered.sum()):,} of them with predictions" if not covered.all() else "")
    )
    exposures = RandomExposures(shown.users, shown.days, _worth(shown, settings.session, assembly))
    found, acting = [], []
    for name, entry in load_entries(run.policies).items():
        if not isinstance(entry.policy, ConstantPolicy):
            acting.append(name)
            continue
        scores = _fused(
            predictions, exposures.groups, entry.policy, settings.session, assembly.scores
        )
        found.append(_replay(name, exposures, scores, shown, held.dataset.tasks))
    folder = out or free_folder(run.path / "evaluations" / "random-exposures")
    _report(found, acting, folder, terminal)
    return found


def _random_rows(held: HeldOut, folder: Path) -> IntArray:
    """Numbers of the rows.

    Raises:
        DataError: if there is none.
    """
    impressions = held.dataset.impressions
    rows = np.flatnonzero(impressions.randomised & (impressions.times_ms >= held.start_ms))
    if len(rows) == 0:
        there = int(impressions.randomised.sum())
        raise DataError(
            f"{folder} holds {there:,} random exposures, none on the test days: expected a file"
            " log_random_*.csv (KuaiRand's log of videos shown at random) that reaches into them."
            " Fetch it, put it there, and train again"
        )
    return rows


def _predictions(
    run: RunFolder, held: HeldOut, rows: IntArray, table: ScoreTable
) -> tuple[FloatArray, BoolArray]:
    """Predictions (rows, tasks), and where there are any, (rows,) bool.

    A scorer predicts every row, at its hour and tab; given predictions cover pools only.
    """
    if (run.scorer / "card.json").exists():
        scorer = Scorer.load(run.scorer)
        labelled = labelled_rows(FeatureEncoder.load(run.scorer), held.dataset, rows)
        return scorer.predict(labelled.features), np.ones(len(rows), dtype=np.bool_)
    impressions = held.dataset.impressions
    users = impressions.users[rows]
    positions = table.find(users, impressions.videos[rows])
    covered = positions >= 0
    if not covered.any():
        raise DataError(
            f"none of the {len(rows):,} random exposures shows a video that the run's given"
            " predictions speak of; give predictions for these too"
        )
    return table.scores[users, np.maximum(positions, 0)], covered


def _worth(shown: Impressions, session: SessionConfig, assembly: Assembly) -> FloatArray:
    """The session's reward of each video alone, as a session's first, (rows,)."""
    response = Response(
        feedback=shown.feedback[:, None, :].astype(np.float32),
        watch_seconds=shown.play_seconds[:, None],
    )
    slate = Slate(
        users=shown.users,
        videos=shown.videos[:, None],
        mask=np.ones((len(shown.videos), 1), dtype=np.bool_),
        tabs=shown.tabs,
    )
    catalogue = assembly.catalogue
    tasks = assembly.scores.tasks
    history = start_history(shown.hours.astype(np.float32), catalogue.num_tags, tasks)
    inputs = RewardInputs(response, slate, history, catalogue, tasks)
    return reward_named(session.reward, tasks)(inputs).astype(np.float64)


def _fused(
    predictions: FloatArray,
    groups: IntArray,
    policy: ConstantPolicy,
    session: SessionConfig,
    table: ScoreTable,
) -> FloatArray:
    """The ranking score of each row, (rows,), a group being the candidates of one request.

    Some formulas rank among the candidates, so that groups are fused one by one.
    """
    fusion = session.fusion.on_tasks(table.tasks)
    formula = fusion.make_formula(table.base_rates)
    actions = fusion.make_action_map(formula)
    parameters = actions.to_parameters(policy.action[None])  # (1, action_dim)
    fused = np.empty(len(predictions))
    order = np.argsort(groups, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
        fused[rows] = formula.fuse(formula.prepare(predictions[None, rows]), parameters)[0]
    return fused


def _replay(
    name: str, exposures: RandomExposures, scores: FloatArray, shown: Impressions, tasks: TaskSet
) -> ExposureReplay:
    positions = {name: position for position, name in enumerate(tasks.feedback_names)}
    long_views = _long_views(shown, tasks)
    return ExposureReplay(
        policy=name,
        top=top_ranked(exposures, scores),
        mtf_gauc=mtf_gauc(exposures, scores, long_views),
        ndcg=ndcg(exposures, scores, NDCG_AT),
        gauc={
            task: grouped_auc(scores, shown.feedback[:, position] > 0, shown.users).value
            for task, position in positions.items()
        },
    )


def _long_views(shown: Impressions, tasks: TaskSet) -> FloatArray:
    """What MTF-GAUC ranks by, (rows,): the task `long_view`, or else the one that shows interest.

    Raises:
        DataError: if the log has neither.
    """
    usual = [name for name in ("long_view",) if name in tasks.names]
    interest = [] if tasks.interest is None else [tasks.interest.name]
    if not (usual or interest):
        raise DataError(
            "MTF-GAUC needs a binary task of which more is better, and the log has none:"
            f" its tasks are {', '.join(tasks.names)}"
        )
    column = tasks.feedback_index((*usual, *interest)[0])
    return shown.feedback[:, column].astype(np.float64)


def _report(
    found: list[ExposureReplay], acting: list[str], folder: Path, terminal: Terminal
) -> None:
    measures = Table(
        title="Replay on random exposures, 95 % CI",
        columns=(
            "policy",
            Column("reward, first-ranked", decimals=3),
            Column("over a random order", signed=True, decimals=3, better=1),
            Column("MTF-GAUC", decimals=3),
            Column(f"NDCG@{NDCG_AT}", decimals=3),
        ),
        rows=tuple(
            (one.policy, one.top.value, one.top.lift, one.mtf_gauc, one.ndcg) for one in found
        ),
    )
    tasks = tuple(found[0].gauc) if found else ()
    by_task = Table(
        title="GAUC of the fused score, by feedback",
        columns=("policy", *(Column(task, decimals=3) for task in tasks)),
        rows=tuple((one.policy, *one.gauc.values()) for one in found),
    )
    for table in (measures, by_task):
        show(table, terminal)
    if found:
        top = found[0].top
        terminal.say(
            f"{top.groups:,} days of users with at least two random videos ({top.left_out:,} alone"
            f" are left out); 95 % intervals by user. {CLAIM}"
        )
    if acting:
        terminal.say(f"Not replayed, because they depend on the session: {', '.join(acting)}.")
    write_table(folder / "replay", [_flat(one) for one in found])
    terminal.say(f"Written to {folder}: replay.csv, .json.")


def _flat(one: ExposureReplay) -> dict[str, str | float]:
    row: dict[str, str | float] = {"policy": one.policy}
    parts = (("top", one.top.value), ("lift", one.top.lift), ("mtf_gauc", one.mtf_gauc))
    for name, interval in (*parts, (f"ndcg_{NDCG_AT}", one.ndcg)):
        row |= {name: interval.mean, f"{name}_low": interval.low, f"{name}_high": interval.high}
    return row | {f"gauc_{task}": value for task, value in one.gauc.items()}
