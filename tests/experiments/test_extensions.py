"""A user's own agent, scorer, formula and reward go through train, evaluate and compare."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mtf_rl.agents import AGENTS, ConstantPolicy, load_policy
from mtf_rl.core.errors import ConfigError, RunFolderError
from mtf_rl.experiments import evaluate_policy
from mtf_rl.experiments.command_line import parse_train, settings_of_run
from mtf_rl.experiments.comparison import ComparisonConfig, Contestant, compare
from mtf_rl.experiments.comparison.contestants import CONTESTANTS
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.re_evaluation import evaluate_run
from mtf_rl.experiments.run_folder import open_run_folder
from mtf_rl.experiments.training import train
from mtf_rl.scorers import Scorer
from tests.experiments.small_run import small_settings

MODULE = """
import pathlib
from dataclasses import dataclass

import numpy as np
import torch

from mtf_rl.agents import ConstantPolicy, LearnedPolicy
from mtf_rl.fusion import WeightedSum
from mtf_rl.scorers import Outputs, ScorerModel

pathlib.Path(__file__).with_suffix(".imported").touch()


@dataclass(frozen=True)
class Level:
    level: float = 0.25

    def learn(self, task):
        action = np.full(task.learning.sessions.action_dim, self.level, dtype=np.float32)
        return LearnedPolicy(ConstantPolicy(action), untrained=None, requests_used=0)


class Squares(ScorerModel):
    def __init__(self, layout, tasks):
        super().__init__()
        self.net = torch.nn.Linear(2 * len(layout.dense), len(tasks))

    def outputs(self, categorical, dense):
        return Outputs(self.net(torch.cat([dense, dense**2], dim=1)))


@dataclass(frozen=True)
class SquaresConfig:
    def build(self, layout, tasks):
        return Squares(layout, tasks)


class OwnSum(WeightedSum):
    pass


def first_only(inputs):
    return inputs.watch_seconds[:, 0] / inputs.duration_seconds[:, 0]
"""
NAME = "own_extensions_of_a_test"
FLAGS = (
    f"--level 0.5 --scorer {NAME}:SquaresConfig --session.reward {NAME}:first_only"
    f" --session.formula {NAME}:OwnSum --requests 1200"
)


@pytest.fixture(name="own", scope="module")
def module_on_the_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("own")
    (folder / f"{NAME}.py").write_text(MODULE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("PYTHONPATH", str(folder), prepend=":")
        yield folder


@pytest.fixture(name="run", scope="module")
def trained(own: Path) -> Path:
    path = own / "run"
    return train(small_settings(path, f"{NAME}:Level", *FLAGS.split()), Terminal()).path


def test_a_run_with_extensions_stores_their_names(run: Path) -> None:
    settings = settings_of_run(open_run_folder(run))
    assert settings.agent == f"{NAME}:Level"
    assert settings.agent_settings.level == 0.5
    leaderboard = (run / "leaderboard.csv").read_text()
    assert "Level," in leaderboard
    policy = load_policy(run / "policy" / "Level")
    assert isinstance(policy.policy, ConstantPolicy)
    assert policy.setting.fusion.formula == f"{NAME}:OwnSum"
    assert type(Scorer.load(run / "scorer").config).__name__ == "SquaresConfig"


def test_extensions_named_in_files_are_not_imported(
    run: Path, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mtf_rl.core.plugins._ALLOWED", set())
    imported = own / f"{NAME}.imported"
    imported.unlink()
    monkeypatch.delitem(__import__("sys").modules, NAME)
    refused = re.escape(f"names the extension '{NAME}:")
    for read in (
        lambda: settings_of_run(open_run_folder(run)),
        lambda: parse_train(["--config", str(run / "config.json")]),
        lambda: load_policy(run / "policy" / "Level"),
        lambda: Scorer.load(run / "scorer"),
        lambda: evaluate_policy(run / "policy" / "Level", run),
        lambda: evaluate_run(run, sessions=2, seed=None, terminal=Terminal()),
    ):
        with pytest.raises(ConfigError, match=refused):
            read()
    assert not imported.exists()


def test_a_policy_is_evaluated_against_uniform_and_production(run: Path) -> None:
    policy = load_policy(run / "policy" / "Level")
    simulator, truth = evaluate_policy(policy, run, sessions=40)
    assert (simulator.evaluator, truth.evaluator) == ("simulator", "ground_truth")
    assert simulator.reference == "uniform"
    assert simulator.difference.mean == pytest.approx(
        simulator.reward.mean - simulator.reference_reward.mean
    )
    assert simulator.difference.low <= simulator.difference.mean <= simulator.difference.high
    weights = dict(zip(policy.setting.fusion.tasks, [1, 1, 1, 1, 1, 1, -1, 1], strict=True))
    same = evaluate_policy(run / "policy" / "uniform", run, sessions=40, production=weights)
    assert {row.reference for row in same} == {"production"}
    assert [row.difference.mean for row in same] == [0.0, 0.0]
    # Only the direction of log_sum's weights counts; what the box does not reach is refused.
    tenfold = {name: 10.0 * weight for name, weight in weights.items()}
    assert evaluate_policy(policy, run, sessions=40, production=tenfold) == evaluate_policy(
        policy, run, sessions=40, production=weights
    )
    with pytest.raises(ConfigError, match=re.escape("does not reach these weights")):
        evaluate_policy(policy, run, production=weights | {"click": -0.5})
    with pytest.raises(ConfigError, match=re.escape("production must be one number for each of")):
        evaluate_policy(policy, run, production=[1.0, 2.0])


def test_a_users_own_agent_can_be_compared(run: Path, own: Path) -> None:
    config = ComparisonConfig(
        run=run,
        requests=600,
        seeds=2,
        headline_seeds=2,
        contestants=("uniform", f"{NAME}:Level"),
        fractions=(),
        sessions=20,
        tuning_sessions=20,
        seesaw=False,
        retention=False,
        reference=False,
        rescored=0,
        workers=1,
        out=own / "comparison",
    )
    comparison = compare(config, Terminal())
    assert comparison.learner == f"{NAME}:Level"
    assert {result.contestant for result in comparison.results.all} == set(config.contestants)


def test_compare_refuses_names_that_only_this_process_registered(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for registry in (AGENTS, CONTESTANTS):
        monkeypatch.setattr(registry, "_entries", dict(registry.items()))
    AGENTS.register("level_of_a_test", AGENTS[f"{NAME}:Level"])
    CONTESTANTS.register("level_of_a_test", Contestant("level_of_a_test", "learner"))
    config = ComparisonConfig(run=run, contestants=("uniform", "level_of_a_test"))
    with pytest.raises(ConfigError, match=re.escape("is registered in this process only")):
        compare(config, Terminal())


def test_a_faulty_extension_is_refused_before_anything_is_fitted(own: Path) -> None:
    (own / "misspelt_reward.py").write_text("def worth(i):\n    return i.watch_second\n")
    path = own / "never_made"
    settings = parse_train(["uniform", "--run-dir", str(path)])
    session = replace(settings.run.session, reward="misspelt_reward:worth")
    with pytest.raises(ConfigError, match=re.escape("misspelt_reward.py, line 2)")):
        train(replace(settings, run=replace(settings.run, session=session)), Terminal())
    assert not path.exists()
    with pytest.raises(ConfigError, match="must be a dataclass of settings"):
        parse_train([f"{NAME}:first_only"])
    with pytest.raises(RunFolderError):
        open_run_folder(path)
