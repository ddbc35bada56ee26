"""What a policy reads of a request, made from counts of the user and the session so far."""

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
    """The history of a session in which nothing was shown yet.

    Args:
        policy: which the session is served by.
        hour: of the day, in [0, 24).
        num_tags: of the catalogue, for a policy that reads `session/repetition`.
    """
    history = start_history(np.array([hour], dtype=np.float32), num_tags)
    signals = sum(name.startswith(_LAST) for name in policy.setting.observation)
    nothing = np.zeros((1, signals), dtype=np.float32)  # of the policy's log, whatever its tasks
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
        history: before the slate.
        feedback: (slate, feedbacks), 0/1 or a count for each task but watch time, in their order.
        play_seconds: (slate,), how long each shown video was played.
        duration_seconds: (slate,), above 0.
        pause_seconds: from that request to the next one.
        tags: (slate, tags per video), in 0..num_tags-1, -1 for none; none by default.
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
    """The numbers named by `policy.context`, as the simulator would observe them.

    Args:
        policy: as `load_policy` returns it; it holds the constants of the profile.
        user: counts of the user, such as `follow_user_num`, `exposures` (videos shown before) and
            `like` (how many of them were liked); `facts_of` of the policy's constants names those
            that are needed. NaN stands for what is not known.
        history: the session so far, of `start_session` and `after_slate`.
        others: any of the numbers by name, as they are observed; they win over the rest.

    Raises:
        DataError: if what a number needs is missing.
    """
    given = dict(others or {})
    session: dict[str, float] = {}
    if history is not None:
        values = session_block(history)[0].astype(np.float32)
        names = [name for name in policy.setting.observation if name.startswith(_SESSION)]
        if len(names) != len(values):
            raise DataError(
                f"the history holds {len(values)} numbers, the policy observes {len(names)} of a"
                " session; start it with start_session(policy, hour)"
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
                f"{name} is neither of the profile nor of the session; give it in others"
            )
    return context


def _profile_number(policy: FusionPolicy, name: str, user: Mapping[str, float]) -> float:
    scale = policy.setting.profile
    if scale is None:
        raise DataError(
            f"this policy holds no constants of the profile; give {name} in others, standardised"
        )
    return scale.observed(name.removeprefix(_PROFILE), user)
