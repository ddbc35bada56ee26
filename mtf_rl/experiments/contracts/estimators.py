"""The contract of closed-form estimators."""

from dataclasses import replace

import numpy as np

from mtf_rl.evaluation.off_policy import ESTIMATORS, Estimator, OPEInputs, RatioSum
from mtf_rl.experiments.contracts.contract import Check, Contract, require

__all__ = ["ESTIMATOR_CONTRACT"]


def _inputs() -> OPEInputs:
    """Sessions of 1 to 6 requests, with the logging policy as target and exact Q and V."""
    rng = np.random.default_rng(0)
    live = np.arange(6) < rng.integers(1, 7, size=40)[:, None]  # (sessions, time)
    rewards = np.where(live, rng.normal(2.0, 1.0, live.shape), 0.0)
    to_come = np.cumsum(rewards[:, ::-1], axis=1)[:, ::-1]
    ones = live.astype(np.float64)
    return OPEInputs(
        log_ratios=np.zeros_like(rewards),
        rewards=rewards,
        live=live,
        q=to_come,
        v=to_come,
        state_action_ratios=ones,
    )


def _value(estimator: Estimator, inputs: OPEInputs) -> float:
    made = estimator.make(inputs)
    require(isinstance(made, RatioSum), f"make must return a RatioSum, got {made!r}")
    return float(made.value)


def _exact_on_the_log(estimator: Estimator) -> None:
    inputs = _inputs()
    value, expected = _value(estimator, inputs), float(inputs.rewards.sum(axis=1).mean())
    require(
        np.isclose(value, expected),
        f"for the logging policy the estimate must be the log's mean session reward"
        f" {expected:.4f}, got {value:.4f}",
    )


def _session_order(estimator: Estimator) -> None:
    inputs = _weighed()
    order = np.random.default_rng(2).permutation(len(inputs.rewards))
    moved = replace(
        inputs,
        **{
            name: getattr(inputs, name)[order]
            for name in ("log_ratios", "rewards", "live", "q", "v", "state_action_ratios")
        },
    )
    first, second = _value(estimator, inputs), _value(estimator, moved)
    require(
        np.isclose(first, second),
        f"sessions in another order must give the same value {first}, got {second}",
    )


def _unit_of_reward(estimator: Estimator) -> None:
    inputs = _weighed()
    assert inputs.q is not None
    assert inputs.v is not None
    doubled = replace(inputs, rewards=2 * inputs.rewards, q=2 * inputs.q, v=2 * inputs.v)
    first, second = _value(estimator, inputs), _value(estimator, doubled)
    require(
        np.isclose(2 * first, second),
        f"doubled rewards must give the doubled value {2 * first}, got {second}",
    )


def _weighed() -> OPEInputs:
    inputs = _inputs()
    noise = np.random.default_rng(1).normal(0.0, 0.2, inputs.rewards.shape)
    return replace(inputs, log_ratios=np.where(inputs.live, noise, 0.0))


ESTIMATOR_CONTRACT = Contract(
    kind="estimator",
    registry=ESTIMATORS,
    recognises=lambda own: isinstance(own, Estimator),
    subject=ESTIMATORS.resolve,
    checks=(
        Check("the logging policy's value is the log's mean session reward", _exact_on_the_log),
        Check("the value does not depend on the order of sessions", _session_order),
        Check("doubled rewards give the doubled value", _unit_of_reward),
    ),
)
