"""Read a log from a folder of KuaiRand's files or of files written by `prepare`."""

from pathlib import Path

from mtf_rl.core.errors import ConfigError
from mtf_rl.data.dataset import Dataset
from mtf_rl.data.prepared import is_prepared, read_prepared
from mtf_rl.data.reading import read_kuairand

__all__ = ["read_log"]


def read_log(directory: Path, *, session_gap_minutes: float = 30.0) -> Dataset:
    """Read KuaiRand's CSV files, or the files written by `python -m mtf_rl.prepare`.

    Both give equal datasets.

    Args:
        directory: folder with the files.
        session_gap_minutes: a longer gap between a user's requests starts a new session, > 0.

    Raises:
        ConfigError: if the gap is not > 0, or differs from the gap used by `prepare`.
        DataError: if a file is invalid; the message has file, line and column.
        ArtifactError: if prepared files are damaged or of another version.
    """
    if not is_prepared(directory):
        return read_kuairand(directory, session_gap_minutes=session_gap_minutes)
    dataset = read_prepared(directory)
    prepared_with = dataset.schema.session_gap_minutes
    if prepared_with != session_gap_minutes:
        raise ConfigError(
            f"{directory} was prepared with --session-gap-minutes {prepared_with:g},"
            f" but this command uses {session_gap_minutes:g}. Use the same value, or prepare the"
            " log again."
        )
    return dataset
