"""The actor-critic of Han et al. (2019), who let DDPG choose the parameters of a ranking function.

Source: Han et al., the DRRS system, AIAM 2019.

The paper's: an actor emits a vector of ranking parameters for a request; it is trained by DDPG,
with epsilon-greedy exploration, experience replay, and target networks apart from the evaluated
ones.

Ours, since the copy that could be read has lost the formula of the ranking function and all
settings: the parameters are the fusion parameters of the run's own formula and action map (in the
paper a vector as long as an item's embedding, from which a score is computed that replaces
pCTR * bid); a random action is uniform on the box; how epsilon falls; the soft update of the
targets; and all that `DDPGConfig` shares with us (network, warm-up, standardised observations,
squashing penalty). Its state, embeddings of items that the user liked, is the run's observation.
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

# Keeps the stream of explorations apart from every other that starts at the learner's seed.
_EXPLORATION_STREAM = 1


class EpsilonGreedy:
    """Replaces each action, with probability epsilon, by one that is uniform on [-1, 1]^d.

    Args:
        first: epsilon at the start.
        last: epsilon at the end.
        generator: of the draws; nothing else is drawn from.
    """

    def __init__(self, first: float, last: float, generator: np.random.Generator) -> None:
        self._first, self._last = first, last
        self.generator = generator

    def epsilon(self, progress: float) -> float:
        """Between the first and the last, by the fraction of the way gone, in [0, 1]."""
        return self._first + (self._last - self._first) * min(max(progress, 0.0), 1.0)

    def explore(self, actions: FloatArray, progress: float) -> FloatArray:
        """Actions (num_envs, action_dim), some of them replaced."""
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
