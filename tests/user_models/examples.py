"""A small log from a known process, and random histories and networks."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mtf_rl.core.arrays import FloatArray, IntArray, select_rows
from mtf_rl.core.history import VisibleHistory, add_pause, advance_history, start_history
from mtf_rl.core.slates import Response, Slate
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.core.videos import VideoCatalogue
from mtf_rl.data import (
    CategoricalColumn,
    Dataset,
    DurationFills,
    FeatureTable,
    FileAccount,
    Impressions,
    NumericColumn,
    RowAccount,
)
from mtf_rl.user_models.answer_rules import KUAIRAND_RULES
from mtf_rl.user_models.networks import ResponseNetwork, SessionNetwork, Standardiser
from mtf_rl.user_models.play import NUM_OUTCOMES, NUM_PLAY_FEATURES, PlayTimes
from mtf_rl.user_models.responses import (
    NUM_ROW_FEATURES,
    ResponseModel,
    Unranked,
)
from mtf_rl.user_models.traces import NUM_MINUTES, TraceReader

NUM_TAGS = 3
DAY_MS = 86_400_000
FIRST_DAY = 19_090


def small_catalogue(num_videos: int = 30) -> VideoCatalogue:
    numbers = np.arange(num_videos)
    return VideoCatalogue(
        duration_seconds=(5.0 + 4.0 * numbers).astype(np.float32),
        tags=(numbers % NUM_TAGS).astype(np.int32)[:, None],
        authors=(numbers % 7).astype(np.int32),
        num_tags=NUM_TAGS,
    )


@dataclass(frozen=True)
class Law:
    """The process that generates the small log; users with even numbers are keen, others not."""

    complete: tuple[float, float] = (0.6, 0.2)
    boredom: float = 1.5
    like_complete: float = 0.2
    like_else: float = 0.02
    leave: tuple[float, float] = (0.1, 0.4)
    return_probability: float = 0.7


def small_log(
    law: Law | None = None,
    *,
    num_users: int = 120,
    num_days: int = 4,
    slate: int = 4,
    seed: int = 0,
    one_request: bool = False,
) -> Dataset:
    """Sessions of all users over several days, two per active day; one tag per request."""
    law = law or Law()
    rng = np.random.default_rng(seed)
    catalogue = small_catalogue()
    pieces = []
    for day in range(num_days):
        active = np.flatnonzero(rng.random(num_users) < law.return_probability)
        for hour in (9, 20):
            start_ms = ((FIRST_DAY + day) * 24 + hour - 8) * 3_600_000
            pieces += _sessions(
                law, rng, catalogue, active, start_ms, slate, one_request=one_request
            )
    return _dataset(catalogue, num_users, _ordered(pieces))


def _sessions(
    law: Law,
    rng: np.random.Generator,
    catalogue: VideoCatalogue,
    users: IntArray,
    start_ms: int,
    slate: int,
    *,
    one_request: bool,
) -> list[dict[str, NDArray[np.generic]]]:
    history = start_history(np.full(len(users), (start_ms / 3_600_000 + 8) % 24), NUM_TAGS)
    times_ms = start_ms + rng.integers(0, 60_000, len(users))
    pieces = []
    while len(users):
        tags = rng.integers(0, NUM_TAGS, len(users))
        videos = tags[:, None] + NUM_TAGS * rng.integers(0, 10, (len(users), slate))
        shown = Slate(users, videos, np.ones(videos.shape, dtype=np.bool_), np.ones_like(users))
        play = _plays(law, rng, catalogue, shown, history)
        duration = catalogue.duration_seconds[videos]
        like = np.where(play >= duration, law.like_complete, law.like_else)
        feedback = np.zeros((*videos.shape, 7), dtype=np.float32)
        feedback[..., 0] = KUAIRAND_TASKS["click"].follows(play, duration)
        feedback[..., 1] = KUAIRAND_TASKS["long_view"].follows(play, duration)
        feedback[..., 2] = rng.random(play.shape) < like
        pieces.append(
            {
                "users": np.repeat(users, slate),
                "videos": videos.ravel(),
                "times_ms": np.repeat(times_ms, slate),
                "play_seconds": play.ravel(),
                "feedback": feedback.reshape(-1, 7),
            }
        )
        history = advance_history(history, shown, Response(feedback, play), catalogue)
        pause = np.clip(np.exp(rng.normal(4.0, 0.5, len(users))), 1.0, 1700.0)
        left = rng.random(len(users)) < np.array(law.leave)[users % 2]
        stay = np.flatnonzero(~left & (not one_request))
        history = select_rows(add_pause(history, pause), stay)
        times_ms = (times_ms + 1000 * pause.astype(np.int64))[stay]
        users = users[stay]
    return pieces


def _plays(
    law: Law,
    rng: np.random.Generator,
    catalogue: VideoCatalogue,
    shown: Slate,
    history: VisibleHistory,
) -> FloatArray:
    overlap = np.einsum("nsg,ng->ns", catalogue.tag_fractions[shown.videos], history.tag_exposure)
    complete = np.array(law.complete)[shown.users % 2][:, None] * np.exp(-law.boredom * overlap)
    duration = catalogue.duration_seconds[shown.videos]
    draw = rng.random(complete.shape)
    play = np.where(draw < complete, duration, duration * 0.9 * rng.random(complete.shape))
    play = np.where(draw > 0.9, 0.0, play)
    return (np.rint(play * 1000.0) / 1000.0).astype(np.float32)


def _ordered(pieces: list[dict[str, NDArray[np.generic]]]) -> dict[str, NDArray[np.generic]]:
    columns = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
    order = np.lexsort((columns["times_ms"], columns["users"]))
    return {name: column[order] for name, column in columns.items()}


def _dataset(
    catalogue: VideoCatalogue, num_users: int, columns: dict[str, NDArray[np.generic]]
) -> Dataset:
    impressions = impressions_of(
        catalogue,
        users=columns["users"],
        videos=columns["videos"],
        times_ms=columns["times_ms"],
        play_seconds=columns["play_seconds"],
        feedback=columns["feedback"],
    )
    rows = len(impressions.users)
    none = np.full(catalogue.num_videos, -1, dtype=np.int32)
    author = CategoricalColumn("author_id", catalogue.authors, tuple("abcdefg"))
    empty = [
        CategoricalColumn(name, none, ()) for name in ("video_type", "upload_type", "music_type")
    ]
    counts = ("follow_user_num", "fans_user_num", "friend_user_num", "register_days")
    return Dataset(
        impressions=impressions,
        users=FeatureTable(
            ids=np.arange(num_users),
            known=np.ones(num_users, dtype=np.bool_),
            categorical=(CategoricalColumn("group", np.arange(num_users) % 2, ("keen", "idle")),),
            numeric=tuple(NumericColumn(name, np.full(num_users, np.nan)) for name in counts),
        ),
        videos=FeatureTable(
            ids=np.arange(catalogue.num_videos),
            known=np.ones(catalogue.num_videos, dtype=np.bool_),
            categorical=(author, *empty),
            numeric=(NumericColumn("upload_dt", np.full(catalogue.num_videos, np.nan)),),
        ),
        catalogue=catalogue,
        account=RowAccount((FileAccount("log_standard_small.csv", rows, rows, {}, {}),)),
        files=(),
        duration_fills=DurationFills(0, 0),
    )


def impressions_of(
    catalogue: VideoCatalogue,
    *,
    users: NDArray[np.generic],
    videos: NDArray[np.generic],
    times_ms: NDArray[np.generic],
    play_seconds: NDArray[np.generic] | None = None,
    feedback: NDArray[np.generic] | None = None,
    tabs: NDArray[np.generic] | None = None,
) -> Impressions:
    """Impressions in (user, time) order, with request and session numbers as from a reader."""
    rows = len(users)
    user_numbers: NDArray[np.int32] = users.astype(np.int32)
    times = times_ms.astype(np.int64)
    same_user = np.append(False, user_numbers[1:] == user_numbers[:-1])
    gap_ms = np.diff(times, prepend=times[:1])
    return Impressions(
        users=user_numbers,
        videos=videos.astype(np.int32),
        times_ms=times,
        days=((times + 8 * 3_600_000) // DAY_MS).astype(np.int32),
        hours=((times + 8 * 3_600_000) % DAY_MS // 3_600_000).astype(np.int8),
        tabs=np.ones(rows, dtype=np.int16) if tabs is None else tabs.astype(np.int16),
        feedback=(np.zeros((rows, 7)) if feedback is None else feedback).astype(np.uint8),
        play_seconds=(np.zeros(rows) if play_seconds is None else play_seconds).astype(np.float32),
        duration_seconds=catalogue.duration_seconds[videos.astype(np.int64)],
        randomised=np.zeros(rows, dtype=np.bool_),
        requests=np.cumsum(~(same_user & (gap_ms == 0))) - 1,
        sessions=np.cumsum(~(same_user & (gap_ms <= 1_800_000))) - 1,
        keys=np.arange(rows, dtype=np.uint64),
    )


def random_history(num_envs: int, seed: int = 0) -> VisibleHistory:
    """Histories after a few random requests."""
    rng = np.random.default_rng(seed)
    catalogue = small_catalogue()
    history = start_history(rng.uniform(0.0, 24.0, num_envs), NUM_TAGS)
    for _ in range(3):
        videos = rng.integers(0, catalogue.num_videos, (num_envs, 6))
        slate = Slate(
            np.arange(num_envs),
            videos,
            np.ones(videos.shape, dtype=np.bool_),
            np.ones(num_envs, dtype=np.int64),
        )
        feedback = (rng.random((num_envs, 6, 7)) < 0.2).astype(np.float32)
        watch = (rng.random((num_envs, 6)) * 30.0).astype(np.float32)
        history = advance_history(history, slate, Response(feedback, watch), catalogue)
        history = add_pause(history, rng.uniform(10.0, 100.0, num_envs))
    return replace(history, requests=rng.integers(1, 4, num_envs).astype(np.int32))


def random_session_network(num_users: int, seed: int = 0) -> SessionNetwork:
    rng = np.random.default_rng(seed)
    features = len(KUAIRAND_RULES.history_names) + (len(KUAIRAND_RULES.trace_signals) + NUM_MINUTES)
    return SessionNetwork(
        user_part=rng.normal(size=(num_users, 8)),
        user_factors=rng.normal(size=(num_users, 3)),
        session=Standardiser(rng.normal(size=features), 0.5 + rng.random(features)),
        session_weights=rng.normal(size=(features, 8)) / 6.0,
        session_factors=rng.normal(size=(features, 3)) / 6.0,
        product_weights=rng.normal(size=(3, 8)),
        output_weights=rng.normal(size=(8, 1)),
        output_bias=np.array([-2.0]),
    )


NUM_TASTES = 7  # a log count and six signals, as the encoder has them


def random_trace_reader(num_users: int, seed: int = 0) -> TraceReader:
    rng = np.random.default_rng(seed)
    return TraceReader(
        usual_predictions=rng.normal(size=(num_users, KUAIRAND_RULES.num_interactions + 1)),
        usual_signals=rng.normal(size=(num_users, len(KUAIRAND_RULES.trace_signals))) / 4.0,
    )


def random_response_model(
    num_users: int, catalogue: VideoCatalogue, seed: int = 0
) -> ResponseModel:
    rng = np.random.default_rng(seed)
    hidden, factors, videos = 16, 4, catalogue.num_videos
    outputs = KUAIRAND_RULES.num_outputs
    play = rng.gamma(1.0, 20.0, 5000)
    duration = rng.uniform(5.0, 100.0, 5000)
    return ResponseModel(
        network=ResponseNetwork(
            user_part=rng.normal(size=(num_users, hidden)),
            user_factors=rng.normal(size=(num_users, factors)),
            video_part=rng.normal(size=(videos, hidden)),
            video_factors=rng.normal(size=(videos, factors)),
            tastes=rng.normal(size=(num_users, catalogue.num_tags + 1, NUM_TASTES)) / 4.0,
            first_tags=catalogue.tags[:, 0] + 1,
            session=Standardiser(
                np.zeros(KUAIRAND_RULES.num_request_features),
                np.ones(KUAIRAND_RULES.num_request_features),
            ),
            session_weights=rng.normal(size=(KUAIRAND_RULES.num_request_features, hidden)) / 6.0,
            row_weights=rng.normal(size=(NUM_ROW_FEATURES + NUM_TASTES + factors, hidden)),
            output_weights=rng.normal(size=(hidden, outputs)) / 4.0,
            output_bias=np.where(np.arange(outputs) < NUM_OUTCOMES, 0.0, -2.0),
        ),
        play_weights=rng.normal(size=(NUM_PLAY_FEATURES, KUAIRAND_RULES.num_interactions)) / 4.0,
        play_times=PlayTimes.fit(play, duration),
        unplayed_click=np.asarray(0.3),
        unranked=Unranked.unknown(num_users),
        scene_shifts=rng.normal(size=(2, outputs)) / 4.0,
    )
