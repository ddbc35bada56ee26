"""What a log tells of a reward's weights: printed, written, and put as a reward of one's own."""

from dataclasses import dataclass
from pathlib import Path

from mtf_rl.core.errors import ConfigError
from mtf_rl.core.files import replace_atomically
from mtf_rl.core.ranges import check_above
from mtf_rl.core.tasks import FEEDBACKS
from mtf_rl.data import read_kuairand, single_request_fraction
from mtf_rl.evaluation import RewardWeights, estimate_reward_weights, session_panel
from mtf_rl.experiments.command_line import log_of_run
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.run_folder import check_free, open_run_folder, write_table

__all__ = ["RewardWeightsConfig", "reward_module", "weigh_rewards"]

_FRAGMENTED = 0.5


@dataclass(frozen=True)
class RewardWeightsConfig:
    """Estimate how each feedback relates to the watch time of its user's next session.

    Raises:
        ConfigError: if not just one of data and run is given, or the gap is not above 0.
    """

    data: Path | None = None
    """Folder of KuaiRand logs and features."""
    run: Path | None = None
    """Folder of a run, whose log is taken, in place of data."""
    out: Path | None = None
    """Folder to write, new or empty: reward_weights.md, .csv, .json; my_reward.py if a weight is
    told."""
    session_gap_minutes: float | None = None
    """A longer gap between two requests starts another session, above 0; 30, or the run's."""

    def __post_init__(self) -> None:
        if (self.data is None) == (self.run is None):
            raise ConfigError(
                f"one of data and run must be given, got data={self.data} and run={self.run};"
                " for example --data DIR"
            )
        if self.session_gap_minutes is not None:
            check_above("session_gap_minutes", self.session_gap_minutes, 0.0)


def weigh_rewards(config: RewardWeightsConfig, terminal: Terminal) -> RewardWeights:
    """Read the log, estimate the weights, print them, and write them where asked.

    Raises:
        MtfRlError: for anything that the user can mend.
    """
    if config.out is not None:
        check_free(config.out, "--out")
    folder, gap_minutes = _log_of(config)
    terminal.stage(f"Reward weights from the log in {folder}")
    dataset = read_kuairand(folder, session_gap_minutes=gap_minutes)
    panel = session_panel(dataset.impressions, session_gap_minutes=gap_minutes)
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

    Weights that the log does not tell are 0.

    Raises:
        ConfigError: if the log tells no weight.
    """
    if weights.reward is None:
        raise ConfigError("the log tells no weight, so there is no reward to write")
    watch_minute, feedbacks = weights.reward
    unit = "this session" if weights.is_in_watch_minutes else "the next session"
    names = ", ".join(task.name for task in FEEDBACKS)
    values = ", ".join(f"{value:.4g}" for value in feedbacks)
    return (
        f'"""A reward in watch minutes of {unit}, as a log tells it; 0 is not told."""\n\n'
        "from mtf_rl.envs import Reward\n\n"
        f"# {names}\n"
        f"worth = Reward(watch_minute={watch_minute:.4g}, feedbacks=({values}))\n"
    )


def _log_of(config: RewardWeightsConfig) -> tuple[Path, float]:
    """The folder of the log, and the gap between sessions in minutes."""
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
            f"**These are fragments of sessions: {fragments:.0%} of them have one request. The log"
            " holds some of the shown videos only, so neither what a user did in a session nor how"
            " long the next one was is known, which as a rule draws weights towards 0. Do not make"
            " a reward of them.**\n",
        )
    if weights.reward is None:
        parts.append("This log tells no weight: there is nothing to make a reward of.\n")
    else:
        parts.append("As a reward of your own:\n\n```python\n" + reward_module(weights) + "```\n")
    return "\n".join(parts)
