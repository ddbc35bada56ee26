"""Compute a policy's context from the user's counts and the session history."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from mtf_rl.agents.fusion_policy import FusionPolicy
from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.errors import DataError
from mtf_rl.core.history import VisibleHistory, add_pause, advance_history, start_history
from mtf_rl.core.slates import Response, Slate
from mtf_rl.core.videos import VideoCatalogue
from mtf_rl.envs.observation import session_block

__all__ = ["after_slate", "context_of", "start_session"]

_PROFILE, _SESSION, _LAST = "profile/", "session/", "session/last/"


def start_session(policy: FusionPolicy, hour: float, *, num_tags: int = 0) -> VisibleHistory:
    """The history at the first request of a session.

    Args:
        policy: the policy that serves the session.
        hour: hour of the day, in [0, 24).
        num_tags: number of tags in the catalogue; needed by a policy that reads
            `session/repetition`.
    """
    history = start_history(np.array([hour], dtype=np.float32), num_tags)
    signals = sum(name.startswith(_LAST) for name in policy.setting.observation)
    nothing = np.zeros((1, signals), dtype=np.float32)  # one entry per signal of the policy's log
    return replace(history, last=nothing, fast=nothing, slow=nothing)


def after_slate(
    history: VisibleHistory,
    *,
    feedback: FloatArray,
    play_seconds: FloatArray,
    duration_seconds: FloatArray,
    pause_seconds: float,
    tags: IntArray | None = None,
) -> VisibleHistory:
    """The history at the request after a slate, computed as in the simulator.

    Args:
        history: the history before the slate.
        feedback: (slate, feedbacks), 0/1 or a count for each task except watch time, in task order.
        play_seconds: (slate,), play time of each shown video in seconds.
        duration_seconds: (slate,), duration of each shown video in seconds, above 0.
        pause_seconds: time from that request to the next one, in seconds.
        tags: (slate, tags per video), in 0..num_tags-1, -1 for no tag; no tags by default.
    """
    shown = len(play_seconds)
    num_tags = history.tag_exposure.shape[1]
    labels = np.full((shown, 1), -1) if tags is None else np.asarray(tags)
    catalogue = VideoCatalogue(
        duration_seconds=np.asarray(duration_seconds, dtype=np.float32),
        tags=labels.astype(np.int32),
        authors=np.zeros(shown, dtype=np.int32),
        num_tags=num_tags,
    )
    slate = Slate(
        users=np.zeros(1, dtype=np.int32),
        videos=np.arange(shown, dtype=np.int32)[None],
        mask=np.ones((1, shown), dtype=np.bool_),
        tabs=np.zeros(1, dtype=np.int32),
    )
    response = Response(
        feedback=np.asarray(feedback, dtype=np.float32)[None],
        watch_seconds=np.asarray(play_seconds, dtype=np.float32)[None],
    )
    answered = advance_history(history, slate, response, catalogue)
    return add_pause(answered, np.array([pause_seconds]))


def context_of(
    policy: FusionPolicy,
    *,
    user: Mapping[str, float] | None = None,
    history: VisibleHistory | None = None,
    others: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """The numbers named by `policy.context`, with the values that the simulator would observe.

    Args:
        policy: a policy from `load_policy`; it holds the standardisation constants of the profile.
        user: raw counts of the user, such as `follow_user_num`, `exposures` (videos shown before)
            and `like` (videos liked). `policy.setting.profile.facts_of` lists the counts needed.
            Use NaN for an unknown count.
        history: the session so far, from `start_session` and `after_slate`.
        others: observed values by name; they override values computed from `user` and `history`.

    Raises:
        DataError: if the input that a number needs is missing.
    """
    given = dict(others or {})
    session: dict[str, float] = {}
    if history is not None:
        values = session_block(history)[0].astype(np.float32)
        names = [name for name in policy.setting.observation if name.startswith(_SESSION)]
        if len(names) != len(values):
            raise DataError(
                f"the history must hold the {len(names)} session numbers that the policy observes,"
                f" got {len(values)}; start it with start_session(policy, hour)"
            )
        session = dict(zip(names, values.tolist(), strict=True))
    context = {}
    for name in policy.context:
        if name in given:
            context[name] = float(given[name])
        elif name.startswith(_PROFILE):
            context[name] = _profile_number(policy, name, user or {})
        elif name in session:
            context[name] = session[name]
        elif name.startswith(_SESSION):
            raise DataError(f"{name} needs the history of the session; give history=...")
        else:
            raise DataError(
                f"{name} cannot be computed from user or history; give its value in others"
            )
    return context


def _profile_number(policy: FusionPolicy, name: str, user: Mapping[str, float]) -> float:
    scale = policy.setting.profile
    if scale is None:
        raise DataError(
            f"this policy holds no profile constants; give the standardised {name} in others"
        )
    return scale.observed(name.removeprefix(_PROFILE), user)
