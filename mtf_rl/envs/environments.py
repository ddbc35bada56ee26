"""The named environments, with what a user of Gymnasium asks of each."""

from mtf_rl.envs.dynamics import SessionState
from mtf_rl.envs.gym_env import FusionEnv, FusionVectorEnv
from mtf_rl.envs.retention import RetentionState

__all__ = [
    "FusionRetentionEnv",
    "FusionRetentionVectorEnv",
    "FusionSessionEnv",
    "FusionSessionVectorEnv",
]


class FusionSessionEnv(FusionEnv[SessionState]):
    """One session of one user: choose fusion weights at every request.

    ## Description
    A user opens a short-video app. At each request a retrieval stage brings `candidates` videos,
    whose feedback a multi-task model has predicted. The agent's weights fuse the predictions into
    one score; the best `slate` videos are shown; the user answers each, and leaves or goes on.

    ## Action Space
    `Box(-1, 1, (action_dim,), float32)`, turned into the formula's parameters by the action
    map: with `box`, into weights in [0, 1] for a task of which more is better and [-1, 0] for
    hate. `dynamics.sessions.formula.parameter_names` names them.

    ## Observation Space
    `Box(-20, 20, (obs_dim,), float32)`: profile, session and candidate block, named entry by
    entry in `dynamics.layout`. Nothing hidden enters it.

    ## Rewards
    `engagement`: watch minutes + 1 like + 3 comments + 5 follows + 5 forwards - 5 hates, summed
    over the slate; or `watch_time`, `interaction`, `none`, or your own `module:function`.

    ## Starting State
    A user drawn from those served, at an hour drawn from the log's shares, with an empty history.

    ## Episode End
    Terminated when the user leaves; truncated after `max_requests` requests.

    ## Information
    Per request: `user`, `videos` (slate,), fusion `parameters`, `feedback` (slate, feedbacks) and
    `play_seconds` (slate,) of each shown video, `watch_seconds` and the count of each feedback
    over the slate, and `end_reason`: empty, `left` or `max_requests`.

    ## Arguments
    `dynamics`, `budget`, `render_mode`. Through `gymnasium.make`: `run` (a run folder, or None for
    the built-in demonstration world), `evaluator` (`simulator` or `world`), `group`, `user_model`,
    and any setting of `SessionConfig`.

    ## Version History
    v0: first version.
    """


class FusionSessionVectorEnv(FusionVectorEnv[SessionState]):
    """Many sessions at once; see `FusionSessionEnv` for what a session is."""


class FusionRetentionEnv(FusionEnv[RetentionState]):
    """Several sessions of one user: keep him coming back.

    ## Description
    Sessions as in `FusionSessionEnv`. When one ends, the user comes back after some days, with
    what the user model keeps of the last session, and the next one begins in the same episode.

    ## Action Space
    As in `FusionSessionEnv`.

    ## Observation Space
    As in `FusionSessionEnv`, and a block of visits: how many sessions there were, for how many
    days the user was away, and the requests and minutes of the session before.

    ## Rewards
    The request's, as in `FusionSessionEnv`; at a session's last request less `return_cost` for
    each day to the user's next active day. Reward `none` leaves the days alone.

    ## Starting State
    As in `FusionSessionEnv`: the first session of the episode.

    ## Episode End
    Terminated when the user stays away for more than `lost_after_days`; truncated when
    `max_sessions` sessions have ended.

    ## Information
    As in `FusionSessionEnv`, and `session_ended` and `return_days` (0 within a session);
    `end_reason` is empty, `lost` or `max_sessions`.

    ## Arguments
    As in `FusionSessionEnv`, and any setting of `RetentionConfig`.

    ## Version History
    v0: first version.
    """


class FusionRetentionVectorEnv(FusionVectorEnv[RetentionState]):
    """Many users at once; see `FusionRetentionEnv` for what an episode is."""
