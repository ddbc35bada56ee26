"""Rules for a log's feedbacks: determined by play time, or interactions fitted given play."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import stats

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.log_schema import KUAIRAND_LOG, LogSchema
from mtf_rl.core.tasks import Task, TaskKind, TaskSet
from mtf_rl.user_models.play import NUM_OUTCOMES, SPAN_STARTS_SECONDS, outcomes_from
from mtf_rl.user_models.session_features import history_feature_names

__all__ = ["KUAIRAND_RULES", "AnswerRules", "PlayRule"]


@dataclass(frozen=True)
class PlayRule:
    """A feedback that is determined by play time."""

    task: Task
    column: int  # position on the axis `feedbacks`
    first_outcome: int  # the feedback happens from this play outcome on
    opens: bool  # whether this feedback is the tap that opens a video in two-column scenes


@dataclass(frozen=True)
class AnswerRules:
    """Splits a log's feedbacks into those determined by play time and fitted interactions.

    Raises:
        ConfigError: if a task's `played_seconds` is not the start of a play-time span.
    """

    schema: LogSchema = KUAIRAND_LOG

    def __post_init__(self) -> None:
        for task in self.tasks:
            start = task.played_seconds
            if start is not None and start not in SPAN_STARTS_SECONDS[1:]:
                raise ConfigError(
                    f"played_seconds of task '{task.name}' must be one of"
                    f" {', '.join(map(str, SPAN_STARTS_SECONDS[1:]))} in a simulator,"
                    f" got {start:g}."
                    " Choose one of these, or omit it to fit the task given play."
                )

    @property
    def tasks(self) -> TaskSet:
        """The log's tasks."""
        return self.schema.tasks

    @cached_property
    def plays(self) -> tuple[PlayRule, ...]:
        """The feedbacks that are determined by play time."""
        opened_by = self.schema.scenes.opened_by
        return tuple(
            PlayRule(task, column, outcomes_from(task.played_seconds), task.name == opened_by)
            for column, task in enumerate(self.tasks.feedbacks)
            if task.played_seconds is not None
        )

    @cached_property
    def interactions(self) -> tuple[Task, ...]:
        """All other feedbacks, which the network predicts given the play."""
        return tuple(task for task in self.tasks.feedbacks if task.played_seconds is None)

    @property
    def num_interactions(self) -> int:
        """Number of interactions."""
        return len(self.interactions)

    @cached_property
    def interaction_columns(self) -> slice | IntArray:
        """Positions of the interactions on the axis `feedbacks`; a slice if they are contiguous."""
        columns = [self.tasks.feedback_index(task.name) for task in self.interactions]
        return _as_slice(columns)

    @property
    def num_outputs(self) -> int:
        """Number of outputs of the response network: play outcomes, then interactions."""
        return NUM_OUTCOMES + self.num_interactions

    def events(self, feedback: FloatArray | IntArray) -> FloatArray | BoolArray:
        """The interactions of logged feedback (..., feedbacks).

        Returns:
            (..., interactions): bool if all interactions are binary, else float64 labels in [0, 1].
        """
        logged = feedback[..., self.interaction_columns]
        if all(task.kind is TaskKind.BINARY for task in self.interactions):
            return np.asarray(logged > 0)
        labels = [task.label(logged[..., k]) for k, task in enumerate(self.interactions)]
        return np.stack(labels, axis=-1).astype(np.float64)

    def draw_interactions(
        self, chances: FloatArray, uniforms: FloatArray
    ) -> FloatArray | BoolArray:
        """Draw interactions from probabilities and uniforms, all (rows, interactions).

        A count is binomial with `cap` trials.
        """
        drawn = uniforms < chances
        counts = [k for k, task in enumerate(self.interactions) if task.kind is TaskKind.COUNT]
        if not counts:
            return np.asarray(drawn)
        values = drawn.astype(np.float64)
        for k in counts:
            cap = int(self.interactions[k].cap)
            quantiles = stats.binom.ppf(1.0 - uniforms[:, k], cap, chances[:, k])
            values[:, k] = np.clip(quantiles, 0, cap)
        return values

    @cached_property
    def interest(self) -> int | None:
        """Position of the feedback that shows interest in a video; None if no task does."""
        task = self.tasks.interest
        return None if task is None else self.tasks.feedback_index(task.name)

    @cached_property
    def play_chain(self) -> tuple[PlayRule, PlayRule] | None:
        """The first nested pair of feedbacks that play time determines; None if there is none.

        For KuaiRand, click and long view; `clicked_in_vain` is a click without a long view.
        """
        rules = {rule.task.name: rule for rule in self.plays}
        pairs = [pair for pair in self.tasks.chains if pair[0] in rules and pair[1] in rules]
        return (rules[pairs[0][0]], rules[pairs[0][1]]) if pairs else None

    @cached_property
    def history_names(self) -> tuple[str, ...]:
        """Names of the columns of `session_features.history_features`."""
        return history_feature_names(self.tasks)

    @cached_property
    def ranked_columns(self) -> list[int]:
        """Columns of the history that a log's rankers influence: all except the time of day."""
        names = enumerate(self.history_names)
        return [column for column, name in names if not name.endswith(("_sin", "_cos"))]

    @property
    def num_request_features(self) -> int:
        """Width of `responses.request_features`: history features and three kinds of scene."""
        return len(self.history_names) + 3

    @cached_property
    def trace_signals(self) -> tuple[str, ...]:
        """Names of the signals of a slate in a session's trace."""
        in_vain = () if self.play_chain is None else ("clicked_in_vain",)
        long_views = ("clicked_long_logit", "clicked_in_vain_long_logit")
        return (
            *self.tasks.signal_names,
            *in_vain,
            "overlap",
            *(f"clicked_{task.name}_logit" for task in self.interactions),
            *(long_views if self.play_chain is not None else ()),
        )

    @property
    def long_seconds(self) -> float:
        """Play time in seconds from which a play is long; infinite without a task in seconds."""
        seconds = self.tasks.seconds
        return np.inf if seconds is None else seconds.positive_label * seconds.cap


def _as_slice(columns: Sequence[int]) -> slice | IntArray:
    if columns and list(columns) == list(range(columns[0], columns[-1] + 1)):
        return slice(columns[0], columns[-1] + 1)
    return np.array(columns, dtype=np.int64)


KUAIRAND_RULES = AnswerRules()
