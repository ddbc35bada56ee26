"""Estimates reward weights from a log, prints them and writes a reward module."""

from pathlib import Path

from mtf_rl.core.errors import ConfigError
from mtf_rl.core.files import replace_atomically
from mtf_rl.data import read_log, single_request_fraction
from mtf_rl.evaluation import RewardWeights, estimate_reward_weights, session_panel
from mtf_rl.experiments.command_line import log_of_run
from mtf_rl.experiments.command_settings import RewardWeightsConfig
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.run_folder import check_free, open_run_folder, write_table

__all__ = ["RewardWeightsConfig", "reward_module", "weigh_rewards"]

_FRAGMENTED = 0.5


def weigh_rewards(config: RewardWeightsConfig, terminal: Terminal) -> RewardWeights:
    """Estimate the weights from the log, print them, and write them to `config.out` if given.

    Raises:
        MtfRlError: if settings, data or files are invalid.
    """
    if config.out is not None:
        check_free(config.out, "--out")
    folder, gap_minutes = _log_of(config)
    terminal.stage(f"Reward weights from the log in {folder}")
    dataset = read_log(folder, session_gap_minutes=gap_minutes)
    panel = session_panel(dataset.impressions, session_gap_minutes=gap_minutes, tasks=dataset.tasks)
    weights = estimate_reward_weights(panel)
    page = _page(weights, single_request_fraction(dataset.impressions))
    terminal.say(page)
    if config.out is not None:
        replace_atomically(config.out / "reward_weights.md", page.encode())
        write_table(config.out / "reward_weights", weights.to_records())
        if weights.reward is not None:
            replace_atomically(config.out / "my_reward.py", reward_module(weights).encode())
        terminal.say(f"Written to {config.out}.")
    return weights


def reward_module(weights: RewardWeights) -> str:
    """A Python module that defines the weights as `worth`, a reward of `mtf_rl.envs`.

    Weights that are not significant are 0.

    Raises:
        ConfigError: if no weight is significant.
    """
    if weights.reward is None:
        raise ConfigError("no weight is significant in this log, so there is no reward to write")
    watch_minute, feedbacks = weights.reward
    unit = "this session" if weights.is_in_watch_minutes else "the next session"
    names = ", ".join(weight.name for weight in weights.inputs[:-1])
    values = ", ".join(f"{value:.4g}" for value in feedbacks)
    return (
        f'"""A reward in watch minutes of {unit}, estimated from a log; 0: not significant."""\n\n'
        "from mtf_rl.envs import Reward\n\n"
        f"# {names}\n"
        f"worth = Reward(watch_minute={watch_minute:.4g}, feedbacks=({values}))\n"
    )


def _log_of(config: RewardWeightsConfig) -> tuple[Path, float]:
    """The folder of the log, and the longest gap within a session in minutes."""
    if config.data is not None:
        return config.data, config.session_gap_minutes or 30.0
    assert config.run is not None
    run = open_run_folder(config.run)
    log = log_of_run(run)
    gap_minutes = config.session_gap_minutes or log.session_gap_minutes
    return log.data or run.data / "logs", gap_minutes


def _page(weights: RewardWeights, fragments: float) -> str:
    parts = ["# Reward weights\n", weights.to_markdown()]
    if fragments > _FRAGMENTED:
        parts.insert(
            1,
            f"**These sessions are fragments: {100.0 * fragments:.0f} % of them have one request."
            " The log contains only some of the shown videos, so neither the feedback of a session"
            " nor the length of the next one is complete. This usually biases weights towards 0. Do"
            " not use them as a reward.**\n",
        )
    if weights.reward is None:
        parts.append("No weight is significant in this log, so no reward is written.\n")
    else:
        parts.append("As a reward of your own:\n\n```python\n" + reward_module(weights) + "```\n")
    return "\n".join(parts)
