"""Old spellings of the previous release are accepted, with a line on stderr."""

import dataclasses
import json
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from mtf_rl.agents import AGENTS
from mtf_rl.core import deprecation
from mtf_rl.evaluation.off_policy import ModelConfig
from mtf_rl.experiments import command_settings
from mtf_rl.experiments.command_line import parse_command, parse_train, settings_of_run
from mtf_rl.experiments.command_settings import CollectConfig, PretrainConfig
from mtf_rl.experiments.comparison import ComparisonConfig
from mtf_rl.experiments.config import RunConfig, RunSettings
from mtf_rl.experiments.environments import session_dynamics
from mtf_rl.experiments.offline_evaluation import OfflineConfig
from mtf_rl.experiments.old_spellings import (
    RENAMED_FIELDS,
    current_document,
    current_words,
    holds_old_fields,
    words_of_ope,
    words_of_replay,
)
from mtf_rl.experiments.run_folder import RunFolder
from mtf_rl.experiments.settings import settings_to_json
from mtf_rl.scorers import SCORERS


@pytest.fixture(autouse=True)
def nothing_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deprecation, "_NOTED", set())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("--no-twin", "--no-myopic-baseline"),
        ("--twin", "--myopic-baseline"),
        ("--validation-share 0.2", "--validation-fraction 0.2"),
        ("--scorer shared-bottom", "--scorer shared_bottom"),
        ("--scorer=escm2-ips", "--scorer=escm2_ips"),
        ("--cma-es.most-blocks 3", "--cma-es.max-blocks 3"),
        ("hand_set", "reward_weighted"),
        ("lspi --deviation 0.3", "lspi --std 0.3"),
        (
            "lspi --first-share 0.3 --random-share=0.1",
            "lspi --first-fraction 0.3 --random-fraction=0.1",
        ),
        ("cql --weight 2 --samples 5", "cql --conservative-weight 2 --n-action-samples 5"),
        ("bcq --bound 0.1 --min-share 0.5", "bcq --action-flexibility 0.1 --min-fraction 0.5"),
        ("ppo --initial-deviation 0.4", "ppo --initial-std 0.4"),
        (
            "cem --elite-share 0.5 --finalist-share 0.3",
            "cem --elite-fraction 0.5 --finalist-fraction 0.3",
        ),
    ],
)
def test_old_flags_of_train_give_the_settings_of_new_ones(
    old: str, new: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert parse_train(old.split()) == parse_train(new.split())
    lines = capsys.readouterr().err.splitlines()
    assert lines
    assert all("is the old spelling of" in line for line in lines)
    assert len(lines) == len(set(lines))


def test_new_flags_print_no_note(capsys: pytest.CaptureFixture[str]) -> None:
    parse_train(["cem", "--elite-fraction", "0.5", "--scorer", "shared_bottom"])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        (CollectConfig, "R --judge world --deviation 0.3", "R --evaluator ground_truth --std 0.3"),
        (PretrainConfig, "single-task", "single_task"),
        (
            ComparisonConfig,
            "R --shares 0.5 --contestants hand_set uniform",
            "R --fractions 0.5 --contestants reward_weighted uniform",
        ),
    ],
)
def test_old_flags_of_other_commands_give_the_same_settings(
    kind: type[Any], old: str, new: str
) -> None:
    assert parse_command(kind, "x", old.split()) == parse_command(kind, "x", new.split())


def test_names_of_folders_are_not_converted() -> None:
    words = ["--run-dir", "hand_set", "--out=world", "--data", "shared-bottom"]
    assert current_words(words) == words
    assert current_words(["--model.bound", "7"]) == ["--model.bound", "7"]


def test_old_settings_files_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "settings.json"
    document = {
        "agent": "lspi",
        "agent_settings": {"deviation": 0.3},
        "run": {"twin": False, "scorer": "shared-bottom", "log": {"validation_share": 0.2}},
        "baselines": {"grid": {"most_blocks": 2}},
    }
    file.write_text(json.dumps(document))
    settings = parse_train(["--config", str(file)])
    assert settings.agent_settings.std == 0.3
    assert not settings.run.myopic_baseline
    assert settings.run.scorer == "shared_bottom"
    assert settings.run.log.validation_fraction == 0.2
    assert settings.baselines.grid.max_blocks == 2
    assert "setting twin is the old spelling of myopic_baseline" in capsys.readouterr().err


def test_settings_of_extensions_keep_their_names() -> None:
    words = ["my_code:MyAgent", "--threshold", "2", "--scorer-model.weight", "3"]
    assert current_words(words) == words
    assert current_words([*words, "--no-twin"]) == [*words, "--no-myopic-baseline"]
    assert current_words(["--session.reward", "a:b", "--deviation", "1"])[-2:] == ["--std", "1"]
    document = {
        "agent": "my_code:MyAgent",
        "agent_settings": {"threshold": 2.0},
        "run": {"scorer": "my_code:MyScorer", "scorer_model": {"weight": 3.0}},
    }
    assert current_document(document) == document
    assert not holds_old_fields(document)
    assert holds_old_fields(document | {"agent": "cql"})


def test_run_folders_of_the_previous_release_are_refused_with_a_remedy(tmp_path: Path) -> None:
    document = settings_to_json(RunSettings("lspi", AGENTS["lspi"].config(), RunConfig()))
    document["run"]["twin"] = document["run"].pop("myopic_baseline")
    (tmp_path / "config.json").write_text(json.dumps(document))
    remedy = f"python -m mtf_rl.train --config {tmp_path / 'config.json'}"
    with pytest.raises(Exception, match="was made by an earlier release") as caught:
        settings_of_run(RunFolder(tmp_path))
    assert remedy in str(caught.value)
    parse_train(["--config", str(tmp_path / "config.json")])


def test_an_environment_accepts_the_old_spelling_of_evaluator(
    capsys: pytest.CaptureFixture[str],
) -> None:
    dynamics = session_dynamics(judge="world", slate=4)
    assert dynamics.config == session_dynamics(evaluator="ground_truth", slate=4).config
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(";")[0] for line in lines] == [
        "judge= is the old spelling of evaluator=",
        "world is the old spelling of ground_truth",
    ]


def test_old_forms_of_evaluate_give_arguments_of_ope_and_replay() -> None:
    assert words_of_ope(["RUN", "--sessions", "3"]) is None
    expected = ["B", "P", "Q", "--simulator", "R"]
    assert words_of_ope(["--data", "B", "P", "Q", "--simulator", "R"]) == expected
    assert words_of_ope(["P", "Q", "--data=B", "--simulator", "R"]) == expected
    config = parse_command(OfflineConfig, "ope", expected)
    assert config == OfflineConfig(
        data=Path("B"), policies=(Path("P"), Path("Q")), simulator=Path("R")
    )
    assert words_of_replay(["RUN"]) is None
    assert words_of_replay(["RUN", "--random-log"]) == ["RUN"]


def settings_classes() -> set[type[Any]]:
    """Every settings class of every command line."""
    commands = [
        getattr(command_settings, n) for n in command_settings.__all__ if n.endswith("Config")
    ]
    classes: set[type[Any]] = set()
    waiting: list[Any] = [
        *commands, RunSettings, RunConfig, ComparisonConfig, OfflineConfig, *SCORERS.values(),
        *(agent.config for agent in AGENTS.values()),
    ]  # fmt: skip
    while waiting:
        kind = waiting.pop()
        waiting += get_args(kind)
        if dataclasses.is_dataclass(kind) and isinstance(kind, type) and kind not in classes:
            classes.add(kind)
            waiting += get_type_hints(kind).values()
    return classes


def test_no_setting_has_an_old_name_and_every_new_one_exists() -> None:
    kinds = settings_classes() - {ModelConfig}
    names = {field.name for kind in kinds for field in dataclasses.fields(kind)}
    assert not names & RENAMED_FIELDS.keys()
    assert set(RENAMED_FIELDS.values()) - names <= {"held_out_fraction"}  # only in Python
