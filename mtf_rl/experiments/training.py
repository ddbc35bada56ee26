"""The main job: data, scorers, simulator, agent, comparison with baselines."""

from dataclasses import replace
from typing import Any

import torch

from mtf_rl.agents import (
    AGENTS,
    ActorCriticConfig,
    LearnedPolicy,
    LearningInterruptedError,
    LearningTask,
)
from mtf_rl.core.protocols import SIMULATOR
from mtf_rl.data import UserGroup
from mtf_rl.envs import RequestBudget
from mtf_rl.experiments.assembly import Assembly
from mtf_rl.experiments.config import RunConfig, RunSettings
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.judging import (
    Entry,
    Judgement,
    judge_run,
    markdown_of,
    render_judgement,
    save_entries,
    weights_sentence,
)
from mtf_rl.experiments.pictures import leaderboard_figure, save_figure
from mtf_rl.experiments.preparation import prepare_run
from mtf_rl.experiments.run_folder import MetricWriter, RunFolder, new_run_folder

__all__ = ["report", "train"]

BASELINES = ("random_search", "uniform")


def train(
    settings: RunSettings, baseline_settings: dict[str, Any], terminal: Terminal
) -> RunFolder:
    """Run the main job into a new folder; what is finished stays there if it is interrupted.

    Args:
        settings: the agent and the run.
        baseline_settings: settings of each baseline agent by name, defaults where absent.
        terminal: told what happens.

    Raises:
        MtfRlError: for anything that the user can mend.
    """
    config = settings.run
    run = new_run_folder(config.run_dir, agent=settings.agent)
    run.write_config(settings)
    terminal.say(f"Run folder: {run.path}")
    torch.set_num_threads(1)
    with run.recorded(torch_threads=1) as metrics, terminal.logging_to(run.path / "log.txt"):
        _train(settings, baseline_settings, run, metrics, terminal)
    terminal.say(
        f"Written to {run.path}: leaderboard.csv, .json, .md, .png; TensorBoard:"
        f" tensorboard --logdir {run.path.parent}"
    )
    return run


def _train(
    settings: RunSettings,
    baseline_settings: dict[str, Any],
    run: RunFolder,
    metrics: MetricWriter,
    terminal: Terminal,
) -> None:
    config = settings.run
    assembly = prepare_run(config, run, metrics, terminal).assembly
    lessons = _Lessons(assembly, config, run, metrics, terminal)
    lessons.learn(settings.agent, settings.agent, settings.agent_settings)
    if config.twin and _has_twin(settings.agent_settings):
        twin = replace(settings.agent_settings, gamma=0.0)
        lessons.learn(f"{settings.agent}_myopic", settings.agent, twin)
    for baseline in BASELINES:
        if baseline != settings.agent:
            agent_settings = baseline_settings.get(baseline, AGENTS[baseline].config())
            lessons.learn(baseline, baseline, agent_settings)
    terminal.stage("Judging")
    judgement = judge_run(assembly, config, lessons.entries, terminal)
    report(judgement, settings.agent, assembly, run, terminal)
    metrics.tensorboard.add_figure(
        "leaderboard", leaderboard_figure(judgement.rows, settings.agent), config.requests
    )
    for row in judgement.rows:
        metrics(row.requests_used, f"final/{row.world}/{row.policy}/reward", row.reward.mean)
        metrics(row.requests_used, f"final/{row.world}/{row.policy}/depth", row.depth_mean)


class _Lessons:
    """Policies learnt one after the other, each saved as soon as it is there."""

    def __init__(
        self,
        assembly: Assembly,
        config: RunConfig,
        run: RunFolder,
        metrics: MetricWriter,
        terminal: Terminal,
    ) -> None:
        self.entries: dict[str, Entry] = {}
        self._config, self._run = config, run
        self._metrics, self._terminal = metrics, terminal
        self._learning = assembly.dynamics(config.session, UserGroup.LEARN, SIMULATOR)
        self._tuning = assembly.dynamics(config.session, UserGroup.TUNE, SIMULATOR)

    def learn(self, name: str, agent: str, agent_settings: Any) -> None:
        """Let `agent` learn within the budget, and keep its policy as `name`.

        Raises:
            LearningInterruptedError: on Ctrl-C; what was learnt so far is kept first.
        """
        requests = 0 if agent == "uniform" else self._config.requests
        self._terminal.stage(f"Policy {name}: {requests} requests in the simulator")
        with self._terminal.progress("requests", requests) as bar:
            task = LearningTask(
                learning=self._learning,
                tuning=self._tuning,
                budget=RequestBudget(requests, on_spend=bar),
                seed=self._config.seed,
                metrics=self._metrics.prefixed(name),
            )
            try:
                learned = AGENTS[agent].learn(task, agent_settings)
            except LearningInterruptedError as interruption:
                self._keep(name, agent, interruption.learned)
                raise
        self._keep(name, agent, learned)

    def _keep(self, name: str, agent: str, learned: LearnedPolicy) -> None:
        self.entries[name] = Entry(learned.policy, learned.requests_used)
        if learned.untrained is not None and name == agent:
            self.entries[f"{name}_untrained"] = Entry(learned.untrained, 0)
        save_entries(self._run.policies, self.entries, self._learning.layout.names)


def report(
    judgement: Judgement, agent: str, assembly: Assembly, run: RunFolder, terminal: Terminal
) -> None:
    """Print the judgement and write leaderboard.csv, .json, .md and .png."""
    render_judgement(judgement, terminal)
    notes = assembly.simulator.prior_parts
    for judge, played in judgement.sessions.items():
        if f"{agent}_untrained" in played:
            gain = judgement.difference(agent, f"{agent}_untrained", judge)
            terminal.say(
                f"{agent} over its own untrained network, judge {judge}:"
                f" {gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"
            )
    if agent in judgement.sessions[SIMULATOR]:
        terminal.say(weights_sentence(agent, judgement.sessions[SIMULATOR][agent]))
    for note in notes:
        terminal.say(f"Note: {note}")
    run.write_table("leaderboard", [row.cells() for row in judgement.rows])
    run.write_text("leaderboard.md", markdown_of(judgement, notes))
    save_figure(leaderboard_figure(judgement.rows, agent), run.path / "leaderboard.png")


def _has_twin(agent_settings: Any) -> bool:
    return isinstance(agent_settings, ActorCriticConfig) and agent_settings.gamma > 0.0
