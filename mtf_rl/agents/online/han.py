"""The actor-critic of Han et al.: DDPG that selects the parameters of a ranking function.

Source: Han et al., the DRRS system, AIAM 2019.

From the paper: an actor outputs a vector of ranking parameters for a request. It is trained by DDPG
with epsilon-greedy exploration, experience replay and target networks.

The copy of the paper available to us lacks the formula of the ranking function and all settings.
Unlike the paper, or where the copy gives no details:

- the parameters are the fusion parameters of the run's formula and action map (in the paper, a
  vector as long as an item's embedding, and the resulting score replaces pCTR * bid);
- the state is the run's observation (in the paper, embeddings of items that the user liked);
- a random action is uniform on the box, and epsilon decreases linearly;
- target networks are updated softly;
- network, warm-up, standardised observations and squashing penalty are those of our DDPG.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3 import DDPG
from stable_baselines3.common.noise import ActionNoise
from typing_extensions import override

from mtf_rl.agents.learning import LearnedPolicy, LearningTask
from mtf_rl.agents.online.config import HanConfig
from mtf_rl.agents.online.loop import sessions_to_learn_from
from mtf_rl.agents.online.off_policy import (
    learn_off_policy,
    off_policy_settings,
    penalise_squashing,
)
from mtf_rl.core.arrays import FloatArray

__all__ = ["EpsilonGreedy", "learn_han"]

# Separates the exploration's random stream from the others derived from the learner's seed.
_EXPLORATION_STREAM = 1


class EpsilonGreedy:
    """Replaces each action, with probability epsilon, by one that is uniform on [-1, 1]^d.

    Args:
        first: epsilon at the start, in [0, 1].
        last: epsilon at the end, in [0, 1].
        generator: random numbers of the exploration; not used for anything else.
    """

    def __init__(self, first: float, last: float, generator: np.random.Generator) -> None:
        self._first, self._last = first, last
        self.generator = generator

    def epsilon(self, progress: float) -> float:
        """Linear interpolation from first to last at `progress`, which is clipped to [0, 1]."""
        return self._first + (self._last - self._first) * min(max(progress, 0.0), 1.0)

    def explore(self, actions: FloatArray, progress: float) -> FloatArray:
        """Replace some of the actions (num_envs, action_dim) at random."""
        replaced = self.generator.random(len(actions)) < self.epsilon(progress)  # (num_envs,)
        drawn = self.generator.uniform(-1.0, 1.0, actions.shape).astype(actions.dtype)
        return np.where(replaced[:, None], drawn, actions)


class EpsilonGreedyDDPG(DDPG):
    """DDPG whose exploration replaces actions instead of adding noise to them."""

    exploration: EpsilonGreedy

    @override
    def _sample_action(
        self,
        learning_starts: int,
        action_noise: ActionNoise | None = None,
        n_envs: int = 1,
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        action, stored = super()._sample_action(learning_starts, None, n_envs)
        if self.num_timesteps < learning_starts:
            return action, stored
        length = self._total_timesteps - learning_starts
        progress = (self.num_timesteps - learning_starts) / max(length, 1)
        self.logger.record("exploration/epsilon", self.exploration.epsilon(progress))
        explored = self.exploration.explore(stored, progress)
        return self.policy.unscale_action(explored), explored


def learn_han(task: LearningTask, config: HanConfig) -> LearnedPolicy:
    """Learn with DDPG and epsilon-greedy exploration until the task's budget is used.

    Raises:
        ConfigError: if the budget does not outlast the warm-up.
    """
    env = sessions_to_learn_from(task, config)
    model = EpsilonGreedyDDPG("MlpPolicy", env, **off_policy_settings(task, config))
    model.exploration = EpsilonGreedy(
        config.first_epsilon,
        config.last_epsilon,
        np.random.default_rng([task.seed, _EXPLORATION_STREAM]),
    )
    return learn_off_policy(penalise_squashing(model, config), task, config)
