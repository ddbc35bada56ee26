"""Time of all closed-form estimators, with the bootstrap, on 100,000 sessions.

    python -m benchmarks.ope_speed

The sessions are artificial: 14 requests and ten policies with artificial densities, models and
density ratios. The measured time is that of all closed-form estimators and 1,000 bootstrap
resamples of them, as in `mtf_rl.evaluation.off_policy`, on two threads of BLAS. This part grows
with sessions and policies. In the same run a plain loop over sessions and requests, which reads
like the formulas, is timed for one of them (`sn_pdis`), one policy and a part of the resamples, and
scaled up. It is a lower bound: a complete loop would compute the others too.
"""

import platform
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

import mtf_rl
from benchmarks.pages import write_page
from mtf_rl.evaluation.off_policy import ESTIMATORS, OPEInputs, Resamples, estimate_sum


@dataclass(frozen=True)
class Settings:
    """Sizes of the measurement."""

    sessions: int = 100_000
    """Sessions."""
    requests: int = 14
    """Requests of each."""
    policies: int = 10
    """Policies."""
    resamples: int = 1_000
    """Bootstrap resamples."""
    looped: int = 3_000
    """Sessions of the resample that the loop computes."""
    out: Path = Path("benchmarks/ope_speed.md")
    """The page to write."""


def made_up(settings: Settings, seed: int) -> OPEInputs:
    """Log ratios with a std of 0.2 a request, rewards, and a model of them."""
    rng = np.random.default_rng(seed)
    shape = (settings.sessions, settings.requests)
    rewards = rng.exponential(size=shape)
    v = (settings.requests - np.arange(settings.requests)) * np.ones(shape)
    return OPEInputs(
        log_ratios=rng.normal(-0.02, 0.2, shape),
        rewards=rewards,
        live=np.ones(shape, dtype=np.bool_),
        q=v + rng.normal(0.0, 0.1, shape),
        v=v,
        state_action_ratios=rng.lognormal(0.0, 0.1, shape),
        model_state_action_ratios=rng.lognormal(0.0, 0.1, shape),
        leverage=1.0,
    )


def vectorised(settings: Settings) -> float:
    """Seconds for everything."""
    inputs_of_all = [made_up(settings, seed) for seed in range(settings.policies)]
    start = time.perf_counter()
    rng = np.random.default_rng(0)
    resamples = Resamples.draw(settings.sessions, rng, resamples=settings.resamples)
    for inputs in inputs_of_all:
        resamples.estimates([estimate_sum(name, inputs) for name in ESTIMATORS])
    return time.perf_counter() - start


def looped(settings: Settings) -> float:
    """Seconds that a loop would need for one estimator, scaled up from one resample of a part."""
    inputs = made_up(settings, 0)
    rows = np.random.default_rng(0).integers(settings.sessions, size=settings.looped)
    ratios = np.exp(inputs.log_ratios[rows])
    rewards = inputs.rewards[rows]
    start = time.perf_counter()
    tops, bottoms = [0.0] * settings.requests, [0.0] * settings.requests
    for ratio, reward in zip(ratios, rewards, strict=True):
        weight = 1.0
        for request in range(settings.requests):
            weight *= ratio[request]
            tops[request] += weight * reward[request]
            bottoms[request] += weight
    once = time.perf_counter() - start
    fraction = settings.looped / settings.sessions
    return once / fraction * settings.resamples * settings.policies


def main() -> None:
    """Time both, and write the page."""
    settings = tyro.cli(Settings, description=__doc__)
    loop, ours = looped(settings), vectorised(settings)
    page = (
        "# Speed of the off-policy estimators\n\n"
        "You can see here how long `ope` takes on a large log, without fits and densities.\n\n"
        f"`python -m benchmarks.ope_speed`; mtf_rl {mtf_rl.__version__}, Python"
        f" {platform.python_version()}, numpy {np.__version__}.\n\n"
        f"{settings.sessions:,} sessions of {settings.requests} requests, {settings.policies}"
        f" policies, {settings.resamples:,} resamples.\n\n"
        "| what | seconds |\n| --- | --- |\n"
        f"| {len(ESTIMATORS)} estimators, all resamples, vectorised | {ours:.1f} |\n"
        f"| one estimator, a loop over sessions and requests, scaled up | {loop:,.0f} |\n"
        f"| ratio | {loop / ours:,.0f} |\n"
    )
    write_page(settings.out, page)
    print(page)


if __name__ == "__main__":
    main()
