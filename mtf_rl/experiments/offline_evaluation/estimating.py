"""Estimates of what policies are worth, from logged sessions and, if there is one, a simulator."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mtf_rl.agents import FusionPolicy, LoggedActions, collect
from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.protocols import SIMULATOR, Policy
from mtf_rl.data import BatchDataset, Transitions, UserGroup
from mtf_rl.envs import SessionDynamics
from mtf_rl.evaluation import Interval, end_at_cut, mean_interval, roll_out
from mtf_rl.evaluation.fitted_q import CONSERVATIVE_OPESTIMATOR, FQEConfig, fit_q
from mtf_rl.evaluation.off_policy import (
    Evidence,
    LoggedSessions,
    ProductKernel,
    RatioSum,
    Resamples,
    RewardDistribution,
    SessionModel,
    SmoothedTarget,
    Support,
    effective_size,
    estimate_sum,
    leverage_verdict,
    percentile_intervals,
    reward_distribution,
    slope_bandwidth,
    support_of,
    t_interval,
    view_of,
)
from mtf_rl.evaluation.off_policy.support import LEAST_SIZE
from mtf_rl.experiments.assembly import Assembly
from mtf_rl.experiments.collection import refuse_another_run
from mtf_rl.experiments.command_line import settings_of_run
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.offline_evaluation.candidates import load_candidates, refuse_another_log
from mtf_rl.experiments.offline_evaluation.config import (
    CLOSED_FORM,
    NETWORK,
    OFFLINE_ESTIMATORS,
    SIMULATED,
    OfflineConfig,
)
from mtf_rl.experiments.run_folder import open_run_folder

__all__ = ["Finding", "OfflineEvaluation", "evaluate"]

# Luck of the simulated sessions, apart from that of learners and of final judging.
_SIMULATED_SEED, _REPLAYED_SEED = 3_000_003, 4_000_003


@dataclass(frozen=True)
class Finding:
    """What one estimator says of one policy."""

    policy: str
    estimator: str
    value: Interval
    """Session reward."""
    gain: Interval
    """Over what the log's own policies earned in the same sessions; of `simulator`, over what the
    log's actions earn there."""
    verdict: str
    """Whether the data support it, with the figure that says so."""
    support: Support | None = None
    """Of the weights; None for what weighs nothing."""
    leverage: float | None = None
    """Of a linear model at the policy's actions, 1 at the log's."""

    @property
    def supported(self) -> bool:
        """Whether the verdict does not refuse it."""
        return not self.verdict.startswith("not supported")


@dataclass(frozen=True)
class OfflineEvaluation:
    """All findings on a log."""

    config: OfflineConfig
    logged: Interval
    """Session reward of the log's own policies."""
    sessions: int
    requests: int
    judge: str
    """Who answered in the log."""
    findings: tuple[Finding, ...]
    bandwidths: Mapping[str, FloatArray]
    """Of the kernel, by policy, (num_parameters,)."""
    distributions: Mapping[str, RewardDistribution]
    """Of session reward, by policy, where the weights of whole sessions support it."""

    def of(self, policy: str, estimator: str) -> Finding:
        """One finding."""
        return next(
            found
            for found in self.findings
            if (found.policy, found.estimator) == (policy, estimator)
        )

    @property
    def policies(self) -> list[str]:
        """Names, by the estimator that recommends, or the first; the best first."""
        chosen = [f for f in self.findings if f.estimator == self.config.ordering]
        return [f.policy for f in sorted(chosen, key=lambda found: -found.value.mean)]


def evaluate(config: OfflineConfig, terminal: Terminal) -> OfflineEvaluation:
    """Estimate every policy by every estimator.

    Args:
        config: which log, policies and estimators.
        terminal: told what happens.

    Raises:
        ArtifactError: if a file is missing or torn.
        ConfigError: if a policy or the simulator does not fit the log.
        DataError: if the log has no densities, or a fit is not determined.
    """
    batch = BatchDataset.load(config.data)
    policies = load_candidates(config.policies)
    for name, policy in policies.items():
        refuse_another_log(name, policy, batch)
    logged = LoggedSessions(batch)
    terminal.stage(
        f"{len(policies)} policies, told from {logged.count:,} sessions"
        f" ({len(logged):,} requests) answered by {batch.judge}"
    )
    simulated = None if config.simulator is None else _Simulated.of(config, logged, terminal)
    work = _Work.of(config, logged, simulated)
    findings: list[Finding] = []
    bandwidths, distributions = {}, {}
    with terminal.progress("policies", len(policies)) as bar:
        for name, policy in policies.items():
            kernel = work.kernel(policy)
            evidence = work.evidence(policy, kernel)
            findings += work.findings(name, policy, evidence)
            bandwidths[name] = kernel.bandwidths
            weights = evidence.weights[:, -1]
            if effective_size(weights) >= LEAST_SIZE:
                distributions[name] = reward_distribution(logged.session_rewards, weights)
            bar(1)
    return OfflineEvaluation(
        config=config,
        logged=work.own,
        sessions=logged.count,
        requests=len(logged),
        judge=batch.judge,
        findings=tuple(findings),
        bandwidths=bandwidths,
        distributions=distributions,
    )


@dataclass(frozen=True)
class _Simulated:
    """A simulator, and what the log's actions lead to in it."""

    dynamics: SessionDynamics
    replayed: LoggedSessions
    model: SessionModel

    def evidence(self, policy: FusionPolicy) -> Evidence:
        """What the replayed log tells of a policy; its ratios mean nothing and are not used."""
        width = self.replayed.batch.actions.shape[1]
        target = SmoothedTarget(policy, ProductKernel(np.ones(width)))
        return self.model.evidence(target, np.random.default_rng(0))

    @classmethod
    def of(cls, config: OfflineConfig, logged: LoggedSessions, terminal: Terminal) -> "_Simulated":
        run = open_run_folder(config.simulator or config.data)
        assembly = Assembly.load(run.data, run.simulator)
        session = settings_of_run(run).run.session
        dynamics = assembly.dynamics(session, UserGroup.LEARN, SIMULATOR)
        batch = logged.batch
        refuse_another_run(config.data, batch, dynamics)
        behaviour = LoggedActions(
            batch.actions, batch.log_densities, np.flatnonzero(batch.requests == 0)
        )
        with terminal.progress("requests of the log played in the simulator", len(logged)) as bar:
            replayed = collect(
                dynamics,
                behaviour,
                requests=len(logged),
                seed=_REPLAYED_SEED + config.seed,
                progress=bar,
            )
        sessions = LoggedSessions(replayed)
        return cls(dynamics, sessions, SessionModel(sessions, config.model, view_of(batch)))


@dataclass(frozen=True)
class _Work:
    """Everything that policies are evaluated with."""

    config: OfflineConfig
    logged: LoggedSessions
    model: SessionModel
    simulated: _Simulated | None

    @classmethod
    def of(
        cls, config: OfflineConfig, logged: LoggedSessions, simulated: _Simulated | None
    ) -> "_Work":
        model = SessionModel(logged, config.model, view_of(logged.batch))
        return cls(config, logged, model, simulated)

    @cached_property
    def resamples(self) -> Resamples:
        """The same for every policy, so that they are compared on the same sessions."""
        rng = np.random.default_rng(self.config.seed)
        return Resamples.draw(self.logged.count, rng, resamples=self.config.resamples)

    @property
    def own(self) -> Interval:
        """Session reward of the log's own policies."""
        return t_interval(
            RatioSum.mean(self.logged.session_rewards), confidence=self.config.confidence
        )

    def kernel(self, policy: FusionPolicy) -> ProductKernel:
        """The given bandwidth, or SLOPE's."""
        config, width = self.config, self.logged.batch.actions.shape[1]
        if config.bandwidth is not None:
            return ProductKernel(np.full(width, config.bandwidth), config.kernel)
        return slope_bandwidth(self.logged, policy, kernel=config.kernel)

    def evidence(self, policy: FusionPolicy, kernel: ProductKernel) -> Evidence:
        """Ratios of the smoothed policy; Q, V and visits of the policy itself."""
        rng = np.random.default_rng(self.config.seed)
        return self.model.evidence(SmoothedTarget(policy, kernel), rng)

    def findings(self, name: str, policy: FusionPolicy, evidence: Evidence) -> list[Finding]:
        """One for each estimator that was asked for."""
        asked = self.config.asked
        makers = {
            kind: [one for one in asked if OFFLINE_ESTIMATORS[one] == kind]
            for kind in (CLOSED_FORM, NETWORK, SIMULATED)
        }
        found = self._closed_form(name, makers[CLOSED_FORM], evidence)
        for estimator in makers[NETWORK]:
            found += self._network(name, estimator, policy, evidence)
        if self.simulated is not None and makers[SIMULATED]:
            found += self._played(name, makers[SIMULATED], policy, evidence, self.simulated)
        by_name = {finding.estimator: finding for finding in found}
        return [by_name[estimator] for estimator in asked]

    def _closed_form(
        self, name: str, estimators: Sequence[str], evidence: Evidence
    ) -> list[Finding]:
        if not estimators:
            return []
        sums = [estimate_sum(one, evidence) for one in estimators]
        values, gains = self._intervals(sums)
        found = []
        for one, value, gain in zip(estimators, values, gains, strict=True):
            support = support_of(one, evidence)
            leverage = evidence.leverage if support is None else None
            verdict = leverage_verdict(leverage) if support is None else support.verdict
            found.append(Finding(name, one, value, gain, verdict, support, leverage))
        return found

    def _intervals(self, sums: Sequence[RatioSum]) -> tuple[list[Interval], list[Interval]]:
        """Of the estimates, and of what they are over the log's own, of the same sessions."""
        rewards, confidence = self.logged.session_rewards, self.config.confidence
        if self.config.interval == "t":
            own = RatioSum.mean(-rewards)
            both = [*sums, *(part.plus(own) for part in sums)]
            found = [t_interval(part, confidence=confidence) for part in both]
            return found[: len(sums)], found[len(sums) :]
        values = np.array([part.value for part in sums])
        drawn, own_drawn = self.resamples.draws(sums), self.resamples.means(rewards)
        return (
            percentile_intervals(values, drawn, confidence=confidence),
            percentile_intervals(
                values - rewards.mean(), drawn - own_drawn[:, None], confidence=confidence
            ),
        )

    def _network(
        self, name: str, estimator: str, policy: Policy, evidence: Evidence
    ) -> list[Finding]:
        """Fitted Q evaluation, plain or conservative; its own error is in no interval."""
        batch, config = self.logged.batch, self.config
        base = FQEConfig() if estimator == "fqe" else CONSERVATIVE_OPESTIMATOR
        settings = replace(base, gamma=config.model.gamma, seed=config.seed)
        fitted = fit_q(end_at_cut(Transitions.of(batch)), policy, settings)
        q = self.logged.padded(fitted.q(batch.observations, batch.actions), fill=0.0)
        v = self.logged.padded(fitted.state_values(batch.observations, policy), fill=0.0)
        bare = replace(evidence, q=q, v=v, model_visits=None)
        values, gains = self._intervals([estimate_sum("dm", bare)])
        ran_away = fitted.diagnostics.diverged
        verdict = (
            "not supported: Q grew beyond what rewards add up to"
            if ran_away
            else leverage_verdict(evidence.leverage)
        )
        return [Finding(name, estimator, values[0], gains[0], verdict, leverage=evidence.leverage)]

    def _played(
        self,
        name: str,
        estimators: Sequence[str],
        policy: FusionPolicy,
        evidence: Evidence,
        simulated: _Simulated,
    ) -> list[Finding]:
        """The simulator's own answer, and the one that the log corrects.

        The correction is dm on the log less dm on the log's actions replayed in the simulator: what
        the log says of the simulator's error, in which the model's own bias, the same on both
        sides, is gone.
        """
        config = self.config
        sessions = roll_out(
            simulated.dynamics,
            policy,
            seed=_SIMULATED_SEED + config.seed,
            episodes=np.arange(config.sessions),
        )
        played = mean_interval(sessions.reward, sessions.users, confidence=config.confidence)
        replayed = RatioSum.mean(simulated.replayed.session_rewards)
        found = []
        for estimator in estimators:
            if estimator == "simulator":
                own = t_interval(replayed, confidence=config.confidence)
                gain = _combined(played, minus=[own])
                verdict = "as far as the simulator can be trusted"
                found.append(Finding(name, estimator, played, gain, verdict))
                continue
            here = estimate_sum("dm", evidence)
            there = estimate_sum("dm", simulated.evidence(policy))
            paired = here.plus(RatioSum.mean(-self.logged.session_rewards))
            on_log, over_log, in_simulator = (
                t_interval(part, confidence=config.confidence) for part in (here, paired, there)
            )
            value = _combined(played, plus=[on_log], minus=[in_simulator])
            gain = _combined(played, plus=[over_log], minus=[in_simulator])
            verdict = leverage_verdict(evidence.leverage)
            found.append(Finding(name, estimator, value, gain, verdict, leverage=evidence.leverage))
        return found


def _combined(
    first: Interval, *, plus: Sequence[Interval] = (), minus: Sequence[Interval] = ()
) -> Interval:
    """Sum and differences of independent estimates with intervals of one confidence."""
    mean = first.mean + sum(one.mean for one in plus) - sum(one.mean for one in minus)
    halves = [(one.high - one.low) / 2.0 for one in (first, *plus, *minus)]
    half = float(np.sqrt(np.sum(np.square(halves))))
    return Interval(mean, mean - half, mean + half)
