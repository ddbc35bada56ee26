"""How strongly visible engagement moves leaving and returning in the synthetic world.

    python -m benchmarks.prior_tilt [--users 1000] [--days 8] [--seeds 0 1 2]

KuaiRand has no data on it, and the declared prior needs a number: that of the default world. The
world's logs are written and read like any other. Each session is replayed. Two logistic regressions
on the prior's own measure of engagement give the tilts. The measure is standardised over requests
(over session ends, for the return).
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_expit

from mtf_rl.core.arrays import BoolArray, FloatArray
from mtf_rl.data import SYNTHETIC_PLAN, read_kuairand, split_by_time
from mtf_rl.user_models import UserModelFitConfig, WorldConfig, synthesize
from mtf_rl.user_models.censoring import return_targets
from mtf_rl.user_models.fit_log import ReplayedLog, measured_prior
from mtf_rl.user_models.replay import NO_REQUEST


def slope(events: BoolArray, scores: FloatArray) -> float:
    """The slope of a logistic regression of `events` on `scores`, by maximum likelihood."""
    signs = np.where(events, 1.0, -1.0)

    def loss(parameters: FloatArray) -> float:
        return -float(log_expit(signs * (parameters[0] + parameters[1] * scores)).mean())

    return float(minimize(loss, np.zeros(2), method="BFGS").x[1])


def tilts(config: WorldConfig) -> tuple[float, float]:
    """Log odds of leaving lost, and of returning on the next day gained, per unit of z."""
    with tempfile.TemporaryDirectory() as folder:
        synthesize(config, Path(folder))
        dataset = read_kuairand(Path(folder))
    split = split_by_time(dataset.impressions, SYNTHETIC_PLAN)
    everyone = np.ones(len(dataset.impressions.users), dtype=np.bool_)
    log = ReplayedLog.make(dataset, split, everyone, UserModelFitConfig(max_rows=10**9))
    satisfaction = measured_prior(log, UserModelFitConfig()).satisfaction(log.replayed.after)
    left = log.requests.next_ms == NO_REQUEST
    known = log.followed_up
    leave_tilt = -slope(left[known], satisfaction[known])
    ends = np.flatnonzero(left)
    days = dataset.impressions.days[log.requests.rows[ends, 0]]
    targets = return_targets(dataset.impressions, everyone, log.requests.users[ends], days)
    seen = targets.next_day_known
    return leave_tilt, slope(targets.days[seen] == 1, satisfaction[ends][seen])


def main() -> None:
    """Print the tilts of every seed and their means."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--days", type=int, default=8)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    found = []
    for seed in arguments.seeds:
        found.append(tilts(WorldConfig(users=arguments.users, days=arguments.days, seed=seed)))
        print(f"seed {seed}: leave_tilt {found[-1][0]:.3f}, return_tilt {found[-1][1]:.3f}")
    means, spreads = np.mean(found, axis=0), np.std(found, axis=0)
    print(
        f"mean: leave_tilt {means[0]:.3f} ± {spreads[0]:.3f},"
        f" return_tilt {means[1]:.3f} ± {spreads[1]:.3f}"
    )


if __name__ == "__main__":
    main()
