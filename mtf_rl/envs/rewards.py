"""Rewards of a request, as functions of the slate and the users' feedback."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from mtf_rl.core.arrays import FloatArray, IntArray, check_shape
from mtf_rl.core.errors import ConfigError, MtfRlError, ShapeError, UnknownNameError
from mtf_rl.core.history import VisibleHistory, advance_history, start_history
from mtf_rl.core.plugins import where_raised
from mtf_rl.core.registry import Registry
from mtf_rl.core.slates import Response, Slate
from mtf_rl.core.tasks import KUAIRAND_TASKS, TaskSet
from mtf_rl.core.videos import VideoCatalogue

__all__ = [
    "REWARDS",
    "Reward",
    "RewardFunction",
    "RewardInputs",
    "TaskReward",
    "check_reward_name",
    "reward_named",
    "trial_inputs",
    "worth_of_labels",
]


class HasFeedback(Protocol):
    """Feedback of users: a `Response`, or `RewardInputs`."""

    @property
    def feedback(self) -> FloatArray:
        """(num_envs, slate, feedbacks) float32 of 0 or 1, or counts."""
        ...

    @property
    def watch_seconds(self) -> FloatArray:
        """Play time of each video in seconds, (num_envs, slate) float32."""
        ...


@dataclass(frozen=True)
class RewardInputs:
    """Inputs of a reward, one row per user.

    It has the fields of a `Response`, so a reward that needs only those accepts both.
    """

    response: Response
    """Feedback on each shown video."""
    slate: Slate
    """Users and shown videos, in rank order."""
    history: VisibleHistory
    """The session before this request."""
    catalogue: VideoCatalogue
    """Duration, tags and author of every video."""
    tasks: TaskSet = KUAIRAND_TASKS
    """The log's tasks: `feedback` has a column for each of `tasks.feedbacks`."""

    @property
    def feedback(self) -> FloatArray:
        """(num_envs, slate, feedbacks) float32 of 0 or 1, or counts, in the order of `tasks`."""
        return self.response.feedback

    @property
    def watch_seconds(self) -> FloatArray:
        """Play time of each video in seconds, (num_envs, slate) float32."""
        return self.response.watch_seconds

    @property
    def duration_seconds(self) -> FloatArray:
        """Duration of each video in seconds, (num_envs, slate) float32."""
        durations: FloatArray = self.catalogue.duration_seconds[self.slate.videos]
        return durations

    @property
    def positions(self) -> IntArray:
        """Position of each video in the slate, 0 for the first: (slate,)."""
        return np.arange(self.slate.videos.shape[1])

    def count(self, feedback: str) -> FloatArray:
        """Sum of a feedback, such as "like", over the slate: (num_envs,).

        Raises:
            UnknownNameError: if there is no task of this name.
            ConfigError: if the task is in seconds.
        """
        counts: FloatArray = self.feedback[:, :, self.tasks.feedback_index(feedback)].sum(axis=1)
        return counts  # (num_envs,)


class RewardFunction(Protocol):
    """Interface of a reward."""

    def __call__(self, inputs: RewardInputs, /) -> FloatArray:
        """The reward of each request, (num_envs,), finite."""
        ...


@dataclass(frozen=True)
class Reward(RewardFunction):
    """A weighted sum of watch minutes and feedbacks over the slate."""

    watch_minute: float
    """Reward per minute of play."""
    feedbacks: tuple[float, ...]
    """Reward per unit of each feedback, in the log's order. For KuaiRand: click, long view, like,
    follow, comment, forward, hate."""

    def __call__(self, inputs: HasFeedback, /) -> FloatArray:
        """Reward of each request, (num_envs,) float32."""
        seconds = inputs.watch_seconds.sum(axis=1, dtype=np.float64)  # (num_envs,)
        counts = inputs.feedback.sum(axis=1, dtype=np.float64)  # (num_envs, feedbacks)
        worth = self.watch_minute * seconds / 60.0
        for column, weight in enumerate(self.feedbacks):
            worth = worth + weight * counts[:, column]
        reward: FloatArray = worth.astype(np.float32)
        return reward


@dataclass(frozen=True)
class TaskReward:
    """A reward defined by the worth of a log's tasks."""

    on: Callable[[TaskSet], Reward]
    """Function of the log's tasks that returns the weighted sum."""


def _engagement(tasks: TaskSet) -> Reward:
    """Weights equal to the worth of every task."""
    minute = 0.0 if tasks.seconds is None else tasks.seconds.worth
    return Reward(minute, tuple(task.worth for task in tasks.feedbacks))


def _watch_time(tasks: TaskSet) -> Reward:
    """Weight 1 per minute of the task in seconds, 0 for others."""
    if tasks.seconds is None:
        raise ConfigError(
            "reward 'watch_time' needs a task in seconds, but the log has none:"
            f" its tasks are {', '.join(tasks.names)}. Use engagement or interaction."
        )
    return Reward(1.0, (0.0,) * len(tasks.feedbacks))


def _interaction(tasks: TaskSet) -> Reward:
    """Weights equal to the worth of every task except the one in seconds."""
    return Reward(0.0, tuple(task.worth for task in tasks.feedbacks))


def _nothing(tasks: TaskSet) -> Reward:
    return Reward(0.0, (0.0,) * len(tasks.feedbacks))


def _custom_reward(name: str, function: Any) -> "TaskReward | RewardFunction":
    """Adapt a user's reward: validate it on trial inputs, and check it at every call."""
    if isinstance(function, Reward | TaskReward):
        return function
    if not callable(function) or isinstance(function, type):
        raise ConfigError(
            f"reward {name!r} must be a function of RewardInputs that returns (num_envs,),"
            f" got {function!r}"
        )
    reward = _Checked(name, function)
    # If it needs a task of another log, `reward_named` validates it with that log's tasks.
    with suppress(UnknownNameError):
        _validate(reward, KUAIRAND_TASKS)
    return reward


def _validate(reward: RewardFunction, tasks: TaskSet) -> None:
    for inputs in trial_inputs(tasks):
        reward(inputs)


REWARDS: Registry[Any] = Registry(
    "reward",
    {
        "engagement": TaskReward(_engagement),
        "watch_time": TaskReward(_watch_time),
        "interaction": TaskReward(_interaction),
        "none": TaskReward(_nothing),
    },
    adapt=_custom_reward,
)
"""Rewards by name: a `TaskReward`, or a reward registered by the user."""


def check_reward_name(name: str) -> None:
    """Raise an error if `name` cannot be a reward; imports nothing.

    Raises:
        UnknownNameError: if it is neither in `REWARDS` nor of the form `module:function`.
        ConfigError: if it has a colon, but not the form `module:function`.
    """
    REWARDS.check(name)


def reward_named(name: str, tasks: TaskSet = KUAIRAND_TASKS) -> RewardFunction:
    """The reward of this name; a `module:function` is imported and validated on trial inputs.

    Args:
        name: a registered name, or `module:function`.
        tasks: tasks of the log.

    Raises:
        UnknownNameError: if it is neither in `REWARDS` nor of the form `module:function`.
        ConfigError: if the module or function is missing or raises an error, or the log lacks a
            task that the reward needs.
        ShapeError: if the reward does not have shape (num_envs,) or is not finite.
    """
    reward: TaskReward | RewardFunction = REWARDS.resolve(name)
    if isinstance(reward, TaskReward):
        return reward.on(tasks)
    if isinstance(reward, Reward) and len(reward.feedbacks) != len(tasks.feedbacks):
        raise ConfigError(
            f"reward {name!r} must have a weight for each of {', '.join(tasks.feedback_names)},"
            f" got {len(reward.feedbacks)} weights"
        )
    if tasks != KUAIRAND_TASKS or isinstance(reward, _Checked):
        _validate(reward, tasks)
    return reward


def worth_of_labels(reward: RewardFunction, tasks: TaskSet) -> tuple[float, ...]:
    """The reward of a label of 1 for each task, in the order of `tasks`.

    This is exact for a weighted sum. For any other reward, it is the change in reward when the
    first video of a request gets this label and there is no other feedback.
    """
    if isinstance(reward, Reward):
        feedbacks = iter(reward.feedbacks)
        return tuple(
            reward.watch_minute * task.cap / 60.0 if task.is_seconds else next(feedbacks) * task.cap
            for task in tasks
        )
    no_feedback = next(trial_inputs(tasks))
    baseline = float(reward(no_feedback)[0])
    worth = []
    for task in tasks:
        feedback = no_feedback.feedback.copy()
        seconds = no_feedback.watch_seconds.copy()
        if task.is_seconds:
            seconds[0, 0] = task.cap
        else:
            feedback[0, 0, tasks.feedback_index(task.name)] = task.cap
        one_label = replace(no_feedback, response=Response(feedback, seconds))
        worth.append(float(reward(one_label)[0]) - baseline)
    return tuple(worth)


def trial_inputs(tasks: TaskSet = KUAIRAND_TASKS) -> Iterator[RewardInputs]:
    """Synthetic requests of 3 users and 4 videos: without feedback, with all, with half of it."""
    rng = np.random.default_rng(0)
    users, shown, videos = 3, 4, 9
    catalogue = VideoCatalogue(
        duration_seconds=rng.uniform(5.0, 90.0, videos).astype(np.float32),
        tags=rng.integers(0, 2, (videos, 1)).astype(np.int32),
        authors=rng.integers(0, 3, videos).astype(np.int32),
        num_tags=2,
    )
    history = start_history(np.full(users, 20.0), catalogue.num_tags, tasks)
    for probability in (0.0, 1.0, 0.5):
        slate = Slate(
            users=np.arange(users),
            videos=rng.integers(0, videos, (users, shown)).astype(np.int32),
            mask=np.ones((users, shown), dtype=np.bool_),
            tabs=np.ones(users, dtype=np.int16),
        )
        feedback = rng.random((users, shown, len(tasks.feedbacks))) < probability
        seconds = probability * catalogue.duration_seconds[slate.videos]
        response = Response(feedback.astype(np.float32), seconds.astype(np.float32))
        yield RewardInputs(response, slate, history, catalogue, tasks)
        history = advance_history(history, slate, response, catalogue)


@dataclass(frozen=True)
class _Checked(RewardFunction):
    """A user's reward, whose result is checked at every call."""

    name: str
    function: Callable[[RewardInputs], Any]

    def __call__(self, inputs: RewardInputs, /) -> FloatArray:
        label = f"the result of reward {self.name!r}"
        try:
            reward = np.asarray(self.function(inputs), dtype=np.float32)
        except MtfRlError:
            raise
        except Exception as error:
            raise ConfigError(
                f"reward {self.name!r} failed on a request: {where_raised(error)}. It must take"
                " RewardInputs and return the reward of each request, shape (num_envs,)"
            ) from error
        check_shape(label, reward, "num_envs", (len(inputs.watch_seconds),))
        if not np.isfinite(reward).all():
            raise ShapeError(f"{label} must be finite, got {reward}")
        return reward
