"""A log from a folder: KuaiRand's own files, or what `prepare` made of them."""

from pathlib import Path

from mtf_rl.core.errors import ConfigError
from mtf_rl.data.dataset import Dataset
from mtf_rl.data.prepared import is_prepared, read_prepared
from mtf_rl.data.reading import read_kuairand

__all__ = ["read_log"]


def read_log(directory: Path, *, session_gap_minutes: float = 30.0) -> Dataset:
    """Read KuaiRand's CSV files, or what `python -m mtf_rl.prepare` made of them.

    Both give equal datasets.

    Args:
        directory: the folder that holds the files.
        session_gap_minutes: a longer gap between a user's requests starts a new session, above 0.

    Raises:
        ConfigError: if the gap is not above 0, or not the one that the folder was prepared with.
        DataError: naming file, line and column of what is wrong.
        ArtifactError: if prepared files are torn or of another version.
    """
    if not is_prepared(directory):
        return read_kuairand(directory, session_gap_minutes=session_gap_minutes)
    dataset = read_prepared(directory)
    prepared_with = dataset.schema.session_gap_minutes
    if prepared_with != session_gap_minutes:
        raise ConfigError(
            f"{directory} was prepared with --session-gap-minutes {prepared_with:g},"
            f" but this command asks for {session_gap_minutes:g}. Give the same number, or prepare"
            " the log again."
        )
    return dataset
