"""Loads the policies to evaluate and checks that they fit the log."""

from collections.abc import Sequence
from pathlib import Path

from mtf_rl.agents import FusionPolicy, load_policy
from mtf_rl.core.errors import ArtifactError, ConfigError
from mtf_rl.data import BatchDataset
from mtf_rl.experiments.collection import refuse_other_base_rates
from mtf_rl.experiments.run_evaluation import entry_folders

__all__ = ["load_candidates", "refuse_another_log"]


def load_candidates(paths: Sequence[Path]) -> dict[str, FusionPolicy]:
    """Load policies by name from policy folders and from run folders, each policy once.

    Names are RUN/POLICY, from the last parts of the path without `policy`. Names that are not
    unique are replaced by the whole path.

    Raises:
        ArtifactError: if a folder is neither, or a file is torn.
    """
    named = list(
        {
            folder.resolve(): (name, folder) for path in paths for name, folder in _named(path)
        }.values()
    )
    short = [name for name, _ in named]
    return {
        name if short.count(name) == 1 else str(folder): load_policy(folder)
        for name, folder in named
    }


def _named(path: Path) -> list[tuple[str, Path]]:
    """Short names and folders of the policies under a path."""
    if (path / "policy.json").exists():
        parts = [part for part in path.absolute().parts if part != "policy"]
        return [("/".join(parts[-2:]), path)]
    entries = entry_folders(path / "policy")
    if entries is not None:
        return [(f"{path.absolute().name}/{name}", folder) for name, folder in entries.items()]
    raise ArtifactError(
        f"{path} holds no policy: expected policy.json, or a run's policy/entries.json. Give a"
        f" folder such as runs/NAME/policy/lspi, or a finished run"
    )


def refuse_another_log(name: str, policy: FusionPolicy, batch: BatchDataset) -> None:
    """Refuse a policy whose fusion settings or observations differ from the log's.

    A log without a setting is assumed to have the policy's.

    Raises:
        ConfigError: naming the first difference.
    """
    setting, logged = policy.setting, batch.setting or {}
    for part, mine in setting.fusion.to_json().items():
        theirs = logged.get(part, mine)
        if mine != theirs:
            raise ConfigError(
                f"policy {name} has {part} {mine!r}, the log has {theirs!r}: the same actions are"
                f" other weights. Use a policy with the log's settings"
            )
    refuse_other_base_rates(f"policy {name}", setting, batch)
    parameters = setting.make_formula().parameter_names
    if parameters != batch.parameter_names:
        raise ConfigError(
            f"policy {name} has parameters {', '.join(parameters)}, the log has"
            f" {', '.join(batch.parameter_names)}. Use a policy with the log's parameters"
        )
    if not policy.is_static and setting.observation != batch.observation_names:
        missing = [n for n in setting.observation if n not in batch.observation_names]
        reason = f"the log lacks '{missing[0]}'" if missing else "the log has another order"
        raise ConfigError(
            f"policy {name} observes {len(setting.observation)} features, the log has"
            f" {len(batch.observation_names)}: {reason}. Use a policy with the log's observations"
        )
