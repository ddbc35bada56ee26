"""Estimates policies' values from logged sessions and, if given, a simulator."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mtf_rl.agents import FusionPolicy
from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.protocols import Policy
from mtf_rl.data import BatchDataset, Transitions
from mtf_rl.evaluation import end_at_cut
from mtf_rl.evaluation.fitted_q import fit_q
from mtf_rl.evaluation.off_policy import (
    Estimate,
    Estimator,
    LoggedSessions,
    OPEInputs,
    PolicyReplay,
    ProductKernel,
    RatioSum,
    Resamples,
    RewardDistribution,
    SessionModel,
    SimulatorComparison,
    Support,
    SupportCheck,
    WeightSupport,
    bootstrapped,
    effective_size,
    estimate_sum,
    leverage_check,
    log_ratios_of,
    mean_estimate,
    reward_distribution,
    slope_bandwidth_around,
    view_of,
    weight_support,
)
from mtf_rl.evaluation.off_policy.support import MIN_SIZE
from mtf_rl.evaluation.policy_actions import policy_actions
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.offline_evaluation.candidates import load_candidates, refuse_another_log
from mtf_rl.experiments.offline_evaluation.config import OfflineConfig
from mtf_rl.experiments.offline_evaluation.estimators import (
    NetworkEstimator,
    OfflineEstimator,
    SimulatorEstimator,
)
from mtf_rl.experiments.offline_evaluation.findings import Finding, OfflineEvaluation
from mtf_rl.experiments.offline_evaluation.reference import with_reference
from mtf_rl.experiments.offline_evaluation.simulated import Simulated, play

__all__ = ["evaluate"]


def evaluate(
    config: OfflineConfig, terminal: Terminal, *, played: Mapping[str, FloatArray] | None = None
) -> OfflineEvaluation:
    """Estimate every policy, and the reference policy, by every estimator.

    Args:
        config: log, policies and estimators.
        terminal: prints progress.
        played: known session rewards in the simulator, (sessions,), by policy name. These policies
            are not rolled out again.

    Raises:
        ArtifactError: if a file is missing or torn.
        ConfigError: if a policy or the simulator does not fit the log, `played` names another
            policy, or the user's own estimator cannot be imported.
        DataError: if the log has no densities, or a fit has no unique solution.
    """
    estimators = config.entries()
    batch = BatchDataset.load(config.data)
    candidates = load_candidates(config.policies)
    for name, policy in candidates.items():
        refuse_another_log(name, policy, batch)
    policies, reference = with_reference(candidates, config.production)
    unknown = sorted(set(played or {}) - set(policies))
    if unknown:
        raise ConfigError(
            f"played must name evaluated policies, got {', '.join(unknown)}; evaluated policies"
            f" are {', '.join(policies)}"
        )
    logged = LoggedSessions(batch)
    run = config.simulator
    simulated = None if run is None else Simulated.of(run, config, logged, terminal)
    work = _Work(config, estimators, logged, simulated, played or {})
    # The reference is evaluated first, because the gains of all other policies need it.
    order = sorted(policies, key=lambda name: name != reference)
    rows: list[_PolicyRows] = []
    base: _Measured | None = None
    with terminal.progress("policies", len(policies)) as bar:
        for name in order:
            row, measured = work.rows(name, policies[name], base)
            rows.append(row)
            base = base or measured
            bar(1)
    rows.sort(key=lambda row: list(policies).index(row.policy))
    findings = {(f.policy, f.estimator): f for row in rows for f in row.findings}
    for finding in work.simulator_findings(rows, reference, candidates=len(candidates)):
        findings[finding.policy, finding.estimator] = finding
    return OfflineEvaluation(
        config=config,
        logged=mean_estimate(logged.session_rewards),
        sessions=logged.count,
        requests=len(logged),
        evaluator=batch.evaluator,
        candidates=tuple(candidates),
        reference=reference,
        findings=tuple(findings[name, estimator] for name in policies for estimator in estimators),
        bandwidths={row.policy: row.bandwidths for row in rows if row.bandwidths is not None},
        distributions={
            row.policy: row.distribution for row in rows if row.distribution is not None
        },
    )


@dataclass(frozen=True)
class _SessionErrors:
    """Standard errors over the log's sessions, by linearisation or by resampling."""

    rewards: FloatArray  # (sessions,), of the log's own policies
    resamples: Resamples | None  # None for linearised ratios

    def measure(self, sums: Sequence[RatioSum]) -> "_Measured":
        """Attach standard errors to the sums of one policy."""
        drawn = None if self.resamples is None else self.resamples.draws(sums)
        return _Measured(self, list(sums), drawn)

    @cached_property
    def own_drawn(self) -> FloatArray:
        """Mean reward of the log's own policies in each resample, (resamples,)."""
        assert self.resamples is not None
        return self.resamples.means(self.rewards)


@dataclass(frozen=True)
class _Measured:
    """Estimates of one policy with their errors, by several estimators on the same sessions."""

    errors: _SessionErrors
    sums: list[RatioSum]
    drawn: FloatArray | None  # (resamples, estimators)

    @property
    def values(self) -> list[Estimate]:
        """The estimates."""
        if self.drawn is None:
            return [part.estimate() for part in self.sums]
        return bootstrapped(self._points, self.drawn)

    @property
    def gains(self) -> list[Estimate]:
        """Gains over the log's own policies, paired by session."""
        rewards = self.errors.rewards
        if self.drawn is None:
            return [part.estimate(less=rewards) for part in self.sums]
        drawn = self.drawn - self.errors.own_drawn[:, None]
        return bootstrapped(self._points - rewards.mean(), drawn)

    def over(self, other: "_Measured") -> list[Estimate]:
        """Gains over the same estimates of another policy, paired by session."""
        if self.drawn is None or other.drawn is None:
            return [
                replace(own.estimate(less=base.influence), value=own.value - base.value)
                for own, base in zip(self.sums, other.sums, strict=True)
            ]
        return bootstrapped(self._points - other._points, self.drawn - other.drawn)

    @property
    def _points(self) -> FloatArray:
        return np.array([part.value for part in self.sums])


@dataclass(frozen=True)
class _PolicyInputs:
    """Inputs of the estimators for one policy; its actions are computed once."""

    policy: Policy
    actions: FloatArray  # (rows, action_dim)
    inputs: OPEInputs


@dataclass(frozen=True)
class _PolicyRows:
    """The results of one policy that depend on no other policy except the reference."""

    policy: str
    findings: list[Finding]
    replay: PolicyReplay | None
    leverage: float | None
    bandwidths: FloatArray | None
    distribution: RewardDistribution | None


@dataclass(frozen=True)
class _Work:
    """The log, the estimators and the simulator with which policies are evaluated."""

    config: OfflineConfig
    estimators: Mapping[str, OfflineEstimator]
    logged: LoggedSessions
    simulated: Simulated | None
    played: Mapping[str, FloatArray]

    @cached_property
    def model(self) -> SessionModel:
        """The linear model of the log."""
        return SessionModel(self.logged, self.config.model, view_of(self.logged.batch))

    @cached_property
    def errors(self) -> _SessionErrors:
        """Standard errors with the same resamples for every policy, so that gains are paired."""
        resamples = None
        if self.config.interval == "bootstrap":
            rng = np.random.default_rng(self.config.seed)
            resamples = Resamples.draw(self.logged.count, rng, resamples=self.config.resamples)
        return _SessionErrors(self.logged.session_rewards, resamples)

    @cached_property
    def transitions(self) -> Transitions:
        """The log's rows for Q networks; every session ends at its last logged request."""
        return end_at_cut(Transitions.of(self.logged.batch))

    @property
    def _needs_densities(self) -> bool:
        return any(
            isinstance(estimator, Estimator) and estimator.needs_densities
            for estimator in self.estimators.values()
        )

    def rows(
        self, name: str, policy: FusionPolicy, reference: _Measured | None
    ) -> tuple[_PolicyRows, _Measured]:
        """Evaluate one policy; `reference` is None for the reference itself."""
        batch = self.logged.batch
        actions = policy_actions(policy, batch.observations, action_dim=batch.actions.shape[1])
        inputs = self.model.direct([actions])
        bandwidths = distribution = None
        if self._needs_densities:
            kernel = self._kernel(actions)
            bandwidths = kernel.bandwidths
            densities = kernel.log_density(batch.actions, actions)
            inputs = replace(inputs, log_ratios=log_ratios_of(self.logged, densities))
            weights = inputs.weights[:, -1]
            if effective_size(weights) >= MIN_SIZE:
                distribution = reward_distribution(self.logged.session_rewards, weights)
        estimates = list(self._session_estimates(_PolicyInputs(policy, actions, inputs)))
        measured = self.errors.measure([estimate.total for estimate in estimates])
        values, gains = measured.values, measured.gains
        over = measured.over(reference or measured)
        rows = _PolicyRows(
            policy=name,
            findings=[
                Finding(
                    policy=name,
                    estimator=estimate.estimator,
                    value=values[position],
                    gain=gains[position],
                    over_reference=over[position],
                    check=estimate.check,
                    weights=estimate.weights,
                    leverage=estimate.leverage,
                )
                for position, estimate in enumerate(estimates)
            ],
            replay=self._replay(name, policy, inputs),
            leverage=inputs.leverage,
            bandwidths=bandwidths,
            distribution=distribution,
        )
        return rows, measured

    def _kernel(self, actions: FloatArray) -> ProductKernel:
        """The kernel with the given bandwidth, or with one selected by SLOPE."""
        config = self.config
        if config.bandwidth is not None:
            return ProductKernel(np.full(actions.shape[1], config.bandwidth), config.kernel)
        return slope_bandwidth_around(self.logged, actions, kernel=config.kernel)

    def _session_estimates(self, inputs: _PolicyInputs) -> Iterator["_SessionEstimate"]:
        """The estimates of all estimators that need no simulator."""
        for name, estimator in self.estimators.items():
            if isinstance(estimator, Estimator):
                yield _closed_form(name, estimator, inputs.inputs)
            elif isinstance(estimator, NetworkEstimator):
                yield self._network(name, estimator, inputs)

    def _network(
        self, name: str, estimator: NetworkEstimator, inputs: _PolicyInputs
    ) -> "_SessionEstimate":
        """The direct method with a fitted network; intervals exclude the error of the fit."""
        batch = self.logged.batch
        settings = replace(estimator.settings, gamma=self.config.model.gamma, seed=self.config.seed)
        fitted = fit_q(self.transitions, inputs.policy, settings)
        q = self.logged.padded(fitted.q(batch.observations, batch.actions), fill=0.0)
        v = self.logged.padded(fitted.q(batch.observations, inputs.actions), fill=0.0)
        own = replace(inputs.inputs, q=q, v=v, model_state_action_ratios=None)
        total = estimate_sum("dm", own)
        rewards, leverage = self.logged.session_rewards, inputs.inputs.leverage
        check = leverage_check(leverage)
        if fitted.diagnostics.diverged:
            check = SupportCheck(Support.NOT_SUPPORTED, "Q exceeds the largest possible return")
        elif not rewards.min() <= total.value <= rewards.max():
            check = SupportCheck(
                Support.NOT_SUPPORTED, "the value is outside the range of logged session rewards"
            )
        return _SessionEstimate(name, total, check, leverage=leverage)

    def _replay(self, name: str, policy: FusionPolicy, inputs: OPEInputs) -> PolicyReplay | None:
        """Roll out the policy in the simulator, if an estimator needs it."""
        needed = any(isinstance(e, SimulatorEstimator) for e in self.estimators.values())
        if self.simulated is None or not needed:
            return None
        played = self.played.get(name)
        if played is None:
            config = self.config
            played = play(
                self.simulated.dynamics, policy, sessions=config.sessions, seed=config.seed
            )
        return PolicyReplay(
            played=played,
            logged=estimate_sum("dm", inputs).influence,
            replayed=self.simulated.direct(policy),
        )

    def simulator_findings(
        self, rows: Sequence[_PolicyRows], reference: str, *, candidates: int
    ) -> Iterator[Finding]:
        """The findings of all estimators that need a simulator; `rows` starts with candidates."""
        replays = [row.replay for row in rows if row.replay is not None]
        if self.simulated is None or not replays:
            return
        comparison = SimulatorComparison(
            replays,
            own=self.logged.session_rewards,
            own_replayed=self.simulated.replayed.session_rewards,
            pooled=candidates,
        )
        base = [row.policy for row in rows].index(reference)
        for name, estimator in self.estimators.items():
            if not isinstance(estimator, SimulatorEstimator):
                continue
            estimates = estimator.combine(comparison)
            for row, estimate in zip(rows, estimates, strict=True):
                difference = estimate.value.minus(estimates[base].value)
                yield Finding(
                    policy=row.policy,
                    estimator=name,
                    value=estimate.value.estimate,
                    gain=estimate.gain.estimate,
                    over_reference=difference.estimate,
                    check=_simulator_check(estimator, row.leverage),
                    leverage=row.leverage if estimator.assumption is None else None,
                    log_fraction=estimate.log_fraction,
                )


@dataclass(frozen=True)
class _SessionEstimate:
    """An estimate over the log's sessions, with its support."""

    estimator: str
    total: RatioSum
    check: SupportCheck
    weights: WeightSupport | None = None
    leverage: float | None = None


def _simulator_check(estimator: SimulatorEstimator, leverage: float | None) -> SupportCheck:
    if estimator.assumption is None:
        return leverage_check(leverage)
    return SupportCheck(Support.NOT_CHECKED, estimator.assumption)


def _closed_form(name: str, estimator: Estimator, inputs: OPEInputs) -> _SessionEstimate:
    weights = weight_support(estimator, inputs)
    if weights is not None:
        return _SessionEstimate(name, estimator.make(inputs), weights.check, weights=weights)
    check = leverage_check(inputs.leverage)
    return _SessionEstimate(name, estimator.make(inputs), check, leverage=inputs.leverage)
