"""Origin of an artifact: the command that created its run folder."""

import json
import shlex
from pathlib import Path

__all__ = ["command_of", "remedy"]

_LEVELS = 3  # a policy is saved in RUN/policy/NAME
_COMMANDS = ("train", "compare", "evaluate", "collect", "pretrain", "fidelity", "prepare")


def command_of(folder: Path) -> str | None:
    """The command that created the nearest run folder at or above `folder`; None if unrecorded."""
    for run in (folder, *folder.absolute().parents)[: _LEVELS + 1]:
        try:
            words = json.loads((run / "provenance.json").read_bytes())["command"].split()
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
        if words and Path(words[0]).stem in _COMMANDS:
            return shlex.join(["python", "-m", f"mtf_rl.{Path(words[0]).stem}", *words[1:]])
    return None


def remedy(folder: Path, action: str) -> str:
    """A sentence with the command that recreates the contents of `folder`.

    Args:
        folder: folder of the artifact, or of its run.
        action: beginning of the sentence, such as "Make it again".
    """
    command = command_of(folder)
    if command is None:
        return f"{action}, with the command that made it: python -m mtf_rl.train [AGENT] [flags]"
    return f"{action}: {command}"
