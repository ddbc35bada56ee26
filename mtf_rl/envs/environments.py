"""The named environments, documented under Gymnasium's headings."""

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
    A user opens a short-video app. At each request, a retrieval stage returns `candidates` videos
    with the predictions of a multi-task model. The agent's weights fuse the predictions into one
    score, and the `slate` videos with the highest score are shown. The user gives feedback on each
    video, then leaves or makes the next request.

    ## Action Space
    `Box(-1, 1, (action_dim,), float32)`. The action map converts an action to the formula's
    parameters: `box` gives weights in [0, 1] for tasks with a positive sign and in [-1, 0] for
    hate. `dynamics.sessions.formula.parameter_names` lists their names.

    ## Observation Space
    `Box(-20, 20, (obs_dim,), float32)`: the blocks profile, session and candidates.
    `dynamics.layout` lists the names of the entries. The user model's state is not observed.

    ## Rewards
    `engagement` is watch minutes + likes + 3 comments + 5 follows + 5 forwards - 5 hates, summed
    over the slate. Others are `watch_time`, `interaction`, `none`, or your own `module:function`.

    ## Starting State
    A random user of those served, an hour drawn from the log's distribution, an empty history.

    ## Episode End
    Terminated when the user leaves; truncated after `max_requests` requests.

    ## Information
    Per request: `user`, `videos` (slate,), fusion `parameters`, `feedback` (slate, feedbacks) and
    `play_seconds` (slate,) of each shown video, `watch_seconds` and the count of each feedback
    over the slate, and `end_reason` (empty, `left` or `max_requests`).

    ## Arguments
    `dynamics`, `budget`, `render_mode`. With `gymnasium.make`: `run` (a run folder, or None for the
    built-in synthetic world), `evaluator` (`simulator` or `ground_truth`), `group`, `user_model`,
    and any setting of `SessionConfig`.

    ## Version History
    v0: first version.
    """


class FusionSessionVectorEnv(FusionVectorEnv[SessionState]):
    """Batched version of `FusionSessionEnv`."""


class FusionRetentionEnv(FusionEnv[RetentionState]):
    """Several sessions of one user: maximise reward and frequent return.

    ## Description
    Sessions as in `FusionSessionEnv`. After a session, the user returns after some days and the
    next session starts in the same episode. The user model carries its state over.

    ## Action Space
    As in `FusionSessionEnv`.

    ## Observation Space
    As in `FusionSessionEnv`, plus the block visits: number of earlier sessions, days since the last
    session, and requests and watch minutes of the last session.

    ## Rewards
    The reward of the request as in `FusionSessionEnv`. At the last request of a session,
    `return_cost` is subtracted for each day to the user's next active day. With reward `none`, only
    the days count.

    ## Starting State
    As in `FusionSessionEnv`: the first session of the episode.

    ## Episode End
    Terminated when the user stays away for more than `lost_after_days`; truncated when
    `max_sessions` sessions have ended.

    ## Information
    As in `FusionSessionEnv`, plus `session_ended` and `return_days` (0 within a session);
    `end_reason` is empty, `lost` or `max_sessions`.

    ## Arguments
    As in `FusionSessionEnv`, plus any setting of `RetentionConfig`.

    ## Version History
    v0: first version.
    """


class FusionRetentionVectorEnv(FusionVectorEnv[RetentionState]):
    """Batched version of `FusionRetentionEnv`."""
