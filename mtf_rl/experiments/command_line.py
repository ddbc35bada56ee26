"""The command line of `train`, built from the settings dataclasses.

Flags may stand before or after the agent's name; the agent's own flags have no prefix. Later
sources win: preset, then `--config FILE.json`, then flags.

This module picks the agent's name from the arguments itself. tyro's cascading subcommands accept
the agent's own flags only after its name (they refuse `--gamma 0.9 sac`), and they refuse the
default agent's flags if no agent is named.
"""

import argparse
import gc
import shutil
import sys
import textwrap
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass, make_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro

from mtf_rl.agents import AGENTS
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.files import load_json
from mtf_rl.core.plugins import is_import_path, refuse_unrepeated
from mtf_rl.core.tasks import KUAIRAND_TASKS, TaskSet
from mtf_rl.envs import REWARDS
from mtf_rl.experiments.command_settings import PretrainConfig
from mtf_rl.experiments.config import PRESETS, Baselines, LogConfig, RunConfig, RunSettings
from mtf_rl.experiments.old_spellings import current_document, current_words, holds_old_fields
from mtf_rl.experiments.run_folder import RunFolder
from mtf_rl.experiments.settings import settings_from_json, settings_laid_over
from mtf_rl.scorers import SCORERS

__all__ = [
    "DEFAULT_AGENT",
    "Resumption",
    "log_of_run",
    "parse_command",
    "parse_pretrain",
    "parse_resume",
    "parse_train",
    "preset_note",
    "settings_of_pretraining",
    "settings_of_run",
    "settings_to_resume",
]

DEFAULT_AGENT = "lspi"
_PRESET_HELP = {
    "smoke": "checks in about two minutes that every part runs; too small for results",
    "default": "40,000 requests for each method, 4,000 final sessions for each policy",
    "full": "200,000 requests, 20,000 final and 5,000 tuning sessions",
    "paper": "100,000 requests, 300,000 updates of batch-RL agents, as in BatchRL-MTF",
}
_SECTIONS = {entry.name for entry in fields(RunSettings)}


@dataclass(frozen=True)
class _Unchecked:
    """Settings before validation: the budget may be too small for the agent."""

    agent: str
    agent_settings: Any
    run: RunConfig
    baselines: Baselines


ConfigT = TypeVar("ConfigT")


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Pause garbage collection, which takes 10 % of parsing and frees nothing."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def parse_command(kind: type[ConfigT], command: str, words: Sequence[str] | None = None) -> ConfigT:
    """Parse a command's settings from arguments; by default from `sys.argv`."""
    given = current_words(sys.argv[1:] if words is None else words)
    with _without_garbage_collection():
        return tyro.cli(kind, prog=f"python -m mtf_rl.{command}", args=given)


def parse_pretrain(arguments: Sequence[str] | None = None) -> PretrainConfig:
    """Parse the settings of `pretrain`, with those of the chosen model.

    Raises:
        UnknownNameError: if the model is unknown.
        ConfigError: if a setting is out of range.
    """
    words = current_words(sys.argv[1:] if arguments is None else arguments)
    switches = _switches(PretrainConfig, "")
    model, words = _take_name(words, {*SCORERS, "all"}, switches, default=PretrainConfig.model)
    if model == "all":
        return replace(parse_command(PretrainConfig, "pretrain", words), model=model)
    settings = SCORERS.resolve(model)()
    kind = make_dataclass(
        "Pretrain",
        [
            ("config", Annotated[PretrainConfig, tyro.conf.arg(name="")]),
            ("scorer_model", type(settings)),
        ],
    )
    parsed: Any = tyro.cli(
        kind,
        prog="python -m mtf_rl.pretrain",
        args=words,
        default=kind(PretrainConfig(model), settings),
        description=f"{_first_paragraph(PretrainConfig)}\n"
        f"Settings of {model}: --scorer-model.FIELD.",
    )
    config: PretrainConfig = parsed.config
    return replace(config, scorer_model=parsed.scorer_model)


def settings_of_pretraining(run: RunFolder) -> PretrainConfig:
    """Load the settings of a `pretrain` run from its `config.json`.

    Raises:
        ArtifactError: if the file is missing or torn.
        ConfigError: if another command or version wrote it, or it names an extension that the
            caller does not repeat.
    """
    document = load_json(run.path / "config.json")
    refuse_unrepeated(document, source=run.path)
    return settings_from_json(PretrainConfig, document)


def parse_train(arguments: Sequence[str] | None = None) -> RunSettings:
    """Parse the settings of `train`.

    Raises:
        UnknownNameError: if the agent or preset is unknown.
        ConfigError: if a setting is out of range.
    """
    words = current_words(sys.argv[1:] if arguments is None else arguments)
    early, words = _early_options().parse_known_args(words)
    run, agent_fields = PRESETS[early.preset]()
    document = {} if early.config is None else _read_config_file(Path(early.config))
    given = (*words, early.scorer or "")
    typed = {part for word in given for part in (word, word.partition("=")[2])}
    refuse_unrepeated(document, source=early.config, repeated=typed)
    tasks = _tasks_of_data(words, document)
    run, document = _on_tasks(run, tasks), _without_kuairand_names(document)
    switches = _switches(RunConfig, "")
    default = document.get("agent", DEFAULT_AGENT)
    agent, words = _take_name(words, AGENTS, switches, default=default)
    AGENTS.resolve(agent)
    settings = _Unchecked(
        agent=agent,
        agent_settings=_preset_agent(agent, agent_fields),
        run=run,
        baselines=Baselines(
            **{entry.name: _preset_agent(entry.name, agent_fields) for entry in fields(Baselines)}
        ),
    )
    settings = _with_scorer(_with_document(settings, document), early.scorer)
    settings = replace(settings, run=_on_tasks(settings.run, tasks))
    with _without_garbage_collection():
        return _parse_flags(settings, words)


def preset_note(arguments: Sequence[str] | None = None) -> str | None:
    """A warning about results with the chosen preset, or None."""
    words = current_words(sys.argv[1:] if arguments is None else arguments)
    early, _ = _early_options().parse_known_args(words)
    if early.preset != "smoke":
        return None
    return (
        "--preset smoke only checks that every part runs. It has too few users and requests to"
        " compare methods. Omit --preset for results."
    )


@dataclass(frozen=True)
class Resumption:
    """A run to resume."""

    run: Path
    reward: str | None
    """The run's own `module:function`, repeated by the user: a file must not choose imports."""


def parse_resume(
    arguments: Sequence[str] | None = None, *, command: str = "train"
) -> Resumption | None:
    """Parse `--resume`; None without that flag.

    Raises:
        ConfigError: if other flags are given, because a resumed run has its settings already.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not any(word.split("=")[0] == "--resume" for word in words):
        return None
    parser = argparse.ArgumentParser(prog=f"python -m mtf_rl.{command}", allow_abbrev=False)
    parser.add_argument("--resume", type=Path, metavar="RUN", required=True)
    beside = "--extension"
    if command == "train":
        parser.add_argument("--reward", metavar="MODULE:FUNCTION")
        beside = "--reward and --extension"
    known, others = parser.parse_known_args(words)
    if others:
        raise ConfigError(
            f"--resume takes the run's settings from its config.json, so only {beside} can stand"
            f" beside it, got {' '.join(others)}. Remove them."
        )
    return Resumption(known.resume, getattr(known, "reward", None))


def _first_paragraph(config: type[Any]) -> str:
    """The first paragraph of a settings class's docstring, as help."""
    return (config.__doc__ or "").split("\n\n")[0]


def settings_to_resume(run: RunFolder, reward: str | None) -> RunSettings:
    """Load the settings of a run to resume; the user must repeat the run's own `module:function`.

    Raises:
        ArtifactError: if the file is missing or torn.
        ConfigError: if another version wrote it, or another reward is named.
    """
    original = _document_of(run)["run"]["session"]["reward"]
    if reward is not None and reward != original:
        raise ConfigError(
            f"{run.path} was started with reward {original!r}, got --reward {reward!r}. Resume it"
            " with its own reward"
        )
    return settings_of_run(run, reward)


def log_of_run(run: RunFolder) -> LogConfig:
    """Load the log settings of a run, without importing its extensions.

    Raises:
        ArtifactError: if the file is missing or torn.
        ConfigError: if another version wrote it.
    """
    return settings_from_json(LogConfig, _document_of(run)["run"]["log"])


def settings_of_run(run: RunFolder, reward: str | None = None) -> RunSettings:
    """Load the settings of a run from its `config.json`.

    Args:
        run: the folder.
        reward: reward that replaces the run's; the run's own `module:function` allows its import.

    Raises:
        ArtifactError: if the file is missing or torn.
        ConfigError: if another version wrote it, or it names an extension that is not repeated.
    """
    document = _document_of(run)
    if reward is not None:
        document["run"]["session"]["reward"] = reward
    refuse_unrepeated(document, source=run.path, repeated=() if reward is None else (reward,))
    agent = document["agent"]
    config = settings_from_json(RunConfig, document["run"])
    return RunSettings(
        agent=agent,
        agent_settings=settings_from_json(AGENTS.resolve(agent).config, document["agent_settings"]),
        run=config,
        baselines=settings_from_json(Baselines, document["baselines"]),
    )


def _document_of(run: RunFolder) -> dict[str, Any]:
    document = load_json(run.path / "config.json")
    if not isinstance(document, dict) or set(document) != _SECTIONS:
        raise ConfigError(f"{run.path / 'config.json'} does not hold the settings of a train run")
    if holds_old_fields(document):
        raise ConfigError(
            f"{run.path} was made by an earlier release, and this release cannot read it. Make it"
            f" again with the same settings: python -m mtf_rl.train --config"
            f" {run.path / 'config.json'}"
        )
    return document


def _early_options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--preset", default="default")
    parser.add_argument("--config", default=None)
    parser.add_argument("--scorer", default=None)
    return parser


def _tasks_of_data(words: list[str], document: dict[str, Any]) -> TaskSet:
    """Tasks of the log that `--data` or the settings file names; KuaiRand's by default.

    Raises:
        ArtifactError: if the description of a prepared folder is damaged.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--data", nargs="?")
    data: Any = parser.parse_known_args(words)[0].data
    for name in ("run", "log", "data"):
        document = document.get(name, {}) if isinstance(document, dict) else {}
    data = data or document
    if not data or not isinstance(data, str):
        return KUAIRAND_TASKS
    from mtf_rl.data import tasks_of_log  # imports pyarrow, which `--help` does not need

    return tasks_of_log(Path(data))


def _on_tasks(run: RunConfig, tasks: TaskSet) -> RunConfig:
    """The settings for a log with these tasks.

    Raises:
        UnknownNameError: if the log lacks a fused task.
        ConfigError: if formula or weights do not fit the tasks.
    """
    fusion = run.session.fusion.on_tasks(tasks)
    return replace(run, session=replace(run.session, fusion=fusion))


def _without_kuairand_names(document: dict[str, Any]) -> dict[str, Any]:
    """Omit the fused tasks of a settings file if they are all of KuaiRand's, the default."""
    fusion: Any = document
    for name in ("run", "session", "fusion"):
        fusion = fusion.get(name) if isinstance(fusion, dict) else None
    if isinstance(fusion, dict) and fusion.get("tasks") == list(KUAIRAND_TASKS.names):
        fusion["tasks"] = []
    return document


def _take_name(
    words: list[str], known: Collection[str], switches: set[str], *, default: str
) -> tuple[str, list[str]]:
    """Split arguments into the positional name, such as the agent's, and the rest.

    The name is the first argument, or a known name elsewhere that is not the value of a flag.
    """
    for position, word in enumerate(words):
        before = words[position - 1] if position else ""
        is_value = before.startswith("--") and "=" not in before and before not in switches
        named = word in known or is_import_path(word)
        if not is_value and (named or position == 0) and not word.startswith("-"):
            return word, words[:position] + words[position + 1 :]
    return default, words


def _switches(kind: Any, prefix: str) -> set[str]:
    """Flags that take no value."""
    names = set()
    for entry in fields(kind):
        flag = f"{prefix}{entry.name.replace('_', '-')}"
        if entry.type is bool:
            names |= {f"--{flag}", f"--{prefix}no-{entry.name.replace('_', '-')}"}
        elif is_dataclass(entry.type):
            names |= _switches(entry.type, f"{flag}.")
    return names


def _preset_agent(name: str, agent_fields: dict[str, Any]) -> Any:
    config = AGENTS[name].config
    known = {entry.name for entry in fields(config)}
    return config(**{key: value for key, value in agent_fields.items() if key in known})


def _read_config_file(path: Path) -> dict[str, Any]:
    """Read a run's config.json, or a file with some of its settings."""
    document = current_document(load_json(path))
    if not isinstance(document, dict) or not set(document) <= _SECTIONS:
        raise ConfigError(
            f"{path} must hold an object with some of {', '.join(sorted(_SECTIONS))},"
            f" as a run's config.json does"
        )
    # The run's settings are reused; its folder is not.
    if isinstance(document.get("run"), dict):
        document["run"].pop("run_dir", None)
    return document


def _with_document(base: "_Unchecked", document: dict[str, Any]) -> "_Unchecked":
    """Override the preset with a settings file; agent settings apply to the same agent only."""
    agent_settings = base.agent_settings
    run = document.get("run", {})
    if isinstance(run, dict) and run.get("scorer", base.run.scorer) != base.run.scorer:
        base = replace(base, run=replace(base.run, scorer=run["scorer"], scorer_model=None))
    if document.get("agent", base.agent) == base.agent:
        agent_settings = settings_laid_over(agent_settings, document.get("agent_settings", {}))
    return replace(
        base,
        agent_settings=agent_settings,
        run=settings_laid_over(base.run, document.get("run", {})),
        baselines=settings_laid_over(base.baselines, document.get("baselines", {})),
    )


def _with_scorer(base: "_Unchecked", scorer: str | None) -> "_Unchecked":
    """Replace the scorer by the flag's, and fill in the settings of its model."""
    run = base.run
    if scorer is not None and scorer != run.scorer:
        run = replace(run, scorer=scorer, scorer_model=None)
    return replace(base, run=replace(run, scorer_model=run.model))


def _help_boxes(agent: str) -> str:
    """The head of `train --help`: usage, main options, sources of settings."""
    usage = (
        "python -m mtf_rl.train [AGENT] [flags], in any order. The agent's own flags have no"
        " prefix, such as --gamma.",
        f"AGENT: {', '.join(AGENTS)}, or your own as module:Name. Default: {DEFAULT_AGENT}. The"
        f" flags below are those of {agent}.",
    )
    sources = [
        *((f"--preset {name}", text) for name, text in _PRESET_HELP.items()),
        ("--config FILE", "settings from JSON, such as a run's config.json; flags win"),
        ("--resume RUN", "resume a stopped run; no other flags"),
    ]
    return "\n".join(
        (
            _box("Usage", [("", line) for line in usage]),
            _box("Main options", _main_options()),
            _box("Where settings come from", sources),
        )
    )


def _box(title: str, rows: Sequence[tuple[str, str]]) -> str:
    """Frame flags and texts at terminal width, in tyro's style but without importing rich."""
    width = max(40, min(shutil.get_terminal_size().columns, 100)) - 4
    indent = max(len(flag) for flag, _ in rows)
    indent += 2 if indent else 0
    lines = [f"╭─ {title} {'─' * (width - len(title) - 1)}╮"]
    for flag, text in rows:
        wrapped = textwrap.wrap(text, width - indent, break_on_hyphens=False)
        lines += [
            f"│ {(flag if not number else '').ljust(indent)}{line.ljust(width - indent)} │"
            for number, line in enumerate(wrapped)
        ]
    return "\n".join([*lines, f"╰{'─' * (width + 2)}╯"])


def _main_options() -> list[tuple[str, str]]:
    """The main flags with short descriptions."""
    return [
        ("--data DIR", "KuaiRand's files, or a prepared folder; without it a synthetic world"),
        ("--predictions FILE", "predictions of your own ranker, in place of a scorer"),
        ("--production W", "weights in production, as reference (weights.json or 0.4,0.8,...)"),
        ("--session.reward R", f"{', '.join(REWARDS)}, or your own as module:function"),
        ("--scorer NAME", f"{', '.join(SCORERS)}, or your own as module:Config"),
        ("--requests N", "interaction budget of each method, in simulated requests"),
        ("--sessions N", "final sessions on which each policy is evaluated"),
        ("--seed N", "seed of everything random"),
        ("--device D", "auto, cpu or cuda; only cpu gives repeatable numbers"),
        ("--run-dir DIR", "folder of the run, new or empty; by default runs/AGENT-N"),
    ]


def _parse_flags(base: "_Unchecked", words: list[str]) -> RunSettings:
    bare = tyro.conf.arg(name="")
    agent_type: Any = type(base.agent_settings)
    if {"-h", "--help"} & set(words):
        sys.stdout.write(_help_boxes(base.agent) + "\n")
    # The agent's own flags have no prefix; if the agent is a search, it is not listed again.
    others = [entry for entry in fields(Baselines) if entry.name != base.agent]
    baselines_type = make_dataclass("Baselines", [(entry.name, entry.type) for entry in others])
    baselines = baselines_type(*(getattr(base.baselines, entry.name) for entry in others))
    kind = make_dataclass(
        "Train",
        [
            ("run", Annotated[RunConfig, bare]),
            ("scorer_model", type(base.run.scorer_model)),
            ("agent_settings", Annotated[agent_type, bare]),
            ("baselines", Annotated[baselines_type, bare]),
        ],
    )
    parsed: Any = tyro.cli(
        kind,
        args=words,
        default=kind(base.run, base.run.scorer_model, base.agent_settings, baselines),
        prog="python -m mtf_rl.train",
        description="Train an agent on fusion weights and compare it with baselines.",
    )
    # tyro copies fields without a flag from the default; `replace` derives them from the flags.
    session = replace(parsed.run.session, fusion=replace(parsed.run.session.fusion))
    run = replace(parsed.run, session=session, scorer_model=parsed.scorer_model)
    searches = replace(base.baselines, **vars(parsed.baselines))
    return RunSettings(base.agent, parsed.agent_settings, run, searches)
