"""Least-squares policy iteration in rounds of collection, evaluation and improvement."""

from dataclasses import dataclass

import numpy as np

from mtf_rl.agents.behaviour import BehaviourPolicy, Mixture, TruncatedGaussian, UniformRandom
from mtf_rl.agents.collection import collect
from mtf_rl.agents.features import columns_of, default_columns
from mtf_rl.agents.final import mean_reward, select_finalist
from mtf_rl.agents.learning import LearnedPolicy, LearningInterruptedError, LearningTask
from mtf_rl.agents.lspi.config import MIN_REQUESTS_OF_ROUND, LSPIConfig, min_requests
from mtf_rl.agents.lspi.critic import CriticEvaluation
from mtf_rl.agents.lspi.improvement import Gain, improved
from mtf_rl.agents.networks import Mlp
from mtf_rl.agents.policies import MlpPolicy
from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.randomness import hash_words
from mtf_rl.data import Transitions
from mtf_rl.envs import SessionDynamics
from mtf_rl.evaluation import Sessions
from mtf_rl.evaluation.least_squares import QuadraticFeatures
from mtf_rl.evaluation.standardisation import Standardisation

__all__ = ["learn_lspi"]

_STATES = 4_000  # states over which the gain of a policy is averaged
_FINAL_BLOCK = 16  # sessions per policy in a block of the final
_LONG_DEPTH = 25  # requests of a long but not exceptional session, for estimates of the cost
_START_STD = 0.5  # standard deviation of the weights of random starts
_RANDOM_STARTS = 2


def learn_lspi(task: LearningTask, config: LSPIConfig) -> LearnedPolicy:
    """Learn weights that depend on a few observed numbers, by least-squares policy iteration.

    Policy iteration of Lagoudakis and Parr ("Least-squares policy iteration", JMLR 2003) with
    quadratic features of action and observation. Unlike the paper:

    - Actions are continuous: the policy is tanh(W (1, z)), with z a few standardised observations.
    - W maximises the mean of Q over states, not Q at each state, minus `caution` standard errors of
      the gain over the policy at the start of the round.
    - Transitions are collected in rounds.
    - The policies of the last rounds are compared on tuning users, by session reward, or by reward
      per request for a myopic learner (`gamma` 0). Their number depends on the budget.

    The term with `caution` is a penalty, not a significance test: maximising over many directions
    overfits noise, and the maximum can exceed 0 by several of its standard errors without any true
    gain.

    Raises:
        ConfigError: if a feature is not observed, the budget is too small, or an episode has
            several sessions.
        DataError: if a reward or an observation is not finite, or Q has no fixed point.
        LearningInterruptedError: on Ctrl-C, with the current policy.
    """
    learner = _Learner.of(task, config)
    try:
        # The last rounds have most data. The budget must pay for two blocks of each finalist.
        policies = learner.rounds()[::-1][: _max_finalists(task.budget.left)]
        worth = mean_reward if config.gamma > 0.0 else _mean_reward_of_a_request
        best = select_finalist(task, policies, block=_FINAL_BLOCK, worth=worth)
    except KeyboardInterrupt:
        raise LearningInterruptedError(learner.learned(learner.last)) from None
    return learner.learned(policies[best])


def _max_finalists(left: float) -> int:
    return max(1, int(left / (2 * _FINAL_BLOCK * _LONG_DEPTH)))


def _mean_reward_of_a_request(sessions: Sessions) -> float:
    return float(sessions.reward.sum()) / sessions.requests


@dataclass
class _Learner:
    """The transitions so far and the policy's weights."""

    task: LearningTask
    config: LSPIConfig
    sessions: SessionDynamics
    columns: tuple[int, ...]

    @classmethod
    def of(cls, task: LearningTask, config: LSPIConfig) -> "_Learner":
        minimum = min_requests(config)
        if (task.budget.limit or 0) < minimum:
            raise ConfigError(
                f"requests must be at least {minimum}, so that each of {config.rounds} rounds has"
                f" {MIN_REQUESTS_OF_ROUND}, got {task.budget.limit}; raise --requests or lower"
                " rounds"
            )
        if not isinstance(task.learning, SessionDynamics):
            raise ConfigError(
                "lspi needs episodes of one session, got episodes with several visits of a user;"
                " use another agent"
            )
        layout, names = task.learning.layout, config.features
        columns = default_columns(layout) if names is None else columns_of(layout, names)
        return cls(task, config, task.learning, columns)

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.task.seed)
        width = self.task.learning.layout.size
        self._standard = Standardisation(np.zeros(width), np.ones(width))
        shape = (1 + len(self.columns), self.sessions.action_dim)
        self._weights: FloatArray = np.zeros(shape)
        self._rows: list[Transitions] = []
        self._watch_calls = 0
        self._untrained = self.last

    @property
    def last(self) -> MlpPolicy:
        """The policy with the current weights."""
        return _policy(self._standard, self.columns, self._weights)

    def learned(self, policy: MlpPolicy) -> LearnedPolicy:
        return LearnedPolicy(policy, self._untrained, self.task.budget.used)

    def rounds(self) -> list[MlpPolicy]:
        """Run all rounds; return the policy after each."""
        policies = []
        for number, requests in enumerate(self._requests_of_rounds()):
            self._collect(number, requests)
            self._improve()
            policies.append(self.last)
            self._show()
        return policies

    def _requests_of_rounds(self) -> list[int]:
        config = self.config
        total = int((1.0 - config.finalist_fraction) * (self.task.budget.limit or 0))
        if config.rounds == 1:
            return [total]
        first = int(config.first_fraction * total)
        return [first] + [(total - first) // (config.rounds - 1)] * (config.rounds - 1)

    def _collect(self, number: int, requests: int) -> None:
        """Collect a round's sessions, with their own random numbers."""
        seed = int(hash_words(self.task.seed, number)[0] >> np.uint64(33))
        batch = collect(
            self.sessions,
            self._behaviour() if number else UniformRandom(self.sessions.action_dim),
            requests=requests,
            seed=seed,
            budget=self.task.budget,
        )
        self._rows.append(Transitions.of(batch))
        if number == 0:
            self._standard = Standardisation.of(batch.observations)
        report, used = self.task.metrics, self.task.budget.used
        report(used, "session/reward_per_request", float(batch.rewards.mean()))

    def _behaviour(self) -> BehaviourPolicy:
        config = self.config
        near = TruncatedGaussian(self.last, config.std)
        everywhere = UniformRandom(self.sessions.action_dim)
        fractions = (1.0 - config.random_fraction, config.random_fraction)
        return Mixture((near, everywhere), fractions)

    def _improve(self) -> None:
        """Evaluate and improve the policy `iterations` times."""
        config = self.config
        rows = _joined(self._rows)
        features = QuadraticFeatures(
            self._standard, self.sessions.action_dim, "squares", self.columns
        )
        evaluation = CriticEvaluation(rows, features, config.gamma, config.ridge)
        inputs = self._inputs(rows.observations)
        reference = self._weights
        starts = [self._rng.normal(scale=_START_STD, size=reference.shape)
                  for _ in range(_RANDOM_STARTS)]  # fmt: skip
        for _ in range(config.iterations):
            values = evaluation.of(self.last)
            gain = Gain(values, inputs, reference, config.caution, config.squashing)
            self._weights = improved(gain, [self._weights, *starts])
            starts = []
        plain, error = gain.plain(self._weights)
        report, used = self.task.metrics, self.task.budget.used
        report(used, "train/td_error", values.td_error)
        report(used, "train/gain", plain)
        report(used, "train/gain_error", error)

    def _inputs(self, observations: FloatArray) -> FloatArray:
        """Inputs z of a random subset of rows, (states, 1 + crossed), with a 1 first."""
        chosen = self._rng.permutation(len(observations))[:_STATES]
        standard = self._standard.apply(observations[chosen])[:, list(self.columns)]
        return np.concatenate([np.ones((len(chosen), 1)), standard], axis=1)

    def _show(self) -> None:
        watch, used = self.task.watch, self.task.budget.used
        if watch is not None and used // watch.every > self._watch_calls:
            self._watch_calls = used // watch.every
            watch.see(used, self.last)


def _policy(standard: Standardisation, columns: tuple[int, ...], weights: FloatArray) -> MlpPolicy:
    """The policy tanh(W (1, z)) as a one-layer network with weight 0 for other observations."""
    embedded = np.zeros((weights.shape[1], len(standard.mean)))
    embedded[:, list(columns)] = weights[1:].T
    network = Mlp((embedded,), (weights[0].copy(),), output="tanh")
    return MlpPolicy(standard.mean, standard.scale, network)


def _joined(parts: list[Transitions]) -> Transitions:
    """Concatenate transitions; session numbers stay unique across parts."""
    starts = np.cumsum([0, *(int(part.sessions.max()) + 1 for part in parts)])
    return Transitions(
        observations=np.concatenate([part.observations for part in parts]),
        actions=np.concatenate([part.actions for part in parts]),
        rewards=np.concatenate([part.rewards for part in parts]),
        next_observations=np.concatenate([part.next_observations for part in parts]),
        terminated=np.concatenate([part.terminated for part in parts]),
        sessions=np.concatenate(
            [part.sessions + start for part, start in zip(parts, starts, strict=False)]
        ),
        requests=np.concatenate([part.requests for part in parts]),
    )
