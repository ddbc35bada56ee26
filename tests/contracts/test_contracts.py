"""Registered entries fulfil the contract of their kind; broken extensions are reported."""

import re
from pathlib import Path

import pytest

from mtf_rl.core.errors import ConfigError
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.contracts import CONTRACTS, CheckConfig, check_extension

ENTRIES = [(kind, name) for kind, contract in CONTRACTS.items() for name in contract.registry]

BROKEN = """
from dataclasses import dataclass, replace

import numpy as np
import torch

from mtf_rl.agents import ConstantPolicy, LearnedPolicy
from mtf_rl.evaluation.off_policy import Estimator, RatioSum, Weighting
from mtf_rl.experiments.comparison import Contestant
from mtf_rl.fusion import Box, WeightFormula
from mtf_rl.scorers import Outputs, ScorerModel


@dataclass(frozen=True)
class Loud:
    size: float = 3.0

    def learn(self, task):
        action = np.full(task.learning.sessions.action_dim, self.size, dtype=np.float32)
        return LearnedPolicy(ConstantPolicy(action), untrained=None, requests_used=0)


@dataclass(frozen=True)
class Careless:
    def learn(self, task):
        action = np.random.uniform(-1, 1, task.learning.sessions.action_dim).astype(np.float32)
        return LearnedPolicy(ConstantPolicy(action), untrained=None, requests_used=0)


@dataclass(frozen=True)
class Nothing:
    def learn(self, task):
        return None


class BatchNormed(ScorerModel):
    def __init__(self, layout, tasks):
        super().__init__()
        self.net = torch.nn.Linear(len(layout.dense), len(tasks))

    def outputs(self, categorical, dense):
        return Outputs(self.net(dense - dense.mean(dim=0)))


@dataclass(frozen=True)
class LooksAcrossRows:
    def build(self, layout, tasks):
        return BatchNormed(layout, tasks)


class UpsideDown(WeightFormula):
    def __init__(self, tasks):
        self.tasks = tasks

    def fuse(self, prepared, parameters):
        return -(prepared * parameters[:, None, :]).sum(axis=2)


def scalar(inputs):
    return 1.0


def shared(inputs):
    return inputs.watch_seconds.sum(axis=1) - inputs.watch_seconds.mean()


def misspelt(inputs):
    return inputs.watch_second.sum(axis=1)


half = Estimator(lambda inputs: RatioSum.mean(0.5 * inputs.rewards.sum(axis=1)), Weighting.NONE)
winner = Contestant("lspi", "champion")
number = 3
"""

FAULTS = [
    ("Loud", "an action must be in [-1, 1]"),
    ("Careless", "the same seed gave different actions"),
    ("Nothing", "must return a LearnedPolicy"),
    ("LooksAcrossRows", "row 0 must get the same prediction alone and in a batch"),
    ("UpsideDown", "a larger prediction of click must not move the score against"),
    ("scalar", "must have shape (num_envs) = (3,), got ()"),
    ("shared", "must get the same reward alone and in a batch"),
    ("misspelt", "'watch_second'"),
    ("half", "must be the log's mean session reward"),
    ("winner", "kind must be one of"),
]


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_a_registered_entry_fulfils_its_contract(kind: str, name: str) -> None:
    verdicts = CONTRACTS[kind].verdicts(name)
    assert [verdict for verdict in verdicts if verdict.fault is not None] == []
    assert len(verdicts) > 2


@pytest.fixture(name="broken")
def broken_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "broken_extensions.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(tmp_path)
    return "broken_extensions"


@pytest.mark.parametrize(("name", "fault"), FAULTS)
def test_a_broken_extension_is_reported_with_its_fault(
    broken: str, name: str, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not check_extension(CheckConfig(f"{broken}:{name}"), Terminal())
    printed = capsys.readouterr().out
    assert "FAULT" in printed
    assert fault in printed


def test_an_object_that_is_no_extension_is_refused(broken: str) -> None:
    with pytest.raises(ConfigError, match=re.escape("is of no known kind. Give its kind")):
        check_extension(CheckConfig(f"{broken}:number"), Terminal())
    assert not check_extension(CheckConfig(f"{broken}:number", kind="agent"), Terminal())
    with pytest.raises(ConfigError, match=re.escape("can be agent or contestant")):
        check_extension(CheckConfig("lspi"), Terminal())
    assert check_extension(CheckConfig("log_sum"), Terminal())
