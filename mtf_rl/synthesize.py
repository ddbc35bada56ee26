"""Command: write the logs of the synthetic world in KuaiRand's layout.

python -m mtf_rl.synthesize --out DIR [--users N] [--videos N] [--days N] [--seed N]
"""

from mtf_rl.experiments.command_line import parse_command
from mtf_rl.experiments.command_settings import SynthesizeConfig
from mtf_rl.experiments.entry_point import run_command


def main() -> None:
    """Parse, synthesise, print."""
    config = parse_command(SynthesizeConfig, "synthesize")
    from mtf_rl.experiments.console import Terminal
    from mtf_rl.experiments.run_folder import check_free
    from mtf_rl.user_models import synthesize

    check_free(config.out, "--out")
    terminal = Terminal()
    with terminal.progress("users", config.world.users) as bar:
        report = synthesize(
            config.world, config.out, processes=config.processes, progress=bar.reach
        )
    terminal.say(report.to_markdown())


if __name__ == "__main__":
    run_command(main)
