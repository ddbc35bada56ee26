"""Evaluates a run's static weights on the videos that its log showed at random."""

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
from mtf_rl.experiments.answer import say_wrapped
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
    "The reward is that of single videos on held-out days: the videos that the weights rank first"
    " among a user's random videos of a day. It contains no effect on the rest of a session, and no"
    " videos that were not shown."
)


@dataclass(frozen=True)
class ExposureReplay:
    """Results of one static policy on random exposures."""

    policy: str
    top: TopRanked
    """Reward of the first-ranked video of a user's day."""
    mtf_gauc: Interval
    """GAUC of long views, weighted by reward."""
    ndcg: Interval
    """NDCG of the first three, by reward."""
    gauc: Mapping[str, float]
    """GAUC of the fused score, by feedback."""


def replay_run(
    path: Path, terminal: Terminal, *, reward: str | None = None, out: Path | None = None
) -> list[ExposureReplay]:
    """Replay every static policy of a run, print the tables and write them.

    Args:
        path: the run's folder.
        terminal: prints progress and the result.
        reward: reward that replaces the run's.
        out: folder to write, new or empty; by default a new one in the run's `evaluations/`.

    Raises:
        DataError: if the log has no random exposure on its test days.
        MtfRlError: if the run, its scorer or its log cannot be read.
    """
    if out is not None:
        check_free(out, "--out")
    run = open_run_folder(path)
    settings = settings_of_run(run, reward).run
    assembly = Assembly.load(run.data, run.simulator)
    held_out = read_held_out(run, settings.log, None, assembly)
    rows = _random_rows(held_out, settings.log.data or run.data / "logs")
    shown = select_rows(held_out.dataset.impressions, rows)
    predictions, covered = _predictions(run, held_out, rows, assembly.scores)
    shown, predictions = select_rows(shown, covered), predictions[covered]
    terminal.stage(
        f"{len(covered):,} random exposures of the test days"
        + (f", {int(covered.sum()):,} of them with predictions" if not covered.all() else "")
    )
    exposures = RandomExposures(shown.users, shown.days, _worth(shown, settings.session, assembly))
    replays, not_static = [], []
    for name, entry in load_entries(run.policies).items():
        if not isinstance(entry.policy, ConstantPolicy):
            not_static.append(name)
            continue
        scores = _fused(
            predictions, exposures.groups, entry.policy, settings.session, assembly.scores
        )
        replays.append(_replay(name, exposures, scores, shown, held_out.dataset.tasks))
    folder = out or free_folder(run.path / "evaluations" / "random-exposures")
    _report(replays, not_static, folder, terminal)
    return replays


def _random_rows(held_out: HeldOut, folder: Path) -> IntArray:
    """Row numbers of the random exposures on test days.

    Raises:
        DataError: if there is none.
    """
    impressions = held_out.dataset.impressions
    rows = np.flatnonzero(impressions.randomised & (impressions.times_ms >= held_out.start_ms))
    if len(rows) == 0:
        total = int(impressions.randomised.sum())
        raise DataError(
            f"{folder} holds {total:,} random exposures, none on the test days. Expected a file"
            " log_random_*.csv (KuaiRand's log of videos shown at random) that covers the test"
            " days. Add it to the folder and train again"
        )
    return rows


def _predictions(
    run: RunFolder, held_out: HeldOut, rows: IntArray, table: ScoreTable
) -> tuple[FloatArray, BoolArray]:
    """Predictions, (rows, tasks), and which rows have one, (rows,) bool.

    A scorer predicts every row at its hour and tab. Given predictions cover pools only.
    """
    if (run.scorer / "card.json").exists():
        scorer = Scorer.load(run.scorer)
        labelled = labelled_rows(FeatureEncoder.load(run.scorer), held_out.dataset, rows)
        return scorer.predict(labelled.features), np.ones(len(rows), dtype=np.bool_)
    impressions = held_out.dataset.impressions
    users = impressions.users[rows]
    positions = table.find(users, impressions.videos[rows])
    covered = positions >= 0
    if not covered.any():
        raise DataError(
            f"the run's given predictions cover none of the {len(rows):,} random exposures; add"
            " predictions for their users and videos"
        )
    return table.scores[users, np.maximum(positions, 0)], covered


def _worth(shown: Impressions, session: SessionConfig, assembly: Assembly) -> FloatArray:
    """Reward of each video as the only one of a session, (rows,)."""
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
    """Fused score of each row, (rows,).

    A group is one request. Groups are fused one by one, because some formulas use the ranks
    within a request.
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
    """Labels of MTF-GAUC, (rows,): the task `long_view`, or the interest task without it.

    Raises:
        DataError: if the log has neither.
    """
    usual = [name for name in ("long_view",) if name in tasks.names]
    interest = [] if tasks.interest is None else [tasks.interest.name]
    if not (usual or interest):
        raise DataError(
            "MTF-GAUC needs a binary task with a positive sign, and the log has none; its tasks"
            f" are {', '.join(tasks.names)}"
        )
    column = tasks.feedback_index((*usual, *interest)[0])
    return shown.feedback[:, column].astype(np.float64)


def _report(
    replays: list[ExposureReplay], not_static: list[str], folder: Path, terminal: Terminal
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
            (replay.policy, replay.top.value, replay.top.lift, replay.mtf_gauc, replay.ndcg)
            for replay in replays
        ),
    )
    tasks = tuple(replays[0].gauc) if replays else ()
    by_task = Table(
        title="GAUC of the fused score, by feedback",
        columns=("policy", *(Column(task, decimals=3) for task in tasks)),
        rows=tuple((replay.policy, *replay.gauc.values()) for replay in replays),
    )
    for table in (measures, by_task):
        show(table, terminal)
    if replays:
        top = replays[0].top
        sample = (
            f"{top.groups:,} days of users with at least two random videos; {top.left_out:,} days"
            " with one video are left out. CIs are over users."
        )
        say_wrapped([sample, CLAIM], terminal)
    if not_static:
        sentence = f"Not replayed, because they depend on the session: {', '.join(not_static)}."
        say_wrapped([sentence], terminal)
    write_table(folder / "replay", [_flat(replay) for replay in replays])
    say_wrapped([f"Written to {folder}: replay.csv, .json."], terminal)


def _flat(replay: ExposureReplay) -> dict[str, str | float]:
    row: dict[str, str | float] = {"policy": replay.policy}
    parts = (("top", replay.top.value), ("lift", replay.top.lift), ("mtf_gauc", replay.mtf_gauc))
    for name, interval in (*parts, (f"ndcg_{NDCG_AT}", replay.ndcg)):
        row |= {name: interval.mean, f"{name}_low": interval.low, f"{name}_high": interval.high}
    return row | {f"gauc_{task}": value for task, value in replay.gauc.items()}
