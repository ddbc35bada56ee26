"""Errors of fitted Q functions on a system with a value in closed form, and speed of the fits.

    python -m benchmarks.fitted_q [--seeds 4] [--updates 5000]

Prints the tables of docs/fitted_q_accuracy.md: the linear-quadratic system of the tests, and CPU
seconds on random rows of the project's widths. Run it with OMP_NUM_THREADS=1.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from mtf_rl.evaluation import LeastSquaresConfig, least_squares_q, static_policies
from mtf_rl.evaluation.fitted_q import CONSERVATIVE_OPESTIMATOR, FQEConfig, fit_q
from tests.evaluation.decision_processes import LinearQuadratic, constant_policy, random_log

STARTS = np.linspace(-0.9, 0.9, 101)[:, None]  # (sessions, 1)


def least_squares_error(rows: int, gamma: float, seed: int) -> float:
    """Relative error of the value by least squares."""
    system = LinearQuadratic()
    config = LeastSquaresConfig(gamma=gamma, observation_terms="squares")
    q = least_squares_q(system.log(rows, seed), system.policy, config)
    return q.value(STARTS, system.policy) / float(system.state_values(STARTS, gamma).mean()) - 1.0


def network_error(config: FQEConfig) -> float:
    """Relative error of the value by a network; the log has the fit's seed."""
    system = LinearQuadratic()
    q = fit_q(system.log(20_000, config.seed), system.policy, config)
    truth = float(system.state_values(STARTS, config.gamma).mean())
    return q.value(STARTS, system.policy) / truth - 1.0


def print_errors(seeds: int, updates: int) -> None:
    """Relative errors, a row an estimator."""
    for rows, gamma in ((20_000, 0.95), (20_000, 0.8), (100_000, 0.8)):
        errors = [least_squares_error(rows, gamma, seed) for seed in range(20)]
        largest = np.abs(errors).max()
        print(f"least squares | {rows:,} | {gamma} | sd {np.std(errors):.2%}, {largest:.2%}")
    plain = FQEConfig(updates=updates)
    for name, config in (
        ("fit_q, gamma .8", replace(plain, gamma=0.8)),
        ("fit_q, gamma .95", plain),
        ("conservative", CONSERVATIVE_OPESTIMATOR),
        ("conservative, alpha 0", replace(CONSERVATIVE_OPESTIMATOR, alpha=0.0)),
    ):
        errors = [network_error(replace(config, seed=seed)) for seed in range(seeds)]
        print(f"{name} | " + ", ".join(f"{error:.1%}" for error in errors), flush=True)


def print_speeds() -> None:
    """CPU seconds on 100,000 rows, 70 numbers in an observation and 8 in an action."""
    log = random_log(100_000, obs_dim=70, action_dim=8, seed=0)
    policy = constant_policy(70, *np.zeros(8))
    for alpha in (0.0, 0.01):
        config = FQEConfig(updates=100, alpha=alpha)
        fit_q(log, policy, config)  # The first fit loads parts of torch.
        few = seconds(partial(fit_q, log, policy, config))
        many = seconds(partial(fit_q, log, policy, replace(config, updates=1100)))
        print(f"fit_q, alpha {alpha}: {1000 / (many - few):.0f} updates a second")
    evaluator = static_policies(log)
    actions = np.random.default_rng(0).uniform(-1.0, 1.0, (500, 8))
    print(f"static_policies: {seconds(lambda: static_policies(log)):.1f} s")
    first = log.first_observations
    print(f"500 policies: {seconds(lambda: evaluator.evaluate(actions, first)):.1f} s")
    print(f"least_squares_q: {seconds(lambda: least_squares_q(log, policy)):.1f} s")


def seconds(work: Callable[[], object]) -> float:
    """CPU seconds that it takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    """Print errors, then speeds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=int, default=4, help="fits of each network")
    parser.add_argument("--updates", type=int, default=5000, help="gradient steps of a plain fit")
    arguments = parser.parse_args()
    print_errors(arguments.seeds, arguments.updates)
    print_speeds()


if __name__ == "__main__":
    main()
