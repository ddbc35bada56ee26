"""The main job: data, scorers, simulator, agent, comparison with baselines."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from mtf_rl.agents import (
    AGENTS,
    CheckpointPlan,
    FusionSetting,
    LearnedPolicy,
    LearningInterruptedError,
    LearningTask,
    UniformConfig,
)
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.protocols import SIMULATOR
from mtf_rl.data import BatchDataset, UserGroup
from mtf_rl.envs import REWARDS, RequestBudget
from mtf_rl.experiments.answer import say_wrapped
from mtf_rl.experiments.assembly import Assembly
from mtf_rl.experiments.collection import batch_for, describe_batch
from mtf_rl.experiments.command_line import settings_to_resume
from mtf_rl.experiments.comparison.contestants import PRODUCTION
from mtf_rl.experiments.config import RunConfig, RunSettings
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.devices import chosen_device
from mtf_rl.experiments.pictures import leaderboard_figure
from mtf_rl.experiments.preparation import prepare_run
from mtf_rl.experiments.production import production_policy, read_production, resolve_production
from mtf_rl.experiments.resumption import (
    Progress,
    check_resumable,
    checkpoint_path,
    kept_metrics,
    locked,
    note_given_batch,
)
from mtf_rl.experiments.run_evaluation import (
    Entry,
    evaluate_policies,
    load_entries,
    save_entries,
)
from mtf_rl.experiments.run_folder import (
    MetricWriter,
    RunFolder,
    new_run_folder,
    open_run_folder,
)
from mtf_rl.experiments.run_report import report
from mtf_rl.scorers import SCORERS

__all__ = ["resume", "train"]

_TORCH_THREADS = 1  # More threads add in another order and give other weights.


def train(settings: RunSettings, terminal: Terminal) -> RunFolder:
    """Run the main job in a new folder; finished parts stay there after an interruption.

    Args:
        settings: settings of agent, baselines and run.
        terminal: prints progress and the result.

    Raises:
        MtfRlError: if settings, data or files are invalid.
    """
    surroundings_of(settings.run)  # refuse a missing device before a folder is made
    _try_extensions(settings)
    if settings.run.production is not None:
        given = resolve_production(settings.run.production, settings.run.session)
        settings = replace(settings, run=replace(settings.run, production=given))
    run = new_run_folder(settings.run.run_dir, agent=settings.label)
    run.write_config(settings)
    terminal.say(f"Run folder: {run.path}")
    with locked(run):
        _train(settings, run, Progress(), terminal)
    return run


def resume(path: Path, terminal: Terminal, *, reward: str | None = None) -> RunFolder:
    """Resume a stopped or killed run; its results equal those of an uninterrupted run.

    Finished parts are kept. A learner resumes from its last checkpoint. Unfinished preparation and
    searches start again, with the same result.

    Args:
        path: the run's folder.
        terminal: prints progress and the result.
        reward: the run's own `module:function`, repeated, if it has one.

    Raises:
        RunFolderError: if the folder is not a run's, or the run is finished, in use by another
            process, or was started with other versions or threads.
        ArtifactError: if a checkpoint cannot be read.
        MtfRlError: if settings, data or files are invalid.
    """
    run = open_run_folder(path)
    settings = settings_to_resume(run, reward)
    check_resumable(run, **surroundings_of(settings.run))
    _try_extensions(settings)
    with locked(run):
        progress = Progress.load(run)
        terminal.say(f"Resuming {run.path}")
        _train(settings, run, progress, terminal)
    return run


def surroundings_of(config: RunConfig) -> dict[str, Any]:
    """Facts other than settings and versions that a run's numbers depend on.

    Raises:
        ConfigError: if the device is not available.
    """
    return {"torch_threads": _TORCH_THREADS, "torch_device": chosen_device(config.device)}


def _try_extensions(settings: RunSettings) -> None:
    """Import the user's extensions, so that their errors are reported before anything is fitted.

    Raises:
        ConfigError: if an extension cannot be imported, or is of the wrong kind.
    """
    SCORERS.resolve(settings.run.scorer)
    # `_check_tasks` calls it on the tasks of the log after the log is read.
    REWARDS.resolve(settings.run.session.reward)


def _train(settings: RunSettings, run: RunFolder, progress: Progress, terminal: Terminal) -> None:
    torch.set_num_threads(_TORCH_THREADS)
    surroundings = surroundings_of(settings.run)
    with (
        run.recorded(keep=kept_metrics(run, progress), **surroundings) as metrics,
        terminal.logging_to(run.path / "log.txt"),
    ):
        _work(settings, run, progress, metrics, terminal)
    shutil.rmtree(run.checkpoints, ignore_errors=True)  # only after the run counts as finished
    say_wrapped(
        [
            f"Written to {run.path}: leaderboard.csv, .json, .md, .png.",
            f"TensorBoard: tensorboard --logdir {run.path.parent}",
        ],
        terminal,
    )


def _work(
    settings: RunSettings,
    run: RunFolder,
    progress: Progress,
    metrics: MetricWriter,
    terminal: Terminal,
) -> None:
    config = settings.run
    if progress.prepared:
        terminal.say("Data, scorer and simulator are finished.")
        assembly = Assembly.load(run.data, run.simulator)
    else:
        for folder in (run.data, run.scorer, run.simulator):
            shutil.rmtree(folder, ignore_errors=True)  # left unfinished by a killed run
        assembly = prepare_run(config, run, metrics, terminal)
        progress = Progress(prepared=True, metrics_bytes=metrics.length())
        progress.save(run)
    trainer = _PolicyTrainer(assembly, config, run, progress, metrics, terminal)
    trainer.learn(settings.label, settings.agent, settings.agent_settings)
    if config.myopic_baseline and _looks_ahead(settings.agent_settings):
        myopic_baseline = replace(settings.agent_settings, gamma=0.0)
        trainer.learn(f"{settings.label}_myopic", settings.agent, myopic_baseline)
    baselines = {**vars(settings.baselines), "uniform": UniformConfig()}
    for name, baseline_settings in baselines.items():
        if name != settings.agent:
            trainer.learn(name, name, baseline_settings)
    if config.production is not None:
        trainer.keep_production(config.production)
    terminal.stage("Evaluation")
    evaluation = evaluate_policies(assembly, config, trainer.entries, terminal)
    report(evaluation, settings.label, run.path, terminal)
    metrics.tensorboard.add_figure(
        "leaderboard", leaderboard_figure(evaluation.rows, settings.label), config.requests
    )
    for row in evaluation.rows:
        metrics(
            row.requests_used, f"final/{row.evaluator}/{row.policy}/reward", row.metrics.reward.mean
        )
        depth = row.metrics.depth.mean
        metrics(row.requests_used, f"final/{row.evaluator}/{row.policy}/depth", depth)


class _PolicyTrainer:
    """Trains policies one after the other, and saves each as soon as it is finished."""

    def __init__(
        self,
        assembly: Assembly,
        config: RunConfig,
        run: RunFolder,
        progress: Progress,
        metrics: MetricWriter,
        terminal: Terminal,
    ) -> None:
        self._progress = progress
        self.entries = _finished_entries(run, progress)
        self._last_batch: BatchDataset | None = None
        self._config, self._run = config, run
        self._metrics, self._terminal = metrics, terminal
        self._learning = assembly.dynamics(config.session, UserGroup.LEARN, SIMULATOR)
        self._tuning = assembly.dynamics(config.session, UserGroup.TUNE, SIMULATOR)

    def learn(self, name: str, agent: str, agent_settings: Any) -> None:
        """Train `agent` within the budget, and save its policy as `name`.

        Policies that were finished before a run was resumed are not trained again.

        Raises:
            LearningInterruptedError: on Ctrl-C, after the policy so far is saved.
        """
        if name in self._progress.finished:
            self._terminal.say(f"Policy {name} is finished.")
            return
        checkpoint = checkpoint_path(self._run, name)
        if checkpoint.exists():
            self._terminal.say(f"Policy {name} resumes from its checkpoint.")
        requests = 0 if agent == "uniform" else self._config.requests
        budget = RequestBudget(requests)
        task = LearningTask(
            learning=self._learning,
            tuning=self._tuning,
            budget=budget,
            seed=self._config.seed,
            device=chosen_device(self._config.device),
            metrics=self._metrics.prefixed(name),
            checkpoints=CheckpointPlan(
                checkpoint, self._config.checkpoint_seconds, mark=self._metrics.length
            ),
            study=self._run.path / "search" / f"{name}.db",
        )
        if AGENTS[agent].from_batch:
            task = replace(task, batch=self._batch(budget))
            updates = getattr(agent_settings, "updates", 0)
            self._terminal.stage(f"Policy {name}: {updates:,} updates on the batch dataset")
            goal = ("updates", updates)
        else:
            if getattr(agent_settings, "warm_start_updates", 0) > 0:
                task = replace(task, batch=self._given_batch())
            work = f"{requests:,} requests in the simulator" if requests else "no training"
            self._terminal.stage(f"Policy {name}: {work}")
            goal = ("requests", requests)
        with self._terminal.progress(*goal) as bar:
            if AGENTS[agent].from_batch:
                task = replace(task, on_update=bar)
            else:
                budget.on_spend = bar
            try:
                learned = AGENTS[agent].learn(task, agent_settings)
            except LearningInterruptedError as interruption:
                self._keep(name, agent, interruption.learned)
                raise
        self._keep(name, agent, learned)
        self._progress = replace(
            self._progress,
            finished=(*self._progress.finished, name),
            metrics_bytes=self._metrics.length(),
        )
        self._progress.save(self._run)
        shutil.rmtree(checkpoint.parent, ignore_errors=True)

    def keep_production(self, given: str) -> None:
        """Save production's weights as a policy, which uses no request."""
        weights = read_production(given, self._learning.formula.tasks)
        policy = production_policy(weights, self._learning.formula, self._learning.action_map)
        self.entries[PRODUCTION] = Entry(policy, 0)
        save_entries(self._run.policies, self.entries, FusionSetting.of(self._learning))

    def _given_batch(self) -> BatchDataset:
        """The given batch dataset for a warm start; collecting one would use the budget.

        Raises:
            ConfigError: if none is given.
        """
        if self._config.batch is None:
            raise ConfigError("warm_start_updates needs a batch dataset: --batch FILE")
        return self._batch(RequestBudget())

    def _batch(self, budget: RequestBudget) -> BatchDataset:
        """The run's batch dataset, which is collected for the first agent that needs it."""
        first = self._last_batch is None
        if first and self._config.batch is not None:
            note_given_batch(self._run, self._config.batch)
        batch = self._last_batch = batch_for(
            self._learning,
            self._config.batch,
            budget=budget,
            seed=self._config.seed,
            keep_at=self._run.data / "batch.parquet",
        )
        if first:
            say_wrapped([f"Batch dataset: {describe_batch(batch)}."], self._terminal)
        return batch

    def _keep(self, name: str, agent: str, learned: LearnedPolicy) -> None:
        self.entries[name] = Entry(learned.policy, learned.requests_used)
        if learned.untrained is not None and not name.endswith("_myopic"):
            self.entries[f"{name}_untrained"] = Entry(learned.untrained, 0)
        save_entries(self._run.policies, self.entries, FusionSetting.of(self._learning))


def _finished_entries(run: RunFolder, progress: Progress) -> dict[str, Entry]:
    """Policies that were finished before the run was resumed, without interrupted ones."""
    if not progress.finished:
        return {}
    finished = {*progress.finished, *(f"{name}_untrained" for name in progress.finished)}
    entries = load_entries(run.policies)
    return {name: entry for name, entry in entries.items() if name in finished}


def _looks_ahead(agent_settings: Any) -> bool:
    """Whether the agent has gamma above 0, so that it differs from its myopic baseline."""
    return bool(getattr(agent_settings, "gamma", 0.0) > 0.0)
