"""Compares a run's simulator with the held-out days of its log."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mtf_rl.core.arrays import FloatArray, select_rows
from mtf_rl.core.files import replace_atomically, save_json
from mtf_rl.core.protocols import UserModel
from mtf_rl.evaluation.fidelity import (
    PAUSE_FEATURES,
    REPLAY,
    ROLLOUT,
    TRUTH_AGAIN,
    AnsweredLog,
    DayEnds,
    Discrimination,
    Distance,
    FidelityCurve,
    FidelityReport,
    Measure,
    SessionLog,
    SessionVectors,
    answer_log,
    check_bars,
    compare_distances,
    compare_measures,
    day_ends,
    discriminate,
    log_curves,
    log_distances,
    measure_log,
    next_day_measure,
    permuted,
    replay_curves,
    replay_distances,
    replay_measures,
    replay_reliabilities,
    roll_log,
    session_vectors,
    sessions_since,
    two_halves,
)
from mtf_rl.experiments.answer import say_wrapped
from mtf_rl.experiments.assembly import Assembly
from mtf_rl.experiments.command_line import log_of_run
from mtf_rl.experiments.command_settings import FidelityConfig
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.fidelity_pictures import fidelity_figure
from mtf_rl.experiments.held_out import HeldOut, read_held_out
from mtf_rl.experiments.pictures import save_figure
from mtf_rl.experiments.run_folder import RunFolder, open_run_folder, write_csv
from mtf_rl.user_models import FittedUserModel
from mtf_rl.user_models.world.synthesis import load_rankers

__all__ = ["FidelityConfig", "report_fidelity"]

_FRAGMENTED = 0.5


def report_fidelity(config: FidelityConfig, terminal: Terminal) -> Path:
    """Compare a run's simulator with the held-out days of its log.

    Writes fidelity.md, .csv, .json and .png; equal settings write equal files.

    Args:
        config: run, sample size and seed.
        terminal: prints the report.

    Returns:
        The folder that was written.

    Raises:
        RunFolderError: if the folder is not a run's.
        DataError: if the log's files are missing, or differ from those that the run was fitted on.
        LeakageError: if a held-out row was used in a fit.
    """
    run = open_run_folder(config.run)
    assembly = Assembly.load(run.data, run.simulator)
    terminal.stage("Log")
    held_out = read_held_out(run, log_of_run(run), config.data, assembly)
    say_wrapped([str(held_out)], terminal)
    report = _compare(run, assembly, held_out, config, terminal)
    for table in report.tables():
        terminal.table(table.title, table.columns, table.rows)
    for note in report.notes:
        say_wrapped([f"Note: {note}"], terminal)
    folder = config.folder
    replace_atomically(folder / "fidelity.md", report.to_markdown().encode())
    save_json(folder / "fidelity.json", report.to_json())
    write_csv(folder / "fidelity.csv", report.records())
    save_figure(fidelity_figure(report), folder / "fidelity.png")
    say_wrapped([f"Written to {folder}."], terminal)
    return folder


@dataclass
class _Findings:
    """Results by source: replay, rollout or a second simulation of the ground truth."""

    measures: dict[str, list[Measure]] = field(default_factory=dict)
    distances: dict[str, list[Distance]] = field(default_factory=dict)
    vectors: dict[str, SessionVectors] = field(default_factory=dict)
    curves: list[FidelityCurve] = field(default_factory=list)


def _compare(
    run: RunFolder,
    assembly: Assembly,
    held_out: HeldOut,
    config: FidelityConfig,
    terminal: Terminal,
) -> FidelityReport:
    log, declared = held_out.log, assembly.simulator.declared_parts
    ends = day_ends(held_out.dataset.impressions, held_out.return_days)
    findings = _Findings(curves=log_curves("log", log))
    terminal.stage("Replay: the simulator answers the logged slates")
    answered, returns = _replay(assembly.simulator, held_out, ends, config.seed)
    replayed = replay_measures(log, answered, declared=declared)
    if "returning" not in declared:
        replayed.append(next_day_measure(ends, returns))
    findings.measures[REPLAY] = replayed
    findings.distances[REPLAY] = replay_distances(log, answered, declared=declared)
    findings.vectors[REPLAY] = session_vectors(replace(log, impressions=answered.impressions))
    findings.curves += replay_curves(REPLAY, log, answered)
    _roll_all(run, assembly, held_out, config, findings, terminal)
    terminal.stage("Discriminator")
    verdicts, controls = _verdicts(log, findings.vectors, config)
    own = [*measure_log(log), next_day_measure(ends)]
    comparisons = compare_measures(own, findings.measures)
    distances = compare_distances(findings.distances)
    compared = {row.name for row in distances}
    return FidelityReport(
        head=(str(held_out), _setting(assembly, config)),
        bars=tuple(check_bars(comparisons, distances, verdicts, controls)),
        comparisons=tuple(comparisons),
        distances=tuple(distances),
        verdicts=(*verdicts.values(), *controls),
        reliabilities=tuple(
            replay_reliabilities(log, answered, declared=declared, seed=config.seed)
        ),
        fit=assembly.simulator.report,
        notes=tuple(_notes(assembly, held_out)),
        curves=tuple(curve for curve in findings.curves if curve.quantity in compared),
    )


def _replay(
    simulator: FittedUserModel, held_out: HeldOut, ends: DayEnds, seed: int
) -> tuple[AnsweredLog, FloatArray]:
    """Simulated responses to the held-out slates, and return probabilities, (day ends,).

    The last sessions of the day before are replayed too, only for their returns.
    """
    impressions = held_out.dataset.impressions
    is_held_out = sessions_since(impressions, held_out.start_ms)
    rows = is_held_out | np.isin(impressions.sessions, ends.sessions)
    chosen = select_rows(impressions, rows)
    answered = answer_log(simulator, chosen, seed=seed)
    replayed = replace(held_out.log, impressions=chosen)
    last = np.flatnonzero(replayed.last_requests)  # (sessions,)
    position = np.searchsorted(chosen.sessions[replayed.request_starts[last]], ends.sessions)
    returns = answered.return_chances[last[position]]
    kept = is_held_out[rows]
    return answered.take(kept, kept[replayed.request_starts]), returns


def _roll_all(
    run: RunFolder,
    assembly: Assembly,
    held_out: HeldOut,
    config: FidelityConfig,
    findings: _Findings,
    terminal: Terminal,
) -> None:
    """Free rollouts under the logging rankers, if these are known."""
    world = assembly.world
    if world is None:
        return
    sources: dict[str, UserModel[Any]] = {ROLLOUT: assembly.simulator}
    if config.truth_again:
        sources[TRUTH_AGAIN] = world
    for source, answers in sources.items():
        served = (
            "the simulator"
            if source == ROLLOUT
            else "the ground truth again, with other random numbers"
        )
        terminal.stage(f"Rollout: the logging rankers serve {served}")
        with terminal.progress("users", world.config.users) as bar:
            rolled = roll_log(
                world,
                load_rankers(run.data),
                answers=answers,
                rng=1 + config.seed,
                since_ms=held_out.previous_day_ms,
                session_gap_minutes=held_out.dataset.schema.session_gap_minutes,
                on_users=bar.reach,
            )
        log = held_out.sessions_of(rolled)
        ends = day_ends(rolled, held_out.return_days)
        findings.measures[source] = [*measure_log(log), next_day_measure(ends)]
        findings.distances[source] = log_distances(held_out.log, log)
        findings.vectors[source] = session_vectors(log)
        findings.curves += log_curves(source, log)


def _verdicts(
    log: SessionLog, others: Mapping[str, SessionVectors], config: FidelityConfig
) -> tuple[dict[str, Discrimination], tuple[Discrimination, ...]]:
    """The discriminator's results for each source, and its controls."""

    def compare(
        name: str, log: SessionVectors, other: SessionVectors, *, explain: bool
    ) -> Discrimination:
        return discriminate(
            name, log, other, sessions=config.sessions, seed=config.seed, explain=explain
        )

    own, verdicts = session_vectors(log), {}
    for source, vectors in others.items():
        pair = [own, vectors]
        if source == REPLAY:
            pair = [part.without(PAUSE_FEATURES) for part in pair]
        verdicts[source] = compare(source, *pair, explain=source != TRUTH_AGAIN)
    halves = "the other half of users"
    verdicts[halves] = compare(halves, *two_halves(own, config.seed), explain=False)
    shuffled = session_vectors(log.with_answers_shuffled(config.seed))
    controls = (
        compare("answers shuffled over videos", own, shuffled, explain=False),
        compare("features permuted over sessions", own, permuted(own, config.seed), explain=False),
    )
    return verdicts, controls


def _setting(assembly: Assembly, config: FidelityConfig) -> str:
    rng = f"Random numbers and discriminator have seed {config.seed}."
    if assembly.world is None:
        return (
            "The logging policy is unknown, so there is no free rollout: only the simulator's"
            f" responses to the logged slates are compared. {rng}"
        )
    return (
        "In rollouts the synthetic world supplies retrieval, its saved rankers, scenes, request"
        " sizes, and the times at which users open the app on an active day. The simulator"
        " supplies responses, pauses, leaving and returns. It starts every session in the initial"
        f" state. {rng}"
    )


def _notes(assembly: Assembly, held_out: HeldOut) -> list[str]:
    """One note for each limit of the log."""
    use = "not compared" if assembly.world is None else "used in rollouts, omitted in the replay"
    notes = [f"{sentence}: {use}." for sentence in assembly.simulator.prior_parts]
    single = float((held_out.log.requests_per_session == 1).mean())
    if single > _FRAGMENTED:
        notes.append(
            f"{100.0 * single:.0f} % of the held-out sessions have a single request. Measures of"
            " position in the session, tag repetition and order of feedback use only the other"
            " sessions. Such short sessions leave the discriminator little power: compare its"
            " result on shuffled answers."
        )
    if assembly.world is None:
        notes.append(
            "The logging policy is unknown and used information that the log does not contain. A"
            " match on its slates is no evidence for the slates of another policy."
        )
        notes += [
            f"{rows:,} rows of the files were dropped: {reason}."
            for reason, rows in held_out.dataset.account.dropped.items()
        ]
    if len(held_out.return_days) == 1:
        notes.append(
            "One day is held out: returns are those to this day, and sessions are cut at its"
            " midnight."
        )
    return notes
