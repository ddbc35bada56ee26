"""Settings: JSON round trip, command line and run folders."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from mtf_rl.agents import AGENTS, CmaEsConfig, GridConfig, LSPIConfig, SACConfig, TD3Config
from mtf_rl.core.errors import (
    ArtifactError,
    ConfigError,
    DataError,
    MtfRlError,
    RunFolderError,
    UnknownNameError,
)
from mtf_rl.experiments.command_line import parse_pretrain, parse_train, settings_of_run
from mtf_rl.experiments.command_settings import PretrainConfig
from mtf_rl.experiments.config import PRESETS, Baselines, RunConfig, RunSettings
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.devices import chosen_device
from mtf_rl.experiments.run_folder import new_run_folder, open_run_folder
from mtf_rl.experiments.settings import (
    settings_from_json,
    settings_laid_over,
    settings_to_json,
)
from mtf_rl.experiments.training import train
from mtf_rl.scorers import SCORERS, AITMConfig, MMoEConfig, ModelConfig, PLEConfig


@pytest.mark.parametrize("preset", PRESETS)
def test_settings_survive_json(preset: str) -> None:
    run, _ = PRESETS[preset]()
    text = json.dumps(settings_to_json(run))
    assert settings_from_json(RunConfig, json.loads(text)) == run


@pytest.mark.parametrize("agent", AGENTS)
def test_settings_of_a_run_folder_read_back_equal(agent: str, tmp_path: Path) -> None:
    settings = RunSettings(agent, AGENTS[agent].config(), RunConfig(run_dir=tmp_path / "r", seed=7))
    run = new_run_folder(tmp_path / "r", agent=agent)
    run.write_config(settings)
    assert settings_of_run(open_run_folder(tmp_path / "r")) == settings


def test_later_sources_win(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    file.write_text('{"run": {"seed": 5, "pool": 250}, "agent_settings": {"gamma": 0.5}}')
    words = ["--preset", "smoke", "--config", str(file), "--seed", "6"]
    settings = parse_train(words)
    assert settings.run.seed == 6
    assert settings.run.pool == 250
    assert settings.run.requests == PRESETS["smoke"]()[0].requests
    assert settings.agent == "lspi"
    assert settings.agent_settings.gamma == 0.5


@pytest.mark.parametrize(
    "words",
    [
        "sac --seed 3 --steps 20000 --gamma 0.9 --no-myopic-baseline",
        "--seed 3 --steps 20000 sac --gamma 0.9 --no-myopic-baseline",
        "--no-myopic-baseline --seed 3 --gamma 0.9 --requests 20000 sac",
        "--hidden 128 128 --no-myopic-baseline sac --seed=3 --gamma=0.9 --requests=20000",
    ],
)
def test_flags_may_be_before_or_after_the_agent(words: str) -> None:
    settings = parse_train(words.split())
    assert settings.agent == "sac"
    expected = RunConfig(seed=3, requests=20_000, myopic_baseline=False, scorer_model=MMoEConfig())
    assert settings.run == expected
    assert isinstance(settings.agent_settings, SACConfig)
    assert settings.agent_settings.gamma == 0.9


def test_a_preset_sets_fields_of_every_agent() -> None:
    parsed = parse_train(["--preset", "smoke"])
    assert isinstance(parsed.agent_settings, LSPIConfig)
    assert all(search.sessions_per_trial == 16 for search in vars(parsed.baselines).values())


@pytest.mark.parametrize(
    ("words", "kind", "message"),
    [
        ("td4", UnknownNameError, "Unknown agent 'td4'. Did you mean 'td3'? Known: td3, sac"),
        ("--preset smok", UnknownNameError, "Unknown preset 'smok'. Did you mean 'smoke'?"),
        ("--gamma 1.5", ConfigError, "gamma must be in [0, 1], got 1.5"),
        ("--steps -5", ConfigError, "requests must be at least 0, got -5"),
        ("--scorer mmo", UnknownNameError, "Unknown scorer 'mmo'. Did you mean 'mmoe'?"),
        ("--pool 50", ConfigError, "pool must be at least the 100 candidates, got 50"),
        ("--seed 5000000000", ConfigError, "seed must be in [0, 4294967295], got 5000000000"),
        ("td3 --action-noise nan", ConfigError, "action_noise must be at least 0, got nan"),
        ("td3 --learning-rate inf", ConfigError, "learning_rate must be above 0, got inf"),
        ("td3 --requests 9000", ConfigError, "requests must be at least 10064 for td3"),
        ("uniform --requests 900", ConfigError, "requests must be at least 4267 for grid"),
        ("--test-days 0", ConfigError, "test_days must be at least 1, got 0"),
    ],
)
def test_bad_options_are_refused(words: str, kind: type[MtfRlError], message: str) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        parse_train(words.split())


def test_bad_settings_files_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    for text, message in [
        ('{"run": {"sed": 5}}', "RunConfig has no setting sed"),
        ('{"run": {"seed": -1}}', "seed must be in [0, 4294967295], got -1"),
        ('{"runs": {}}', "must hold an object with some of agent, agent_settings, baselines"),
        ("[1]", "must hold an object with some of"),
        ('{"run": {"myopic_baseline": "false"}}', "expected bool, got 'false'"),
        ('{"run": {"requests": 3.9}}', "expected int, got 3.9"),
        ('{"agent_settings": {"caution": NaN}}', "caution must be at least 0, got nan"),
        ('{"run": {"session": {"slate": "six"}}}', "slate"),
    ]:
        file.write_text(text)
        with pytest.raises(ConfigError, match=re.escape(message)):
            parse_train(["--config", str(file)])
    with pytest.raises(ArtifactError, match=re.escape("No file")):
        parse_train(["--config", str(tmp_path / "none.json")])
    with pytest.raises(ArtifactError, match=re.escape("is not a JSON file")):
        parse_train(["--config", str(tmp_path)])


def test_a_runs_settings_can_be_reused_without_its_folder(tmp_path: Path) -> None:
    run = RunConfig(run_dir=tmp_path / "first", seed=7, scorer_model=MMoEConfig(experts=3))
    settings = RunSettings(
        "sac", SACConfig(gamma=0.8), run, Baselines(cma_es=CmaEsConfig(sigma=0.2))
    )
    new_run_folder(run.run_dir, agent="sac").write_config(settings)
    file = str(tmp_path / "first" / "config.json")
    again = parse_train(["--config", file])
    assert again == replace(settings, run=replace(run, run_dir=None))
    other = parse_train(["td3", "--config", file, "--seed", "8"])
    assert (other.agent, other.agent_settings) == ("td3", TD3Config())
    assert other.run == replace(run, run_dir=None, seed=8)


def test_laying_over_keeps_all_other_settings() -> None:
    base = RunConfig(seed=4)
    changed = settings_laid_over(base, {"session": {"slate": 4}})
    assert changed == replace(base, session=replace(base.session, slate=4))
    with pytest.raises(ConfigError, match=re.escape("settings must be a JSON object, got [1]")):
        settings_laid_over(base, [1])


def test_a_reward_named_in_a_file_is_not_imported(tmp_path: Path) -> None:
    run_config = RunConfig(run_dir=tmp_path / "r")
    session = replace(run_config.session, reward="mine:worth")
    settings = RunSettings("td3", TD3Config(), replace(run_config, session=session))
    run = new_run_folder(tmp_path / "r", agent="td3")
    run.write_config(settings)
    with pytest.raises(ConfigError, match=re.escape("repeat it: --extension mine:worth")):
        settings_of_run(run)
    assert settings_of_run(run, reward="mine:worth") == settings
    assert settings_of_run(run, reward="watch_time").run.session.reward == "watch_time"
    config = ["--config", str(tmp_path / "r" / "config.json")]
    with pytest.raises(ConfigError, match=re.escape("repeat it: --extension mine:worth")):
        parse_train(config)
    named = parse_train([*config, "--session.reward", "mine:worth"])
    assert named.run.session.reward == "mine:worth"


def test_base_weights_follow_the_order_of_the_tasks_flag() -> None:
    words = "--session.tasks like click --session.action-map residual --session.base 0.9 0.1"
    fusion = parse_train(words.split()).run.session.fusion
    assert fusion.tasks == ("click", "like")
    assert fusion.base == (0.1, 0.9)
    with pytest.raises(ConfigError, match=re.escape("base of click must be in [0, 1], got nan")):
        replace(fusion, base=(float("nan"), 0.1))
    with pytest.raises(ConfigError, match=re.escape("base of hate must be in [-1, 0], got 0.5")):
        replace(fusion, tasks=("hate",), base=(0.5,), formula="log_sum")


def test_session_settings_are_flags() -> None:
    words = "--session.tasks watch click --session.action-map residual --session.base 0.5 0.2"
    fusion = parse_train(words.split()).run.session.fusion
    assert fusion.tasks == ("click", "watch")
    assert fusion.base == (0.2, 0.5)
    with pytest.raises(ConfigError, match=re.escape("base must have one weight for each of click")):
        replace(fusion, base=(1.0,))


def test_auto_selects_a_gpu_if_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for available, chosen in ((False, "cpu"), (True, "cuda")):
        monkeypatch.setattr("torch.cuda.is_available", lambda available=available: available)
        assert chosen_device("auto") == chosen
        assert chosen_device("cpu") == "cpu"
    assert chosen_device("cuda") == "cuda"
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ConfigError, match=re.escape("--device cuda: torch")):
        chosen_device("cuda")


def test_a_missing_device_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    settings = parse_train(["--device", "cuda", "--run-dir", str(tmp_path / "r")])
    with pytest.raises(ConfigError, match=re.escape("Use --device cpu")):
        train(settings, Terminal())
    assert not (tmp_path / "r").exists()


def test_a_run_without_artifacts_leaves_no_folder(tmp_path: Path) -> None:
    words = ["--data", str(tmp_path / "missing"), "--run-dir", str(tmp_path / "r")]
    with pytest.raises(DataError, match=re.escape("No folder")):
        train(parse_train(words), Terminal())
    assert not (tmp_path / "r").exists()
    with pytest.raises(ConfigError, match=re.escape("pool must be at most the 60 videos")):
        train(parse_train(["--world.videos", "60", *words[2:]]), Terminal())
    assert not (tmp_path / "r").exists()


def test_concurrent_runs_get_different_default_folders(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: new_run_folder(None, agent="a", root=tmp_path), range(16)))
    assert sorted(run.path.name for run in made) == sorted(f"a-{n}" for n in range(16))


@pytest.mark.parametrize(
    ("record", "remedy"),
    [
        (
            {"command": "/usr/lib/mtf_rl/train.py --preset smoke --run-dir runs/s"},
            "Then make it again: python -m mtf_rl.train --preset smoke --run-dir runs/s",
        ),
        ({"command": ""}, "Then make it again, with the command that made it: python -m mtf_rl."),
    ],
)
def test_a_run_of_the_old_format_is_refused_with_a_remedy(
    record: dict[str, str], remedy: str, tmp_path: Path
) -> None:
    """Runs of format 1 have no format number."""
    (tmp_path / "config.json").write_text(json.dumps({"run": {"myopic_twin": True}}))
    (tmp_path / "provenance.json").write_text(json.dumps(record))
    message = f"{tmp_path} is a run of format 1, this program reads format 2. Move it away. "
    with pytest.raises(RunFolderError, match=re.escape(message + remedy)):
        open_run_folder(tmp_path)


@pytest.mark.parametrize("name", SCORERS)
def test_every_scorer_setting_is_a_flag(name: str) -> None:
    words = ["--scorer-model.members", "2", "--scorer-model.watch-head", "survival"]
    train_run = parse_train(["--scorer", name, *words]).run
    pretrain = parse_pretrain([name, *words])
    for model in (train_run.model, pretrain.scorer_model):
        assert type(model) is SCORERS[name]
        assert isinstance(model, ModelConfig)
        assert (model.members, model.watch_head) == (2, "survival")
    for settings in (train_run, pretrain):
        text = json.dumps(settings_to_json(settings))
        assert settings_from_json(type(settings), json.loads(text)) == settings


def test_model_settings_belong_to_the_scorer_of_that_name(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    file.write_text('{"run": {"scorer": "ple", "scorer_model": {"levels": 3}}}')
    words = ["--config", str(file)]
    assert parse_train(words).run.scorer_model == PLEConfig(levels=3)
    assert parse_train([*words, "--scorer-model.levels", "1"]).run.scorer_model == PLEConfig(
        levels=1
    )
    assert parse_train([*words, "--scorer", "aitm"]).run.scorer_model == AITMConfig()
    with pytest.raises(ConfigError, match=re.escape("must be PLEConfig, got MMoEConfig")):
        RunConfig(scorer="ple", scorer_model=MMoEConfig())
    with pytest.raises(ConfigError, match=re.escape("got model all; name one scorer instead")):
        PretrainConfig("all", scorer_model=MMoEConfig())
    file.write_text('{"run": {"scorer_model": {"levels": 3}}}')
    with pytest.raises(ConfigError, match=re.escape("MMoEConfig has no setting levels")):
        parse_train(words)


def test_the_tasks_flag_sets_the_fused_tasks() -> None:
    fusion = parse_train(["--session.tasks", "watch", "click"]).run.session.fusion
    assert fusion.task_set.names == fusion.tasks == ("click", "watch")


def test_flags_of_a_search_that_is_the_agent_have_no_prefix() -> None:
    words = "--cma-es.max-blocks 2 --grid.max-blocks 2"
    assert parse_train(words.split()).baselines.cma_es.max_blocks == 2
    settings = parse_train(["cma_es", "--max-blocks", "3", "--grid.max-blocks", "2"])
    assert settings.agent_settings.max_blocks == 3
    assert settings.baselines == Baselines(grid=GridConfig(max_blocks=2))
