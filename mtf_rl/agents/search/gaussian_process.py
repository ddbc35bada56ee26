"""Bayesian optimization with a Gaussian process, using BoTorch."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.stats import qmc
from typing_extensions import override

from mtf_rl.agents.search.config import ACQUISITIONS
from mtf_rl.agents.search.optimizer import Optimizer, Trial
from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.ranges import check_above, check_at_least

__all__ = ["GaussianProcess"]

_RESTARTS, _RAW_SAMPLES = 2, 64


class GaussianProcess(Optimizer):
    """Models the value with a Gaussian process and proposes the maximum of an acquisition function.

    The model is BoTorch's `SingleTaskGP` with its default prior: a squared-exponential kernel with
    one length scale per dimension, whose prior grows with the number of dimensions, and inferred
    noise. The first points come from a scrambled Sobol sequence. Acquisition functions:

    - `ei`: log expected improvement (Ament et al., NeurIPS 2023) over the best posterior mean among
      the points tried, since values are noisy.
    - `ucb`: posterior mean plus sqrt(beta) standard deviations, as in BatchRL-MTF's baseline (Zhang
      et al., KDD 2022), whose beta is not published.

    Args:
        dimensions: dimensions of the box.
        seed: seed of the Sobol sequence and of the acquisition's starting points.
        initial: number of Sobol points, at least 2.
        acquisition: `ei` or `ucb`.
        beta: beta of `ucb`, above 0.
        refit_every: points between fits of the kernel's parameters, at least 1.

    Raises:
        ConfigError: if a setting is out of range.
    """

    def __init__(
        self,
        dimensions: int,
        *,
        seed: int,
        initial: int = 16,
        acquisition: str = "ei",
        beta: float = 4.0,
        refit_every: int = 4,
    ) -> None:
        check_at_least("initial", initial, 2)
        check_above("beta", beta, 0.0)
        check_at_least("refit_every", refit_every, 1)
        if acquisition not in ACQUISITIONS:
            raise ConfigError(
                f"acquisition must be one of {', '.join(ACQUISITIONS)}, got {acquisition!r}"
            )
        sobol = qmc.Sobol(dimensions, rng=np.random.default_rng(seed))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The balance properties of Sobol")
            self._initial = 2.0 * sobol.random(initial) - 1.0  # (initial, dimensions)
        self._seed, self._acquisition, self._beta = seed, acquisition, beta
        self._refit_every = refit_every
        self._trials: list[Trial] = []
        self._asked = 0
        self._fitted: dict[str, Any] | None = None

    @override
    def start(self, trials: Sequence[Trial]) -> None:
        self._trials += trials

    @override
    def ask(self) -> FloatArray:
        self._asked += 1
        if self._asked == 1:
            return self._initial
        # BoTorch draws its starting points from torch's global generator, which learners also use.
        with torch.random.fork_rng(), warnings.catch_warnings():
            torch.manual_seed((self._seed + self._asked * 1_000_003) % 2**63)
            # BoTorch warns of numerical problems that it repairs itself: jitter, line search.
            warnings.simplefilter("ignore")
            return self._next_point()

    @override
    def tell(self, trials: Sequence[Trial]) -> None:
        self._trials += trials

    def posterior(self, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Posterior mean and std, without noise, at points (points, dimensions): each (points,)."""
        model = self._model(refit=False)
        with torch.no_grad():
            posterior = model.posterior(_unit(points))
        return posterior.mean[:, 0].numpy(), posterior.variance.sqrt()[:, 0].numpy()

    def _next_point(self) -> FloatArray:
        from botorch.acquisition.analytic import LogExpectedImprovement, UpperConfidenceBound
        from botorch.optim.optimize import optimize_acqf

        model = self._model(refit=self._fitted is None or self._asked % self._refit_every == 0)
        if self._acquisition == "ucb":
            acquisition: Any = UpperConfidenceBound(model, beta=self._beta)
        else:
            tried = _unit(np.stack([trial.point for trial in self._trials]))
            with torch.no_grad():
                best = model.posterior(tried).mean.max()
            acquisition = LogExpectedImprovement(model, best_f=best)
        dimensions = self._initial.shape[1]
        box = torch.tensor([[0.0], [1.0]], dtype=torch.float64).expand(2, dimensions)
        point, _ = optimize_acqf(
            acquisition, box, q=1, num_restarts=_RESTARTS, raw_samples=_RAW_SAMPLES
        )
        return np.clip(2.0 * point.detach().numpy() - 1.0, -1.0, 1.0)  # (1, dimensions)

    def _model(self, *, refit: bool) -> Any:
        """The process conditioned on all trials, with the last kernel or, if `refit`, a new one."""
        from botorch.fit import fit_gpytorch_mll
        from botorch.models import SingleTaskGP
        from gpytorch.mlls import ExactMarginalLogLikelihood

        points = _unit(np.stack([trial.point for trial in self._trials]))
        values = torch.tensor([[trial.value] for trial in self._trials], dtype=torch.float64)
        model = SingleTaskGP(points, values)
        if self._fitted is None or refit:
            fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
            if refit:  # `posterior` must not change the next proposal.
                self._fitted = _kernel_of(model)
        else:
            model.load_state_dict(self._fitted, strict=False)
            model.eval()
        return model


def _kernel_of(model: Any) -> dict[str, Any]:
    """The fitted parameters, without the standardisation of values, which changes with trials."""
    return {
        name: value
        for name, value in model.state_dict().items()
        if not name.startswith("outcome_transform")
    }


def _unit(points: FloatArray) -> torch.Tensor:
    """Map points from [-1, 1]^d to [0, 1]^d, the range that the kernel's prior assumes."""
    return torch.tensor(0.5 * (points + 1.0), dtype=torch.float64)
