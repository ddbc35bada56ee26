"""Command: fit scorers on all training rows, calibrate them, report each task's quality.

python -m mtf_rl.pretrain [MODEL|all] [--data DIR] [--scorer-model.FIELD VALUE] [flags]
python -m mtf_rl.pretrain --resume RUN
"""

from mtf_rl.experiments.command_line import parse_pretrain, parse_resume
from mtf_rl.experiments.entry_point import run_command


def main() -> None:
    """Parse, fit, print."""
    resumption = parse_resume(command="pretrain")
    config = parse_pretrain() if resumption is None else None
    from mtf_rl.experiments.console import Terminal
    from mtf_rl.experiments.pretraining import pretrain, resume_pretraining

    if config is not None:
        pretrain(config, Terminal())
    elif resumption is not None:
        resume_pretraining(resumption.run, Terminal())


if __name__ == "__main__":
    run_command(main)
