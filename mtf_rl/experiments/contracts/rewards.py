"""The contract of rewards."""

from dataclasses import fields, replace
from typing import Any

import numpy as np

from mtf_rl.core.arrays import select_rows
from mtf_rl.envs import REWARDS, Reward, RewardFunction, RewardInputs
from mtf_rl.envs.rewards import TaskReward, reward_named, trial_inputs
from mtf_rl.experiments.contracts.contract import Check, Contract, require

__all__ = ["REWARD_CONTRACT"]


def _shape(reward: RewardFunction) -> None:
    for inputs in trial_inputs():
        worth = reward(inputs)
        expected = (len(inputs.watch_seconds),)
        require(worth.shape == expected, f"expected shape {expected}, got {worth.shape}")
        require(np.isfinite(worth).all(), f"expected finite numbers, got {worth}")


def _repeatable(reward: RewardFunction) -> None:
    for inputs in trial_inputs():
        first, second = reward(inputs), reward(inputs)
        require(
            np.array_equal(first, second),
            f"the same request must have the same reward, got {first} and {second}",
        )


def _rows_apart(reward: RewardFunction) -> None:
    for inputs in trial_inputs():
        together = reward(inputs)
        for row in range(len(together)):
            alone = reward(_one_user(inputs, row))
            require(
                np.allclose(alone, together[row : row + 1], rtol=1e-5, atol=1e-6),
                f"user {row} must get the same reward alone and in a batch, got {alone[0]} and"
                f" {together[row]}",
            )


def _inputs_untouched(reward: RewardFunction) -> None:
    for inputs, fresh in zip(trial_inputs(), trial_inputs(), strict=True):
        reward(inputs)
        for part in ("response", "slate", "history"):
            before, after = getattr(fresh, part), getattr(inputs, part)
            for entry in fields(before):
                same = np.array_equal(getattr(before, entry.name), getattr(after, entry.name))
                require(
                    same, f"{part}.{entry.name} was changed; copy an array before writing to it"
                )


def _one_user(inputs: RewardInputs, row: int) -> RewardInputs:
    rows = np.array([row])
    return replace(
        inputs,
        response=select_rows(inputs.response, rows),
        slate=replace(select_rows(replace(inputs.slate, ranked=None), rows)),
        history=select_rows(inputs.history, rows),
    )


def _looks_like_a_reward(own: Any) -> bool:
    return isinstance(own, Reward | TaskReward) or (callable(own) and not isinstance(own, type))


REWARD_CONTRACT = Contract(
    kind="reward",
    registry=REWARDS,
    recognises=_looks_like_a_reward,
    subject=reward_named,
    checks=(
        Check("it returns one finite number for each user", _shape),
        Check("the same request has the same reward", _repeatable),
        Check("a user's reward does not depend on the other users of the batch", _rows_apart),
        Check("it does not change its inputs", _inputs_untouched),
    ),
)
