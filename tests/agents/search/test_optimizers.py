"""The optimizers on functions with known optima, and against their libraries' own runs."""

from collections.abc import Callable

import cmaes
import numpy as np
import optuna
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import rankdata

from mtf_rl.agents.search.evolution import CmaEs, CrossEntropy, EvolutionStrategy, centred_ranks
from mtf_rl.agents.search.gaussian_process import GaussianProcess
from mtf_rl.agents.search.loop import front_by_value, pareto_front
from mtf_rl.agents.search.optimizer import Optimizer, Trial, best_of
from mtf_rl.agents.search.optuna_samplers import Nsga2, Tpe
from mtf_rl.agents.search.points import Grid, RandomPoints
from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.errors import ConfigError

pytestmark = pytest.mark.slow

WIDTH = 4
CENTRE = np.array([0.5, -0.3, 0.1, -0.6])
Maker = Callable[[int], Optimizer]
MAKERS: dict[str, Maker] = {
    "random": lambda seed: RandomPoints(WIDTH, seed=seed),
    "grid": lambda seed: Grid(WIDTH),
    "cma_es": lambda seed: CmaEs(WIDTH, seed=seed),
    "cem": lambda seed: CrossEntropy(WIDTH, seed=seed),
    "es": lambda seed: EvolutionStrategy(WIDTH, seed=seed),
    "tpe": lambda seed: Tpe(WIDTH, seed=seed),
    "gp_bo": lambda seed: GaussianProcess(WIDTH, seed=seed, initial=8),
    "gp_bo ucb": lambda seed: GaussianProcess(WIDTH, seed=seed, initial=8, acquisition="ucb"),
    "nsga2": lambda seed: Nsga2(WIDTH, seed=seed),
}
SEEDLESS = ("grid",)
Function = Callable[[FloatArray], float]


def sphere(point: FloatArray) -> float:
    return -float(((point - CENTRE) ** 2).sum())


def corner(point: FloatArray) -> float:
    return float(point.sum())


def bent(point: FloatArray) -> float:
    """An ellipsoid of condition number 25, rotated by 45 degrees in each pair of axes."""
    moved = point - CENTRE
    along = np.array([moved[0] + moved[1], moved[2] + moved[3]]) / np.sqrt(2.0)
    across = np.array([moved[0] - moved[1], moved[2] - moved[3]]) / np.sqrt(2.0)
    return -float((along**2).sum() + 25.0 * (across**2).sum())


def tried(point: FloatArray, value: float) -> Trial:
    centre = CENTRE[: len(point)]
    objectives = (-float(((point - centre) ** 2).sum()), -float(((point + centre) ** 2).sum()))
    return Trial(point, value, error=0.1, objectives=objectives, sessions=1, requests=1)


def run(optimizer: Optimizer, function: Function, trials: int) -> list[Trial]:
    torch.set_num_threads(1)
    history: list[Trial] = [tried(np.zeros(WIDTH), function(np.zeros(WIDTH)))]
    optimizer.start(history)
    while len(history) < trials and len(points := optimizer.ask()):
        answers = [tried(point, function(point)) for point in points]
        optimizer.tell(answers)
        history += answers
    return history


def points_of(trials: list[Trial]) -> bytes:
    return np.stack([trial.point for trial in trials]).tobytes()


@pytest.mark.parametrize("name", MAKERS)
def test_proposals_are_in_the_box_and_a_function_of_seed_and_values(name: str) -> None:
    trials = 14 if name.startswith("gp_bo") else 60  # It is slow, and fits from trial 10 on.
    first = run(MAKERS[name](3), sphere, trials)
    points = np.stack([trial.point for trial in first])
    assert points.dtype == np.float64
    assert points.shape == (len(first), WIDTH)
    assert np.abs(points).max() <= 1.0
    state = torch.get_rng_state()
    assert points_of(run(MAKERS[name](3), sphere, trials)) == points_of(first)
    assert torch.equal(torch.get_rng_state(), state)  # Learners use torch's global generator too.
    if name not in SEEDLESS:
        assert points_of(run(MAKERS[name](4), sphere, trials)) != points_of(first)


GAPS: dict[str, tuple[float, float, float]] = {
    # Maximum gap to the optimum after 200 trials: sphere, bent ellipsoid, corner (optimum 4).
    "random": (0.1, 1.5, 2.0),
    "cma_es": (2e-3, 0.05, 0.4),
    "cem": (3e-3, 0.05, 1.0),  # Its mean and std shrink before it reaches the corner.
    "es": (0.03, 0.2, 0.4),
    "tpe": (0.01, 0.03, 0.15),
}


@pytest.mark.parametrize("name", GAPS)
def test_known_optima_are_found(name: str) -> None:
    for function, best, gap in zip(
        (sphere, bent, corner), (0.0, 0.0, 4.0), GAPS[name], strict=True
    ):
        found = [best_of(run(MAKERS[name](seed), function, 200)).value for seed in range(3)]
        assert best - np.mean(found) < gap
        blind = [best_of(run(MAKERS["random"](seed), function, 200)).value for seed in range(3)]
        assert name == "random" or np.mean(found) > np.mean(blind)


@pytest.mark.parametrize("name", ["gp_bo", "gp_bo ucb"])
def test_a_gaussian_process_needs_few_trials(name: str) -> None:
    assert best_of(run(MAKERS[name](0), sphere, 40)).value > -1e-2
    blind = best_of(run(MAKERS["random"](0), sphere, 40)).value
    assert blind < -1e-2


def test_optimizers_find_the_optimum_under_noise() -> None:
    rng = np.random.default_rng(0)

    def noisy(point: FloatArray) -> float:
        return sphere(point) + 0.1 * float(rng.normal())

    for name in ("cma_es", "cem", "es", "tpe"):
        history = run(MAKERS[name](0), noisy, 300)
        assert np.mean([sphere(trial.point) for trial in history[-30:]]) > -0.35, name


def test_the_grid_scans_and_then_crosses_the_dimensions_with_the_largest_effect() -> None:
    def function(point: FloatArray) -> float:
        return 3.0 * float(point[1]) - float(point[3]) + 0.1 * float(point[0])

    grid = Grid(WIDTH, scanned=2)
    base = np.array([0.5, 0.0, 0.0, 0.0])
    grid.start([tried(np.zeros(WIDTH), 0.0), tried(base, function(base))])
    scan = grid.ask()
    # Three levels of four columns around the best initial point. Columns 1 to 3 at 0 give that
    # point itself, column 0 at 0 the other one: they are not proposed again.
    assert len(scan) == 3 * WIDTH - 4
    assert not (scan == base).all(axis=1).any()
    grid.tell([tried(point, function(point)) for point in scan])
    cross = grid.ask()
    assert (cross[:, [0, 2]] == base[[0, 2]]).all()  # Columns 1 and 3 have the largest effect.
    everything = np.concatenate([[base], scan, cross])
    assert len(np.unique(everything, axis=0)) == len(everything)
    assert {(a, b) for a, b in cross[:, [1, 3]]} == {(a, b) for a in (-1, 1) for b in (-1, 1)}
    grid.tell([tried(point, function(point)) for point in cross])
    assert len(grid.ask()) == 0
    assert len(scan) + len(cross) <= grid.planned == 3 * WIDTH + 9


def test_cma_es_equals_the_packages_own_run() -> None:
    history = run(CmaEs(WIDTH, seed=5, sigma=0.3), sphere, 60)[1:]
    own = cmaes.CMA(
        mean=np.zeros(WIDTH), sigma=0.3, seed=5, bounds=np.tile([-1.0, 1.0], (WIDTH, 1))
    )
    expected: list[FloatArray] = []
    while len(expected) < len(history):
        points = [own.ask() for _ in range(own.population_size)]
        own.tell([(point, -sphere(point)) for point in points])
        expected += points
    assert np.stack([trial.point for trial in history]).tobytes() == np.stack(expected).tobytes()


def test_tpe_equals_optunas_own_run() -> None:
    history = run(Tpe(WIDTH, seed=5, initial=10), sphere, 40)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=5, n_startup_trials=10, multivariate=True),
        direction="maximize",
    )
    names = [f"x{column}" for column in range(WIDTH)]
    box = optuna.distributions.FloatDistribution(-1.0, 1.0)
    study.add_trial(
        optuna.trial.create_trial(
            params=dict.fromkeys(names, 0.0),
            distributions=dict.fromkeys(names, box),
            value=sphere(np.zeros(WIDTH)),
        )
    )
    study.optimize(
        lambda trial: sphere(np.array([trial.suggest_float(name, -1.0, 1.0) for name in names])),
        n_trials=len(history) - 1,
    )
    expected = [[trial.params[name] for name in names] for trial in study.trials]
    np.testing.assert_array_equal(np.stack([trial.point for trial in history]), expected)


def test_nsga2_finds_the_front_between_two_spheres() -> None:
    history = run(Nsga2(WIDTH, seed=0, population=20), sphere, 600)
    front = front_by_value(history)
    # The front is the segment from CENTRE to -CENTRE. Distance of points from it:
    axis = CENTRE / np.linalg.norm(CENTRE)
    beside = [
        float(np.linalg.norm(trial.point - (trial.point @ axis) * axis)) for trial in front[:20]
    ]
    blind = front_by_value(run(RandomPoints(WIDTH, seed=0), sphere, 600))
    wide = [float(np.linalg.norm(t.point - (t.point @ axis) * axis)) for t in blind[:20]]
    assert np.mean(beside) < 0.25 < np.mean(wide)
    values = [trial.value for trial in front]
    assert values == sorted(values, reverse=True)


def test_the_posterior_equals_the_formula_of_gaussian_processes() -> None:
    torch.set_num_threads(1)
    process = GaussianProcess(2, seed=0, initial=6)
    rng = np.random.default_rng(1)
    points = rng.uniform(-1.0, 1.0, (12, 2))
    values = np.sin(3.0 * points[:, 0]) + points[:, 1]
    process.start([tried(point, float(value)) for point, value in zip(points, values, strict=True)])
    process.ask()
    process.ask()  # Fits.
    asked = rng.uniform(-1.0, 1.0, (5, 2))
    mean, std = process.posterior(asked)
    model = process._model(refit=False)
    kernel = model.covar_module
    scale = kernel.lengthscale.detach().numpy().ravel()
    noise = float(model.likelihood.noise.detach())
    constant = float(model.mean_module.constant.detach())

    def covariance(first: FloatArray, second: FloatArray) -> FloatArray:
        gaps = (0.5 * (first[:, None] - second[None])) / scale  # in [0, 1]^2
        found: FloatArray = np.exp(-0.5 * (gaps**2).sum(axis=2))
        return found

    centre, spread = values.mean(), values.std(ddof=1)
    inner = covariance(points, points) + noise * np.eye(len(points))
    across = covariance(asked, points)
    weights = np.linalg.solve(inner, (values - centre) / spread - constant)
    expected = centre + spread * (constant + across @ weights)
    left = 1.0 - np.einsum("ij,ji->i", across, np.linalg.solve(inner, across.T))
    np.testing.assert_allclose(mean, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(std, spread * np.sqrt(left), rtol=1e-2, atol=1e-4)


def test_one_generation_of_the_cross_entropy_method_by_hand() -> None:
    search = CrossEntropy(1, seed=0, population=4, elite_fraction=0.5, smoothing=0.5, std=0.4)
    points = [np.array([value]) for value in (0.2, 0.6, -0.5, 0.0)]
    search.tell([tried(point, float(point[0])) for point in points])
    # The elite is 0.6 and 0.2: mean 0.4, std 0.2.
    assert search.mean == pytest.approx(0.5 * 0.0 + 0.5 * 0.4)
    assert search.std == pytest.approx(0.5 * 0.4 + 0.5 * 0.2)


def test_one_generation_of_the_evolution_strategy_by_hand() -> None:
    search = EvolutionStrategy(2, seed=0, pairs=1, sigma=0.1, learning_rate=0.05)
    asked = search.ask()
    noise = (asked[1] - asked[0]) / 0.1
    np.testing.assert_allclose(asked[2], asked[0] - 0.1 * noise)
    search.tell([tried(point, value) for point, value in zip(asked, (0.0, 5.0, 1.0), strict=True)])
    # One pair, of which the first point is better: ranks 1/2 and -1/2. Adam's first step is the
    # learning rate times the sign of the gradient, which is here the sign of the noise.
    np.testing.assert_allclose(search.mean, 0.05 * np.sign(noise), atol=1e-6)


@given(hnp.arrays(np.float64, st.integers(2, 9), elements=st.integers(-3, 3).map(float)))
def test_centred_ranks_equal_scipys(values: FloatArray) -> None:
    expected = (rankdata(values) - 1.0) / (len(values) - 1) - 0.5
    np.testing.assert_allclose(centred_ranks(values), expected)


@given(
    hnp.arrays(
        np.float64, st.tuples(st.integers(1, 8), st.just(2)), elements=st.integers(0, 4).map(float)
    )
)
def test_the_front_holds_the_points_that_no_other_dominates(values: FloatArray) -> None:
    expected = [
        not any(
            all(other[k] >= one[k] for k in range(2)) and any(other[k] > one[k] for k in range(2))
            for other in values
        )
        for one in values
    ]
    assert pareto_front(values).tolist() == expected


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CmaEs(4, seed=0, population=2), "population must be 0 or at least 3, got 2"),
        (lambda: Grid(4, scanned=0), "scanned must be at least 1, got 0"),
        (lambda: GaussianProcess(4, seed=0, acquisition="pi"), "must be one of ei, ucb, got 'pi'"),
        (lambda: Nsga2(4, seed=0, population=3), "population must be at least 4, got 3"),
    ],
)
def test_settings_out_of_range_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def test_reading_the_posterior_does_not_change_the_proposals() -> None:
    torch.set_num_threads(1)
    asked = []
    for looks in (False, True):
        process = GaussianProcess(WIDTH, seed=0, initial=4, refit_every=2)
        for _ in range(4):
            points = process.ask()
            process.tell([tried(point, sphere(point)) for point in points])
            if looks:
                process.posterior(np.zeros((1, WIDTH)))
        asked.append(points.tobytes())
    assert asked[0] == asked[1]
