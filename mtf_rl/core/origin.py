"""How an artifact came about: the command that made the run folder it lies in."""

import json
import shlex
from pathlib import Path

__all__ = ["command_of", "remedy"]

_LEVELS = 3  # a policy lies in RUN/policy/NAME
_COMMANDS = ("train", "compare", "evaluate", "collect", "pretrain", "fidelity", "prepare")


def command_of(folder: Path) -> str | None:
    """The command that made the nearest run folder at or above `folder`; None where none tells."""
    for run in (folder, *folder.absolute().parents)[: _LEVELS + 1]:
        try:
            words = json.loads((run / "provenance.json").read_bytes())["command"].split()
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
        if words and Path(words[0]).stem in _COMMANDS:
            return shlex.join(["python", "-m", f"mtf_rl.{Path(words[0]).stem}", *words[1:]])
    return None


def remedy(folder: Path, what: str) -> str:
    """A sentence that says how to make again what lies in `folder`: the exact command if recorded.

    Args:
        folder: the artifact's, or the run's.
        what: the beginning of the sentence, such as "Make it again".
    """
    command = command_of(folder)
    if command is None:
        return f"{what}, with the command that made it: python -m mtf_rl.train [AGENT] [flags]"
    return f"{what}: {command}"
