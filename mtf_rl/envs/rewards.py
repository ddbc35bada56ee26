"""What one request is worth, as a function of what was shown and what the users did."""

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


class Answers(Protocol):
    """What the users did: a `Response`, or the `RewardInputs` that hold one."""

    @property
    def feedback(self) -> FloatArray:
        """(num_envs, slate, feedbacks) float32 of 0/1."""
        ...

    @property
    def watch_seconds(self) -> FloatArray:
        """(num_envs, slate) float32."""
        ...


@dataclass(frozen=True)
class RewardInputs:
    """Everything that a reward may look at, one row per user.

    It has the fields of a `Response`, so that a reward of responses alone takes it too.
    """

    response: Response
    """What the users did with each shown video."""
    slate: Slate
    """The videos that were shown, best first, and their users."""
    history: VisibleHistory
    """The session before this request."""
    catalogue: VideoCatalogue
    """Duration, tags and author of every video."""
    tasks: TaskSet = KUAIRAND_TASKS
    """The log's tasks: `feedback` has a column for each of `tasks.feedbacks`."""

    @property
    def feedback(self) -> FloatArray:
        """(num_envs, slate, feedbacks) float32 of 0/1 or counts, in the order of `tasks`."""
        return self.response.feedback

    @property
    def watch_seconds(self) -> FloatArray:
        """Play time of each video in seconds, (num_envs, slate) float32."""
        return self.response.watch_seconds

    @property
    def duration_seconds(self) -> FloatArray:
        """Length of each video in seconds, (num_envs, slate) float32."""
        durations: FloatArray = self.catalogue.duration_seconds[self.slate.videos]
        return durations

    @property
    def positions(self) -> IntArray:
        """Position of each video in the slate, 0 for the first: (slate,)."""
        return np.arange(self.slate.videos.shape[1])

    def count(self, feedback: str) -> FloatArray:
        """How many shown videos got this feedback, such as "like": (num_envs,).

        Raises:
            UnknownNameError: if there is no task of that name.
            ConfigError: if it is the task in seconds.
        """
        counts: FloatArray = self.feedback[:, :, self.tasks.feedback_index(feedback)].sum(axis=1)
        return counts  # (num_envs,)


class RewardFunction(Protocol):
    """Any function of a request's inputs, such as a user's own."""

    def __call__(self, inputs: RewardInputs, /) -> FloatArray:
        """The worth of each request, (num_envs,), finite."""
        ...


@dataclass(frozen=True)
class Reward(RewardFunction):
    """A weighted sum over the slate of watch minutes and feedbacks."""

    watch_minute: float
    """Worth of one minute of play."""
    feedbacks: tuple[float, ...]
    """Worth of one of each feedback, in the order of the log's: of KuaiRand one click, long view,
    like, follow, comment, forward, hate."""

    def __call__(self, answers: Answers, /) -> FloatArray:
        """Reward of each request, (num_envs,) float32."""
        seconds = answers.watch_seconds.sum(axis=1, dtype=np.float64)  # (num_envs,)
        counts = answers.feedback.sum(axis=1, dtype=np.float64)  # (num_envs, feedbacks)
        worth = self.watch_minute * seconds / 60.0
        for column, weight in enumerate(self.feedbacks):
            worth = worth + weight * counts[:, column]
        reward: FloatArray = worth.astype(np.float32)
        return reward


@dataclass(frozen=True)
class TaskReward:
    """A reward by what a log's tasks are worth: `on` them it is a weighted sum."""

    on: Callable[[TaskSet], Reward]


def _engagement(tasks: TaskSet) -> Reward:
    """The worth of every task."""
    minute = 0.0 if tasks.seconds is None else tasks.seconds.worth
    return Reward(minute, tuple(task.worth for task in tasks.feedbacks))


def _watch_time(tasks: TaskSet) -> Reward:
    """Minutes of the task in seconds."""
    if tasks.seconds is None:
        raise ConfigError(
            "reward 'watch_time' counts minutes of a task in seconds, and the log has none:"
            f" its tasks are {', '.join(tasks.names)}. Take engagement or interaction."
        )
    return Reward(1.0, (0.0,) * len(tasks.feedbacks))


def _interaction(tasks: TaskSet) -> Reward:
    """The worth of every task but the one in seconds."""
    return Reward(0.0, tuple(task.worth for task in tasks.feedbacks))


def _nothing(tasks: TaskSet) -> Reward:
    return Reward(0.0, (0.0,) * len(tasks.feedbacks))


def _own_reward(name: str, own: Any) -> "TaskReward | RewardFunction":
    """A user's function, tried on made-up requests and held to the contract at every call."""
    if isinstance(own, Reward | TaskReward):
        return own
    if not callable(own) or isinstance(own, type):
        raise ConfigError(
            f"reward {name!r} must be a function of RewardInputs that returns (num_envs,),"
            f" got {own!r}"
        )
    reward = _Checked(name, own)
    # One that asks for a task of another log is tried by `reward_named`, on that log's tasks.
    with suppress(UnknownNameError):
        _try_out(reward, KUAIRAND_TASKS)
    return reward


def _try_out(reward: RewardFunction, tasks: TaskSet) -> None:
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
    adapt=_own_reward,
)
"""The rewards by name: a `TaskReward` each, or what a user registered."""


def check_reward_name(name: str) -> None:
    """Refuse a name that cannot be a reward's; imports nothing.

    Raises:
        UnknownNameError: if it is neither in `REWARDS` nor of the form `module:function`.
        ConfigError: if it has a colon, but is not of that form.
    """
    REWARDS.check(name)


def reward_named(name: str, tasks: TaskSet = KUAIRAND_TASKS) -> RewardFunction:
    """The reward of that name; a `module:function` is imported and tried on made-up requests.

    Args:
        name: a registered name, or `module:function`.
        tasks: those of the log, whose worth counts.

    Raises:
        UnknownNameError: if it is not in `REWARDS` and not of the form `module:function`.
        ConfigError: if the module or the function is not there, or it raises an error, or the log
            has no task that the reward needs.
        ShapeError: if it returns another shape than (num_envs,), or a value that is not finite.
    """
    found: TaskReward | RewardFunction = REWARDS.resolve(name)
    if isinstance(found, TaskReward):
        return found.on(tasks)
    if tasks != KUAIRAND_TASKS or isinstance(found, _Checked):
        _try_out(found, tasks)
    return found


def worth_of_labels(reward: RewardFunction, tasks: TaskSet) -> tuple[float, ...]:
    """What a label of 1 of each task is worth, in the order of `tasks`.

    Of a weighted sum it is exact. Of any other reward it is the difference that one such label
    makes where nothing else happens, to the first video of a request.
    """
    if isinstance(reward, Reward):
        feedbacks = iter(reward.feedbacks)
        return tuple(
            reward.watch_minute * task.cap / 60.0 if task.is_seconds else next(feedbacks) * task.cap
            for task in tasks
        )
    nothing = next(trial_inputs(tasks))
    usual = float(reward(nothing)[0])
    worth = []
    for task in tasks:
        feedback = nothing.feedback.copy()
        seconds = nothing.watch_seconds.copy()
        if task.is_seconds:
            seconds[0, 0] = task.cap
        else:
            feedback[0, 0, tasks.feedback_index(task.name)] = task.cap
        alone = replace(nothing, response=Response(feedback, seconds))
        worth.append(float(reward(alone)[0]) - usual)
    return tuple(worth)


def trial_inputs(tasks: TaskSet = KUAIRAND_TASKS) -> Iterator[RewardInputs]:
    """Made-up requests of 3 users and 4 videos: nothing done, everything done, some of it."""
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
        done = rng.random((users, shown, len(tasks.feedbacks))) < probability
        seconds = probability * catalogue.duration_seconds[slate.videos]
        response = Response(done.astype(np.float32), seconds.astype(np.float32))
        yield RewardInputs(response, slate, history, catalogue, tasks)
        history = advance_history(history, slate, response, catalogue)


@dataclass(frozen=True)
class _Checked(RewardFunction):
    """A user's own reward, held to the contract at every call."""

    name: str
    function: Callable[[RewardInputs], Any]

    def __call__(self, inputs: RewardInputs, /) -> FloatArray:
        what = f"what reward {self.name!r} returns"
        try:
            reward = np.asarray(self.function(inputs), dtype=np.float32)
        except MtfRlError:
            raise
        except Exception as error:
            raise ConfigError(
                f"reward {self.name!r} failed on a request: {where_raised(error)}. It must take"
                " RewardInputs and return the worth of each request, shape (num_envs,)"
            ) from error
        check_shape(what, reward, "num_envs", (len(inputs.watch_seconds),))
        if not np.isfinite(reward).all():
            raise ShapeError(f"{what} must be finite, got {reward}")
        return reward
