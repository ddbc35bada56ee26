"""Command: train an agent on fusion weights and compare it with baselines.

python -m mtf_rl.train [AGENT] [flags]
python -m mtf_rl.train --resume RUN
"""

from mtf_rl.experiments.command_line import parse_resume, parse_train, preset_note
from mtf_rl.experiments.entry_point import run_command


def main() -> None:
    """Parse, train, print."""
    resumption = parse_resume()
    settings = parse_train() if resumption is None else None
    from mtf_rl.experiments.answer import say_wrapped
    from mtf_rl.experiments.console import Terminal
    from mtf_rl.experiments.training import resume, train

    if settings is not None:
        terminal, note = Terminal(), preset_note()
        if note is not None:
            say_wrapped([note], terminal)
        train(settings, terminal)
    elif resumption is not None:
        resume(resumption.run, Terminal(), reward=resumption.reward)


if __name__ == "__main__":
    run_command(main)
