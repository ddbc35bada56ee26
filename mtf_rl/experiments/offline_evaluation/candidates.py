"""The policies that are to be evaluated, read and held against the log."""

from collections.abc import Sequence
from pathlib import Path

from mtf_rl.agents import FusionPolicy, load_policy
from mtf_rl.core.errors import ArtifactError, ConfigError
from mtf_rl.data import BatchDataset
from mtf_rl.experiments.collection import refuse_other_base_rates
from mtf_rl.experiments.run_evaluation import entry_folders

__all__ = ["load_candidates", "refuse_another_log"]


def load_candidates(paths: Sequence[Path]) -> dict[str, FusionPolicy]:
    """Policies by name: a folder's own, or one for each entry of a run, each folder once.

    Names are RUN/POLICY: the policy's folder and the one above it, or above `policy`; the whole
    path where they collide.

    Raises:
        ArtifactError: if a folder holds neither, or a file is torn.
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
    """Short names and folders."""
    if (path / "policy.json").exists():
        parts = [part for part in path.absolute().parts if part != "policy"]
        return [("/".join(parts[-2:]), path)]
    entries = entry_folders(path / "policy")
    if entries is not None:
        return [(f"{path.absolute().name}/{name}", folder) for name, folder in entries.items()]
    raise ArtifactError(
        f"{path} holds no policy: expected policy.json, or a run's policy/entries.json. Name a"
        f" folder such as runs/NAME/policy/lspi, or a finished run"
    )


def refuse_another_log(name: str, policy: FusionPolicy, batch: BatchDataset) -> None:
    """Refuse a policy whose actions or observations mean something else than the log's.

    A log that does not tell its setting is taken to be of the policy's.

    Raises:
        ConfigError: naming the first difference.
    """
    setting, logged = policy.setting, batch.setting or {}
    for part, mine in setting.fusion.to_json().items():
        theirs = logged.get(part, mine)
        if mine != theirs:
            raise ConfigError(
                f"policy {name} acts with {part} {mine!r}, the log's actions have {theirs!r}: they"
                f" are other weights, so that the log cannot tell what the policy is worth"
            )
    refuse_other_base_rates(f"policy {name}", setting, batch)
    parameters = setting.make_formula().parameter_names
    if parameters != batch.parameter_names:
        raise ConfigError(
            f"policy {name} makes parameters {', '.join(parameters)}, the log has"
            f" {', '.join(batch.parameter_names)}"
        )
    if not policy.is_static and setting.observation != batch.observation_names:
        missing = [n for n in setting.observation if n not in batch.observation_names]
        what = f"'{missing[0]}' is missing" if missing else "they stand in another order"
        raise ConfigError(
            f"policy {name} reads {len(setting.observation)} observed numbers that the log's"
            f" {len(batch.observation_names)} are not: {what}"
        )
