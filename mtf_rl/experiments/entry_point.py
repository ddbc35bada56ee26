"""Entry point of every command: framed error messages and exit codes."""

import os
import sys
from collections.abc import Callable
from typing import NoReturn

from mtf_rl.core.errors import MtfRlError
from mtf_rl.core.plugins import repeated_on_command_line

__all__ = ["run_command"]


def run_command(main: Callable[[], None]) -> NoReturn:
    """Run a command, print expected errors in a frame, and exit with code 0, 1, 2 or 130."""
    try:
        sys.argv[1:] = repeated_on_command_line(sys.argv[1:])
        main()
    except MtfRlError as error:
        _frame(type(error).__name__, str(error))
        sys.exit(2)
    except BrokenPipeError:  # The reader, such as head, closed the pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        _frame("File or system error", str(error))
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted. Finished parts are in the run folder.\n")
        sys.exit(130)
    sys.exit(0)


def _frame(title: str, message: str) -> None:
    # Imported here, because rich is slow to import and only needed for errors.
    from rich.console import Console
    from rich.panel import Panel
    from rich.text import Text

    errors = Console(stderr=True, highlight=False)
    errors.print(Panel(Text(message), title=title, border_style="red"))
