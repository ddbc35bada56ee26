"""Command: raw KuaiRand files to checked, sessionised Parquet, with a description.

python -m mtf_rl.prepare DIR --out DIR
"""

from mtf_rl.experiments.command_line import parse_command
from mtf_rl.experiments.command_settings import PrepareConfig
from mtf_rl.experiments.console import Terminal, run_command


def main() -> None:
    """Parse, prepare, print."""
    config = parse_command(PrepareConfig, "prepare")
    from mtf_rl.core.files import replace_atomically, save_json
    from mtf_rl.data import describe, read_kuairand, write_prepared
    from mtf_rl.experiments.run_folder import check_free

    check_free(config.out, "--out")
    dataset = read_kuairand(config.data, session_gap_minutes=config.session_gap_minutes)
    description = describe(dataset)
    write_prepared(dataset, config.out)
    save_json(config.out / "description.json", description.to_json())
    replace_atomically(config.out / "description.md", description.to_markdown().encode())
    Terminal().say(description.to_markdown())


if __name__ == "__main__":
    run_command(main)
