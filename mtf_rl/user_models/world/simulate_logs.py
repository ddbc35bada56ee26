"""Simulates days of users under the logging rankers."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numba import njit

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray, replace_rows, select_rows
from mtf_rl.core.history import VisibleHistory, add_pause, advance_history, start_history
from mtf_rl.core.protocols import UserModel
from mtf_rl.core.randomness import EpisodeRng, Purpose
from mtf_rl.core.slates import Response, Slate
from mtf_rl.user_models.world.population import NUM_TAGS
from mtf_rl.user_models.world.rankers import LoggingRanker, assign_rankers, ranking_scores
from mtf_rl.user_models.world.world import HOUR_FRACTIONS, World

__all__ = ["DayEnds", "LoggedRows", "roll"]

DAY_SECONDS = 86_400.0
LARGEST_SLATE = 12
# Sizes of requests: KuaiRand-1K's distribution, split so that the two-column page shows more.
_FEED_SIZES = np.array([0.07, 0.04, 0.03, 0.04, 0.08, 0.55, 0.12, 0.07, 0.0, 0.0, 0.0, 0.0])
_PAGE_SIZES = np.array([0.07, 0.04, 0.03, 0.04, 0.06, 0.12, 0.10, 0.10, 0.08, 0.14, 0.15, 0.07])
_SIZE_EDGES = np.cumsum([_PAGE_SIZES, _FEED_SIZES], axis=1)  # (tabs 0 and 1, sizes)
# One request in 47 of the feed is a single, uniformly random video: 0.37 % of all rows.
_RANDOM_REQUEST_FRACTION = 0.0215
_ACTIVE_ON_FIRST_DAY = 0.915
_SESSION_GAP_SECONDS = 1800.0
_POOL = 180
_LOWEST_POOL = 80
_CANDIDATE_FRACTION = 0.45
_NOT_RETRIEVED = 1e3
_LOG_SALT = 0x10C5
# Separates the random numbers of different `rng` values from those of neighbouring seeds.
_RNG_STRIDE = 0x1_0000_0000


@dataclass(frozen=True)
class LoggedRows:
    """The impressions of some users, in (user, time, position) order."""

    users: IntArray  # (rows,)
    videos: IntArray  # (rows,)
    times_ms: IntArray  # (rows,), since the start of the first day
    tabs: IntArray  # (rows,)
    randomised: BoolArray  # (rows,)
    feedback: FloatArray  # (rows, 7)
    play_ms: IntArray  # (rows,)
    stay: FloatArray  # (rows, 2) uniforms, for columns that no model uses
    truth: FloatArray  # (rows, 8) float32, the world's expectation of each task; (rows, 0) if
    # another user model answered
    requests: IntArray  # (rows,), a user's requests, numbered from 0
    sessions: IntArray  # (rows,), a user's sessions, numbered from 0


@dataclass(frozen=True)
class DayEnds:
    """Days from each active day to the next one, which may be after the end of the log."""

    gaps: IntArray  # (day ends,), days to the next active day


def roll(
    world: World,
    users: IntArray,
    days: int,
    rankers: tuple[LoggingRanker, ...],
    *,
    answers: UserModel[Any] | None = None,
    rng: int = 0,
) -> tuple[LoggedRows, DayEnds]:
    """Simulate `days` days of `users` (n,); a user's rows do not depend on the other users.

    Args:
        world: world that provides videos, retrieval, scenes and planned visits.
        users: user indices.
        days: number of days, at least 1.
        rankers: the rankers of the sessions.
        answers: user model for responses, leaving, pauses and returns; by default the world itself.
            Another user model starts each session without memory of earlier ones.
        rng: number of the random stream, at least 0; the logs use 0. Rankers and their noise do not
            depend on it.
    """
    life = _Lives(world, users, days, rankers, answers or world, rng)
    parts = []
    while life.open_sessions():
        parts.append(life.request())
    return _in_order(parts), DayEnds(np.concatenate(life.gaps))


def _in_order(parts: list[LoggedRows]) -> LoggedRows:
    names = list(LoggedRows.__dataclass_fields__)
    joined = LoggedRows(**{n: np.concatenate([getattr(part, n) for part in parts]) for n in names})
    return select_rows(joined, np.lexsort((joined.requests, joined.users)))


class _Lives:
    """Simulates users in lockstep: each iteration serves one request of every user in a session."""

    def __init__(
        self,
        world: World,
        users: IntArray,
        days: int,
        rankers: tuple[LoggingRanker, ...],
        answers: UserModel[Any],
        rng: int,
    ) -> None:
        count = len(users)
        self.world, self.users, self.rankers = world, users, rankers
        self.answers = answers
        self.seed = world.config.seed + _LOG_SALT
        self.rng_seed = self.seed + _RNG_STRIDE * rng
        self.end = days * DAY_SECONDS
        self.requests = np.zeros(count, dtype=np.int64)
        self.visits = np.full(count, -1, dtype=np.int64)
        self.pools_drawn = np.zeros(count, dtype=np.int64)
        self.now = np.zeros(count)
        self.left = np.full(count, -np.inf)
        self.in_session = np.zeros(count, dtype=bool)
        self.done = np.zeros(count, dtype=bool)
        self.day = np.full(count, -1, dtype=np.int64)
        self.planned = np.full((count, 24), np.inf)
        self.tabs = np.zeros(count, dtype=np.int64)
        self.served_by = np.zeros(count, dtype=np.int64)
        self.pool = np.zeros((count, _POOL), dtype=np.int32)
        self.scores = np.zeros((count, _POOL))
        self.unseen = np.zeros((count, _POOL), dtype=bool)
        self.gaps: list[IntArray] = [np.zeros(0, dtype=np.int64)]
        all_rows = np.arange(count)
        self.state: Any = answers.start(users, self._rng(all_rows))
        self.history = start_history(np.zeros(count), NUM_TAGS)
        self._begin_first_day(all_rows)

    def _rng(self, rows: IntArray, numbers: IntArray | None = None) -> EpisodeRng:
        return EpisodeRng(
            self.rng_seed, self.users[rows], self.requests[rows] if numbers is None else numbers
        )

    def _begin_first_day(self, rows: IntArray) -> None:
        absent = self._rng(rows).uniforms(Purpose.USER, 1)[:, 0] >= _ACTIVE_ON_FIRST_DAY
        self._plan_day(rows, np.where(absent, 1, 0))

    def _plan_day(self, rows: IntArray, day: IntArray) -> None:
        """Plan the session starts of the users' next active day."""
        self.day[rows] = day
        rng = self._rng(rows, day)
        draws = rng.uniforms(Purpose.HOUR, 49)  # (rows, 24 openings, 24 minutes, 1 fallback)
        rate = self.world.users.sessions_per_day[self.users[rows]][:, None] * HOUR_FRACTIONS
        opens = draws[:, :24] < -np.expm1(-rate)
        fallback = np.searchsorted(np.cumsum(HOUR_FRACTIONS), draws[:, 48]).clip(max=23)
        opens[np.arange(len(rows)), fallback] |= ~opens.any(axis=1)
        starts = day[:, None] * DAY_SECONDS + 3600.0 * (np.arange(24) + draws[:, 24:48])
        self.planned[rows] = np.where(opens, starts, np.inf)

    def open_sessions(self) -> bool:
        """Open the next session of every user not in a session; False if all days are over."""
        while True:
            rows = np.flatnonzero(~self.in_session & ~self.done)
            if len(rows) == 0:
                return bool(self.in_session.any())
            # A session planned long before the end of the last one is skipped.
            late = self.planned[rows] < (self.left[rows] - _SESSION_GAP_SECONDS)[:, None]
            self.planned[rows] = np.where(late, np.inf, self.planned[rows])
            slot = self.planned[rows].argmin(axis=1)
            start = self.planned[rows, slot]
            self.planned[rows, slot] = np.inf
            over = np.isinf(start)
            self._go_home(rows[over])
            self._open(rows[~over], start[~over])

    def _go_home(self, rows: IntArray) -> None:
        """End the day of users without further sessions, and plan the next active one."""
        state, history = select_rows(self.state, rows), select_rows(self.history, rows)
        gap = self.answers.return_days(state, history, self._rng(rows))
        self.gaps.append(gap)
        day = self.day[rows] + gap
        self.done[rows] = day * DAY_SECONDS >= self.end
        self._plan_day(rows, day)

    def _open(self, rows: IntArray, start: FloatArray) -> None:
        self.visits[rows] += 1
        draws = self._rng(rows, self.visits[rows]).uniforms(Purpose.SCENE, 2)
        earliest = self.left[rows] + _SESSION_GAP_SECONDS * (1.02 + draws[:, 1])
        start = np.maximum(start, earliest)
        away = np.minimum(start - self.left[rows], 30 * DAY_SECONDS)
        self.now[rows] = start
        self.done[rows] = start >= self.end
        self.in_session[rows] = start < self.end
        self.tabs[rows] = draws[:, 0] >= self.world.users.page_fraction[self.users[rows]]
        rested = self.answers.resume(select_rows(self.state, rows), away)
        self.state = replace_rows(self.state, rows, rested)
        hours = start / 3600.0 % 24.0
        self.history = replace_rows(self.history, rows, start_history(hours, NUM_TAGS))
        self.served_by[rows] = assign_rankers(
            self.rankers, self.seed, self.users[rows], self.visits[rows]
        )
        self._retrieve(rows)

    def _retrieve(self, rows: IntArray) -> None:
        """Draw and score a new pool for `rows`."""
        if len(rows) == 0:
            return
        size = min(_POOL, self.world.config.videos)
        users = self.users[rows]
        self.pools_drawn[rows] += 1
        pool = self.world.retrieval.pools(users, size, visits=self.pools_drawn[rows])
        truth = self.world.true_probabilities(
            users[:, None],
            pool,
            self.history.hours[rows][:, None],
            self.tabs[rows][:, None],
        )
        self.pool[rows, :size] = pool
        self.scores[rows, :size] = ranking_scores(
            self.rankers, self.seed, self.served_by[rows], users, pool, truth
        )
        self.unseen[rows] = np.arange(_POOL) < size

    def request(self) -> LoggedRows:
        """Serve one request of every user in a session, and advance their clocks."""
        rows = np.flatnonzero(self.in_session)
        self._retrieve(rows[self.unseen[rows].sum(axis=1) < _LOWEST_POOL])
        rng = self._rng(rows)
        slate, randomised = self._slate(rows, rng)
        state, history = select_rows(self.state, rows), select_rows(self.history, rows)
        response, truth, state = self._answer(state, slate, history, rng)
        history = advance_history(history, slate, response, self.world.catalogue)
        logged = self._record(rows, slate, randomised, response.feedback, response.watch_seconds)
        leaves = self.answers.leave(state, history, rng)
        pause = self.answers.pause_seconds(state, history, rng)
        self.left[rows] = self.now[rows]
        self.now[rows] += pause
        self.state = replace_rows(self.state, rows, state)
        self.history = replace_rows(self.history, rows, add_pause(history, pause))
        self.requests[rows] += 1
        beyond = self.now[rows] >= self.end
        self.done[rows] |= beyond
        self.in_session[rows] = ~(leaves | beyond)
        return replace(logged, truth=truth)

    def _answer(
        self, state: Any, slate: Slate, history: VisibleHistory, rng: EpisodeRng
    ) -> tuple[Response, FloatArray, Any]:
        """The response, its expectation for every shown video, and the state after it."""
        if self.answers is not self.world:
            response, state = self.answers.respond(state, slate, history, rng)
            return response, np.empty((int(slate.mask.sum()), 0), dtype=np.float32), state
        response, prospect, state = self.world.respond_and_explain(state, slate, history, rng)
        truth = self.world.expected_answers(select_rows(prospect, slate.mask)).astype(np.float32)
        return response, truth, state

    def _slate(self, rows: IntArray, rng: EpisodeRng) -> tuple[Slate, BoolArray]:
        draws = rng.uniforms(Purpose.SLATE_SIZE, 3)  # (rows, size, random, video)
        tabs = self.tabs[rows]
        randomised = (draws[:, 1] < _RANDOM_REQUEST_FRACTION) & (tabs == 1)
        sizes = 1 + (draws[:, :1] >= _SIZE_EDGES[tabs]).sum(axis=1).clip(max=LARGEST_SLATE - 1)
        videos, positions = self._ranked(rows, rng)
        sizes = np.where(randomised, 1, np.minimum(sizes, self.unseen[rows].sum(axis=1)))
        videos[:, 0] = np.where(
            randomised, (draws[:, 2] * self.world.config.videos).astype(np.int32), videos[:, 0]
        )
        mask = np.arange(videos.shape[1]) < sizes[:, None]  # (rows, slate)
        seen = mask & ~randomised[:, None]
        row, column = np.nonzero(seen)
        self.unseen[rows[row], positions[row, column]] = False
        users = self.users[rows]
        slate = Slate(users=users, videos=videos, mask=mask, tabs=tabs, ranked=~randomised)
        return slate, randomised

    def _ranked(self, rows: IntArray, rng: EpisodeRng) -> tuple[IntArray, IntArray]:
        """The best candidates of this request: videos and pool positions, (rows, slate) each."""
        bits = rng.bits(Purpose.CANDIDATES, _POOL)  # (rows, pool)
        exploration = np.array([ranker.exploration for ranker in self.rankers])
        keys = np.empty((len(rows), _POOL))
        _explore(bits, rows, self.scores, self.unseen, exploration[self.served_by[rows]], keys)
        width = min(LARGEST_SLATE, _POOL)
        best = np.argpartition(keys, -width, axis=1)[:, -width:]
        order = np.argsort(-np.take_along_axis(keys, best, axis=1), axis=1, kind="stable")
        positions = np.take_along_axis(best, order, axis=1)
        return self.pool[rows[:, None], positions], positions

    def _record(
        self,
        rows: IntArray,
        slate: Slate,
        randomised: BoolArray,
        feedback: FloatArray,
        watch_seconds: FloatArray,
    ) -> LoggedRows:
        mask = slate.mask

        def spread(values: IntArray | BoolArray) -> IntArray:
            return np.asarray(np.broadcast_to(values[:, None], mask.shape)[mask])

        stay = self._rng(rows).uniforms(Purpose.EXPOSURE, 2 * mask.shape[1])
        return LoggedRows(
            users=spread(self.users[rows]),
            videos=slate.videos[mask],
            times_ms=spread(np.rint(1000 * self.now[rows]).astype(np.int64)),
            tabs=spread(slate.tabs),
            randomised=spread(randomised).astype(bool),
            feedback=feedback[mask],
            play_ms=np.rint(1000 * watch_seconds[mask].astype(np.float64)).astype(np.int64),
            stay=stay.reshape(*mask.shape, 2)[mask],
            truth=np.empty((int(mask.sum()), 0), dtype=np.float32),
            requests=spread(self.requests[rows]),
            sessions=spread(self.visits[rows]),
        )


@njit(cache=True, nogil=True)
def _explore(bits: Any, rows: Any, scores: Any, unseen: Any, exploration: Any, keys: Any) -> None:
    """Write scores with exploration noise to `keys` (rows, pool).

    A uniform draw decides whether a video is retrieved. Videos that are not retrieved rank below
    all retrieved ones, and videos already seen rank last. Given retrieval, the draw is again
    uniform and serves as the exploration noise.
    """
    spread = np.sqrt(12.0)
    for row in range(len(bits)):
        for position in range(len(bits[row])):
            if not unseen[rows[row], position]:
                keys[row, position] = -np.inf
                continue
            draw = (float(bits[row, position] >> np.uint64(11)) + 0.5) * 2.0**-53
            noise = (draw / _CANDIDATE_FRACTION - 0.5) * spread
            key = scores[rows[row], position] + exploration[row] * noise
            keys[row, position] = key if draw < _CANDIDATE_FRACTION else key - _NOT_RETRIEVED
