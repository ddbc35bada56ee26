"""Command: check raw KuaiRand files and write sessionised Parquet with a description.

python -m mtf_rl.prepare DIR --out DIR
"""

from mtf_rl.experiments.command_line import parse_command
from mtf_rl.experiments.command_settings import PrepareConfig
from mtf_rl.experiments.entry_point import run_command


def main() -> None:
    """Parse, prepare, print."""
    config = parse_command(PrepareConfig, "prepare")
    from mtf_rl.core.files import load_json, replace_atomically, save_json
    from mtf_rl.data import describe, read_kuairand, write_prepared
    from mtf_rl.experiments.console import Terminal
    from mtf_rl.experiments.run_folder import check_free
    from mtf_rl.user_models.world.synthesis import WORLD_FILE

    check_free(config.out, "--out")
    dataset = read_kuairand(config.data, session_gap_minutes=config.session_gap_minutes)
    description = describe(dataset)
    write_prepared(dataset, config.out)
    if (config.data / WORLD_FILE).exists():  # the ground truth of a synthetic log
        save_json(config.out / WORLD_FILE, load_json(config.data / WORLD_FILE))
    save_json(config.out / "description.json", description.to_json())
    replace_atomically(config.out / "description.md", description.to_markdown().encode())
    terminal = Terminal()
    terminal.say(description.to_markdown())
    terminal.say(f"Written to {config.out}.")
    terminal.say(f"Train on it: python -m mtf_rl.train --data {config.out}")


if __name__ == "__main__":
    run_command(main)
