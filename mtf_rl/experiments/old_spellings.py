"""Converts flags, settings and commands from the spelling of the previous release.

Each old spelling is reported once on stderr, with the new one. The next release drops them.
"""

from collections.abc import Sequence
from typing import Any

from mtf_rl.core.deprecation import note_old_spelling
from mtf_rl.core.plugins import is_import_path

__all__ = [
    "RENAMED_FIELDS",
    "current_document",
    "current_words",
    "holds_old_fields",
    "words_of_ope",
    "words_of_replay",
]

RENAMED_FIELDS = {
    "bound": "action_flexibility",
    "deviation": "std",
    "elite_share": "elite_fraction",
    "finalist_share": "finalist_fraction",
    "first_share": "first_fraction",
    "held_out_share": "held_out_fraction",
    "initial_deviation": "initial_std",
    "judge": "evaluator",
    "min_share": "min_fraction",
    "most_blocks": "max_blocks",
    "random_share": "random_fraction",
    "samples": "n_action_samples",
    "shares": "fractions",
    "threshold": "alpha_threshold",
    "twin": "myopic_baseline",
    "validation_share": "validation_fraction",
    "weight": "conservative_weight",
}
"""Renamed fields of settings, old to new. Only `ModelConfig` of off-policy evaluation still has a
field with an old name, `bound`. Settings of extensions can have one and are not converted."""

_OF_RUNS = frozenset({"judge", "shares", "twin"})  # flags without a prefix that no agent has

_RENAMED_VALUES = {
    "hand_set": "reward_weighted",
    "shared-bottom": "shared_bottom",
    "single-task": "single_task",
    "escm2-ips": "escm2_ips",
    "escm2-dr": "escm2_dr",
    "multi-ipw": "multi_ipw",
    "multi-dr": "multi_dr",
}
"""Names of agents, contestants and scorers, old to new."""

_RENAMED_EVALUATORS = {"world": "ground_truth", "synthetic_truth": "ground_truth"}


def current_words(words: Sequence[str]) -> list[str]:
    """Convert command-line arguments to the current spelling."""
    current: list[str] = []
    own_agent = _names_own_agent(words)
    flag = ""  # the flag that the next values belong to
    for word in words:
        if word.startswith("--"):
            flag, equals, value = word.partition("=")
            flag = _current_flag(flag, own_agent=own_agent)
            current.append(flag + equals + (_current_value(flag, value) if equals else ""))
        else:
            current.append(_current_value(flag, word))
    return current


def current_document(document: Any) -> Any:
    """Convert settings in JSON to the current spelling."""
    if not isinstance(document, dict):
        return document
    current = {}
    kept = _settings_of_extensions(document)
    for name, value in document.items():
        if name in kept:
            current[name] = value
            continue
        new = RENAMED_FIELDS.get(str(name), str(name))
        if new != name:
            note_old_spelling(f"setting {name}", new)
        if name in ("agent", "scorer", "evaluator", "judge") and isinstance(value, str):
            current[new] = _current_value(f"--{new}", value)
        else:
            current[new] = current_document(value)
    return current


def holds_old_fields(document: Any) -> bool:
    """Whether settings in JSON have fields under their old names."""
    if not isinstance(document, dict):
        return False
    kept = _settings_of_extensions(document)
    return any(
        name in RENAMED_FIELDS or holds_old_fields(value)
        for name, value in document.items()
        if name not in kept
    )


def words_of_ope(words: Sequence[str]) -> list[str] | None:
    """Convert the old `evaluate --data BATCH POLICY...` to arguments of `ope`, else None."""
    for position, word in enumerate(words):
        flag, equals, batch = word.partition("=")
        if flag == "--data":
            note_old_spelling("evaluate --data BATCH POLICY...", "ope BATCH POLICY...")
            after = position + 1 if equals else position + 2
            batches = [batch] if equals else list(words[position + 1 : after])
            return [*batches, *words[:position], *words[after:]]
    return None


def words_of_replay(words: Sequence[str]) -> list[str] | None:
    """Convert the old `evaluate RUN --random-log` to arguments of `replay`, else None."""
    if "--random-log" not in words:
        return None
    note_old_spelling("evaluate RUN --random-log", "replay RUN")
    return [word for word in words if word != "--random-log"]


def _names_own_agent(words: Sequence[str]) -> bool:
    """Whether a `module:Name` stands alone, and so is no flag's value."""
    return any(
        is_import_path(word) and not word.startswith("--") and not before.startswith("--")
        for before, word in zip(("", *words), words, strict=False)
    )


def _settings_of_extensions(document: dict[str, Any]) -> frozenset[str]:
    """Entries whose names are an extension's own, or new in this release."""
    agent = document.get("agent")
    is_own = isinstance(agent, str) and is_import_path(agent)
    return frozenset({"scorer_model", *(("agent_settings",) if is_own else ())})


def _current_flag(flag: str, *, own_agent: bool) -> str:
    *path, last = flag.removeprefix("--").split(".")
    negation = "no-" if last.startswith("no-") else ""
    old = last.removeprefix("no-").replace("-", "_")
    if old not in RENAMED_FIELDS or path == ["model"]:  # ope's --model.bound is another bound
        return flag
    if path == ["scorer-model"] or (own_agent and not path and old not in _OF_RUNS):
        return flag
    new = ".".join([*path, negation + RENAMED_FIELDS[old].replace("_", "-")])
    note_old_spelling(flag, f"--{new}")
    return f"--{new}"


def _current_value(flag: str, value: str) -> str:
    """Convert a flag's value, or a positional name (the flag is "" or takes no value)."""
    if flag.endswith("evaluator"):
        new = _RENAMED_EVALUATORS.get(value, value)
    elif flag.endswith(("-dir", "--out", "--data", "--batch", "--config", "--resume")):
        return value
    else:
        new = _RENAMED_VALUES.get(value, value)
    if new != value:
        note_old_spelling(value, new)
    return new
