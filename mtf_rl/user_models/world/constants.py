"""Constants of play time and feedback in the world.

Each is calibrated, taken from KuaiRand's rows, or assumed: see `docs/world_behaviour.md`.
"""

import numpy as np

from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.log_schema import KUAIRAND_LOG
from mtf_rl.core.tasks import KUAIRAND_TASKS

# The world is KuaiRand's by construction: its tasks, thresholds and scenes. The compiled loops take
# these as constants.
NUM_TASKS = len(KUAIRAND_TASKS)
NUM_FEEDBACKS = len(KUAIRAND_TASKS.feedbacks)
CLICK, LONG_VIEW = KUAIRAND_TASKS.index("click"), KUAIRAND_TASKS.index("long_view")
LIKE, FOLLOW = KUAIRAND_TASKS.index("like"), KUAIRAND_TASKS.index("follow")
COMMENT, FORWARD = KUAIRAND_TASKS.index("comment"), KUAIRAND_TASKS.index("forward")
HATE, WATCH = KUAIRAND_TASKS.index("hate"), KUAIRAND_TASKS.index("watch")
VALID_SECONDS = float(KUAIRAND_TASKS["click"].played_seconds or 0.0)
LONG_SECONDS = float(KUAIRAND_TASKS["long_view"].played_seconds or 0.0)
CAP_SECONDS = KUAIRAND_TASKS["watch"].cap
TWO_COLUMN_TAB, MAIN_TAB = KUAIRAND_LOG.scenes.two_column[0], KUAIRAND_LOG.scenes.main

# Log-odds of starting to watch, and of tapping a cover, at neutral traits (calibrated).
WATCH_INTERCEPT = -1.80
TAP_INTERCEPT = -3.95
TAP_SLOPE = 0.8
# KuaiRand-Pure, 04-25 to 05-05: 0.6 % of single-column impressions never play, 4.4 % of taps.
PLAYS_IN_FEED = 0.994
PLAYS_AFTER_TAP = 0.956
# ln(play seconds) of the skip mode, after the two-component fit of the same rows' tab 1.
SKIP_MEAN, SKIP_SPREAD = 0.66, 0.66
WATCH_MEAN, WATCH_SPREAD = 1.18, 1.07
WATCH_ON_DURATION = 0.2
WATCH_ON_INTEREST = 1.0
LOG_TYPICAL_DURATION = 4.2
TYPICAL_DURATION_SECONDS = float(np.exp(LOG_TYPICAL_DURATION))
# Typical videos of the logging rankers: log-odds of interest, fraction of disappointments.
USUAL_INTEREST, USUAL_LURED = 2.3, 0.15
# ln(play seconds) of watches that end when the user discovers click-bait: about 10 s (assumed).
LURED_MEAN, LURED_SPREAD = 2.35, 0.4
# Seconds played beyond the end (loops included): ln ~ N(ln 2, 1.6), after the same rows.
OVERRUN_MEAN, OVERRUN_SPREAD = float(np.log(2.0)), 1.6
LONGEST_OVERRUN = 3.0  # durations

# Odds of each signal given how the video was played, at neutral traits; after the same rows.
SIGNAL_ODDS: FloatArray = np.array(
    [  # none, brief, valid, long
        [0.0009, 0.0014, 0.0133, 0.0196],  # like
        [0.00004, 0.000015, 0.00018, 0.00024],  # follow
        [0.0000, 0.0000, 0.00005, 0.00036],  # comment
        [0.0000, 0.00005, 0.00072, 0.0010],  # forward
        [0.00048, 0.00064, 0.00088, 0.00048],  # hate
    ]
)
# Factors of a like on the odds of the other signals (P(like | follow) = 0.43 and so on).
ODDS_AFTER_LIKE: FloatArray = np.array([1.0, 4.0, 4.0, 5.0, 1.0])
# Weights of match and of likeability in a video's appeal to a user; both have equal weight.
APPEAL_OF_MATCH, APPEAL_OF_QUALITY = 0.7, 0.7
# Log-odds of each signal per unit of appeal match, bait and taste match.
APPEAL_ON_SIGNALS: FloatArray = np.array([1.0, 0.8, 0.8, 0.5, -0.5])
BAIT_ON_SIGNALS: FloatArray = np.array([-0.2, -0.3, 0.7, 0.5, 0.7])
MATCH_ON_SIGNALS: FloatArray = np.array([0.30, 0.65, 0.68, 0.0, -0.45])
