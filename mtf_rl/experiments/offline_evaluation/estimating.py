"""Estimates of what policies are worth, from logged sessions and, if there is one, a simulator."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np

from mtf_rl.agents import FusionPolicy
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.protocols import Policy
from mtf_rl.data import BatchDataset, Transitions
from mtf_rl.evaluation import Interval, end_at_cut
from mtf_rl.evaluation.fitted_q import CONSERVATIVE_OPESTIMATOR, FQEConfig, fit_q
from mtf_rl.evaluation.off_policy import (
    LoggedSessions,
    OPEInputs,
    ProductKernel,
    RatioSum,
    Resamples,
    SessionModel,
    SmoothedTarget,
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
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.offline_evaluation.candidates import load_candidates, refuse_another_log
from mtf_rl.experiments.offline_evaluation.config import (
    CLOSED_FORM,
    NETWORK,
    SIMULATED,
    OfflineConfig,
)
from mtf_rl.experiments.offline_evaluation.correcting import PolicyReplay, simulated_findings
from mtf_rl.experiments.offline_evaluation.findings import Finding, OfflineEvaluation
from mtf_rl.experiments.offline_evaluation.simulated import Simulated, play

__all__ = ["evaluate"]


def evaluate(
    config: OfflineConfig, terminal: Terminal, *, played: Mapping[str, Interval] | None = None
) -> OfflineEvaluation:
    """Estimate every policy by every estimator.

    Args:
        config: which log, policies and estimators.
        terminal: told what happens.
        played: session reward in the simulator by a policy's name, where it is known already, as
            of an earlier log: these policies are not played again. Intervals are of the config's
            confidence.

    Raises:
        ArtifactError: if a file is missing or torn.
        ConfigError: if a policy or the simulator does not fit the log, or `played` names another
            policy.
        DataError: if the log has no densities, or a fit is not determined.
    """
    batch = BatchDataset.load(config.data)
    policies = load_candidates(config.policies)
    for name, policy in policies.items():
        refuse_another_log(name, policy, batch)
    strangers = sorted(set(played or {}) - set(policies))
    if strangers:
        raise ConfigError(
            f"played must name policies that are evaluated, got {', '.join(strangers)}; evaluated"
            f" are {', '.join(policies)}"
        )
    logged = LoggedSessions(batch)
    terminal.stage(
        f"{len(policies)} policies, told from {logged.count:,} sessions"
        f" ({len(logged):,} requests) answered by {batch.evaluator}"
    )
    run = config.simulator
    simulated = None if run is None else Simulated.of(run, config, logged, terminal)
    work = _Work.of(config, logged, simulated, played or {})
    findings: list[Finding] = []
    replays: list[PolicyReplay] = []
    bandwidths, distributions = {}, {}
    with terminal.progress("policies", len(policies)) as bar:
        for name, policy in policies.items():
            kernel = work.kernel(policy)
            inputs = work.inputs(policy, kernel)
            findings += work.findings(name, policy, inputs)
            if config.asked_of(SIMULATED):
                replays.append(work.replay(name, policy, inputs))
            if config.weighs_densities:
                bandwidths[name] = kernel.bandwidths
                weights = inputs.weights[:, -1]
                if effective_size(weights) >= LEAST_SIZE:
                    distributions[name] = reward_distribution(logged.session_rewards, weights)
            bar(1)
    findings += work.simulated_findings(replays)
    position = {(name, one): n for n, (name, one) in enumerate(product(policies, config.asked))}
    findings.sort(key=lambda found: position[found.policy, found.estimator])
    return OfflineEvaluation(
        config=config,
        logged=work.own,
        sessions=logged.count,
        requests=len(logged),
        evaluator=batch.evaluator,
        findings=tuple(findings),
        bandwidths=bandwidths,
        distributions=distributions,
    )


@dataclass(frozen=True)
class _Work:
    """Everything that policies are evaluated with."""

    config: OfflineConfig
    logged: LoggedSessions
    model: SessionModel
    simulated: Simulated | None
    played: Mapping[str, Interval]

    @classmethod
    def of(
        cls,
        config: OfflineConfig,
        logged: LoggedSessions,
        simulated: Simulated | None,
        played: Mapping[str, Interval],
    ) -> "_Work":
        model = SessionModel(logged, config.model, view_of(logged.batch))
        return cls(config, logged, model, simulated, played)

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
        """The given bandwidth, or SLOPE's; of no meaning where no estimator weighs densities."""
        config, width = self.config, self.logged.batch.actions.shape[1]
        if config.bandwidth is not None or not config.weighs_densities:
            return ProductKernel(np.full(width, config.bandwidth or 1.0), config.kernel)
        return slope_bandwidth(self.logged, policy, kernel=config.kernel)

    def inputs(self, policy: FusionPolicy, kernel: ProductKernel) -> OPEInputs:
        """Ratios of the smoothed policy; Q, V and visits of the policy itself."""
        target, rng = SmoothedTarget(policy, kernel), np.random.default_rng(self.config.seed)
        if self.config.weighs_densities:
            return self.model.inputs(target, rng)
        return self.model.direct(target, rng)

    def findings(self, name: str, policy: FusionPolicy, inputs: OPEInputs) -> list[Finding]:
        """One for each estimator that was asked for and needs no simulator."""
        found = self._closed_form(name, self.config.asked_of(CLOSED_FORM), inputs)
        for estimator in self.config.asked_of(NETWORK):
            found += self._network(name, estimator, policy, inputs)
        return found

    def _closed_form(
        self, name: str, estimators: Sequence[str], inputs: OPEInputs
    ) -> list[Finding]:
        if not estimators:
            return []
        sums = [estimate_sum(one, inputs) for one in estimators]
        values, gains = self._intervals(sums)
        found = []
        for one, value, gain in zip(estimators, values, gains, strict=True):
            support = support_of(one, inputs)
            leverage = inputs.leverage if support is None else None
            verdict = leverage_verdict(leverage) if support is None else support.verdict
            found.append(Finding(name, one, value, gain, verdict, support, leverage))
        return found

    def _intervals(self, sums: Sequence[RatioSum]) -> tuple[list[Interval], list[Interval]]:
        """Of the estimates, and of what they are over the log's own, of the same sessions."""
        rewards, confidence = self.logged.session_rewards, self.config.confidence
        if self.config.interval == "t":
            return (
                [t_interval(part, confidence=confidence) for part in sums],
                [t_interval(part, less=rewards, confidence=confidence) for part in sums],
            )
        values = np.array([part.value for part in sums])
        drawn, own_drawn = self.resamples.draws(sums), self.resamples.means(rewards)
        return (
            percentile_intervals(values, drawn, confidence=confidence),
            percentile_intervals(
                values - rewards.mean(), drawn - own_drawn[:, None], confidence=confidence
            ),
        )

    def _network(
        self, name: str, estimator: str, policy: Policy, inputs: OPEInputs
    ) -> list[Finding]:
        """Fitted Q evaluation, plain or conservative; its own error is in no interval."""
        batch, config = self.logged.batch, self.config
        base = FQEConfig() if estimator == "fqe" else CONSERVATIVE_OPESTIMATOR
        settings = replace(base, gamma=config.model.gamma, seed=config.seed)
        fitted = fit_q(end_at_cut(Transitions.of(batch)), policy, settings)
        q = self.logged.padded(fitted.q(batch.observations, batch.actions), fill=0.0)
        v = self.logged.padded(fitted.state_values(batch.observations, policy), fill=0.0)
        bare = replace(inputs, q=q, v=v, model_visits=None)
        values, gains = self._intervals([estimate_sum("dm", bare)])
        rewards = self.logged.session_rewards
        if fitted.diagnostics.diverged:
            verdict = "not supported: Q grew beyond what rewards add up to"
        elif not rewards.min() <= values[0].mean <= rewards.max():
            verdict = "not supported: the value lies outside what any logged session earned"
        else:
            verdict = leverage_verdict(inputs.leverage)
        return [Finding(name, estimator, values[0], gains[0], verdict, leverage=inputs.leverage)]

    def replay(self, name: str, policy: FusionPolicy, inputs: OPEInputs) -> PolicyReplay:
        """What the simulator says of a policy, and what the log says of the simulator."""
        config, simulated = self.config, self.simulated
        assert simulated is not None
        played = self.played.get(name) or play(
            simulated.dynamics,
            policy,
            sessions=config.sessions,
            seed=config.seed,
            confidence=config.confidence,
        )
        (told, told_gain), (replayed, replayed_gain) = (
            _with_gain(found, logged, config.confidence)
            for found, logged in (
                (estimate_sum("dm", inputs), self.logged),
                (simulated.direct(policy), simulated.replayed),
            )
        )
        return PolicyReplay(
            name, played, told, told_gain, replayed, replayed_gain, leverage=inputs.leverage
        )

    def simulated_findings(self, replays: Sequence[PolicyReplay]) -> list[Finding]:
        """One for each policy and estimator that needs a simulator."""
        if self.simulated is None or not replays:
            return []
        confidence = self.config.confidence
        return simulated_findings(
            replays,
            self.config.asked_of(SIMULATED),
            own=self.own,
            own_replayed=t_interval(self.simulated.own, confidence=confidence),
            confidence=confidence,
        )


def _with_gain(
    estimate: RatioSum, logged: LoggedSessions, confidence: float
) -> tuple[Interval, Interval]:
    """t-intervals of an estimate, and of it over what its sessions earned."""
    gain = t_interval(estimate, less=logged.session_rewards, confidence=confidence)
    return t_interval(estimate, confidence=confidence), gain
