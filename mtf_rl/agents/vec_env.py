"""The batched session environment as a Stable-Baselines3 `VecEnv`."""

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env.base_vec_env import VecEnv
from typing_extensions import override

from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.errors import ConfigError, DataError
from mtf_rl.envs import FusionVectorEnv

__all__ = ["SessionVecEnv"]


class SessionVecEnv(VecEnv):
    """Wraps a `FusionVectorEnv` as an SB3 `VecEnv`; episodes run in one native batch.

    Rewards for the learner are divided by `reward_scale`; returns in `episode` infos are unscaled.
    `last_infos` holds the infos of the last step as arrays (see `FusionSessionEnv`), so a callback
    needs no loop over per-environment dictionaries.
    """

    def __init__(self, env: FusionVectorEnv[Any]) -> None:
        self.env = env
        self.last_infos: dict[str, Any] = {}
        self.reward_scale = 1.0
        self._actions: FloatArray = np.zeros(0, dtype=np.float32)
        self._returns = np.zeros(env.num_envs)
        self._lengths = np.zeros(env.num_envs, dtype=np.int64)
        self._born = time.time()
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

    @override
    def reset(self) -> Any:
        seed = self._seeds[0]
        observation, _ = self.env.reset(seed=seed)
        self._reset_seeds()
        self._returns[:] = 0.0
        self._lengths[:] = 0
        _check_finite("observation", observation)
        return observation

    @override
    def step_async(self, actions: NDArray[Any]) -> None:
        self._actions = actions

    @override
    def step_wait(self) -> Any:
        """Step all environments, as SB3's `VecEnv.step_wait`.

        Raises:
            DataError: if an observation or a reward is not finite.
        """
        observation, reward, terminated, truncated, infos = self.env.step(self._actions)
        self.last_infos = infos
        _check_finite("observation", observation)
        _check_finite("reward", reward)
        done = terminated | truncated
        self._returns += reward
        self._lengths += 1
        dictionaries: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for row in np.flatnonzero(done):
            dictionaries[row] = {
                "terminal_observation": infos["final_obs"][row],
                "TimeLimit.truncated": bool(truncated[row]),
                "episode": {
                    "r": float(self._returns[row]),
                    "l": int(self._lengths[row]),
                    "t": time.time() - self._born,
                },
            }
        self._returns[done] = 0.0
        self._lengths[done] = 0
        return observation, reward / np.float32(self.reward_scale), done, dictionaries

    @override
    def close(self) -> None:
        self.env.close()

    @override
    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self.env, attr_name)] * len(list(self._get_indices(indices)))

    @override
    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise ConfigError(f"'{attr_name}' cannot be set for single environments of a batch")

    @override
    def env_method(
        self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any
    ) -> list[Any]:
        raise ConfigError(f"'{method_name}' cannot be called on single environments of a batch")

    @override
    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        # Episode returns are reported as a Monitor does, so SB3 must not add a wrapper.
        return [True] * len(list(self._get_indices(indices)))


def _check_finite(name: str, values: NDArray[Any]) -> None:
    """Raise a DataError for NaN or infinity, which would turn all network weights into NaN."""
    finite = np.isfinite(values)
    if not finite.all():
        position = tuple(int(index) for index in np.argwhere(~finite)[0])
        raise DataError(
            f"the environment's {name} must be finite, got {values[position]} at {position} of"
            f" shape {values.shape}; check the reward function and the user model"
        )
