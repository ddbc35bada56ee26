"""Formulas against hand arithmetic, naive loops and properties."""

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from typing_extensions import override

from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.errors import ConfigError, UnknownNameError
from mtf_rl.core.tasks import KUAIRAND_TASKS, TaskSet
from mtf_rl.fusion import (
    FORMULAS,
    FusionConfig,
    FusionFormula,
    LogSum,
    WeightFormula,
    best_candidates,
    formula_named,
    make_formula,
    maps_that_fit,
)
from mtf_rl.fusion.arithmetic import _ranks_into, _weighted_sum_into, ranks_among, weighted_sum

Floats: TypeAlias = NDArray[np.float32]

BETAS = np.array([0.4, 0.3, 0.02, 0.001, 0.003, 0.001, 0.0005, 0.2])
unit = st.floats(0.0, 1.0, width=32)
scores_strategy = arrays(np.float32, (2, 5, len(KUAIRAND_TASKS)), elements=unit)
weights_strategy = arrays(np.float32, (2, len(KUAIRAND_TASKS)), elements=unit)
# Predictions in whole percents are either equal or clearly different.
percents_strategy = arrays(
    np.float32, (2, 5, len(KUAIRAND_TASKS)), elements=st.integers(0, 100).map(lambda n: n / 100)
)
LINEAR = tuple(name for name in FORMULAS if name != "click_gated")


def fused(formula: FusionFormula, scores: Floats, weights: Floats) -> Floats:
    """Ranking scores of candidates that form the whole pool."""
    values = formula.fuse(formula.prepare(scores), formula.parameters_of(weights))
    return np.asarray(values, dtype=np.float32)


def one_candidate(**predictions: float) -> Floats:
    scores = np.zeros((1, 1, len(KUAIRAND_TASKS)), dtype=np.float32)
    for name, value in predictions.items():
        scores[0, 0, KUAIRAND_TASKS.names.index(name)] = value
    return scores


def weights_of(**weights: float) -> Floats:
    return one_candidate(**weights)[:, 0]


def test_log_sum_by_hand() -> None:
    formula = make_formula("log_sum", np.full(len(KUAIRAND_TASKS), 0.5))
    scores = np.full((1, 1, len(KUAIRAND_TASKS)), 0.5, dtype=np.float32)
    scores[0, 0, 2] = 0.0
    # The first task adds log(0.5 + 0.5) = 0, the third 0.25 log(0.5).
    value = fused(formula, scores, weights_of(click=1.0, like=0.25))[0, 0]
    assert value == pytest.approx(0.25 * math.log(0.5))


def test_weighted_sum_by_hand() -> None:
    scores = one_candidate(click=0.5, long_view=0.25, like=0.1)
    weights = weights_of(click=1.0, long_view=2.0, like=-3.0)
    value = fused(make_formula("weighted_sum", BETAS), scores, weights)[0, 0]
    assert value == pytest.approx(0.5 * 1 + 0.25 * 2 - 0.1 * 3)


def test_power_product_by_hand() -> None:
    formula = make_formula("power_product", BETAS)
    scores = one_candidate(click=0.5, like=0.1)
    parameters = np.concatenate([weights_of(click=1.0, like=2.0), np.full((1, 8), 0.1)], axis=1)
    value = formula.fuse(formula.prepare(scores), parameters.astype(np.float32))[0, 0]
    assert value == pytest.approx((0.5 + 0.1) ** 1 * (0.1 + 0.1) ** 2)
    assert formula.parameter_names[0] == "click_power"
    assert formula.parameter_names[8] == "click_bias"


def test_rank_by_hand() -> None:
    formula = make_formula("rank", BETAS)
    scores = np.zeros((1, 3, len(KUAIRAND_TASKS)), dtype=np.float32)
    scores[0, :, 0] = [0.2, 0.9, 0.2]  # ranks 2, 1, 2
    scores[0, :, 2] = [0.3, 0.1, 0.2]  # ranks 1, 3, 2
    values = fused(formula, scores, weights_of(click=1.0, like=0.5))[0]
    expected = [1 / 62 + 0.5 / 61, 1 / 61 + 0.5 / 63, 1 / 62 + 0.5 / 62]
    np.testing.assert_allclose(values, expected, rtol=1e-6)


def test_ranks_are_among_the_candidates_and_not_the_pool() -> None:
    formula = make_formula("rank", BETAS)
    pool = np.random.default_rng(0).uniform(size=(1, 30, len(KUAIRAND_TASKS))).astype(np.float32)
    chosen = np.array([3, 29, 11, 7, 18])
    parameters = np.ones((1, len(KUAIRAND_TASKS)), dtype=np.float32)
    few = formula.fuse(formula.prepare(pool)[:, chosen], parameters)
    np.testing.assert_array_equal(few, fused(formula, pool[:, chosen], parameters))


def test_click_gated_by_hand() -> None:
    scores = one_candidate(click=0.5, like=0.1, hate=0.2)
    weights = weights_of(like=1.0, hate=-1.0)
    value = fused(make_formula("click_gated", BETAS), scores, weights)[0, 0]
    assert value == pytest.approx(0.5 * (1 + 0.1 - 0.2))


def _naive(name: str) -> Callable[[Floats, Floats], list[float]]:
    """Ranking scores of one request's candidates (candidates, tasks), by plain loops."""

    def total(scores: Floats, weights: Floats, term: Callable[[float, int], float]) -> list[float]:
        return [
            math.fsum(float(w) * term(float(p), k) for k, (w, p) in enumerate(pairs))
            for pairs in (list(zip(weights, row, strict=True)) for row in scores)
        ]

    def log_term(p: float, k: int) -> float:
        return math.log(p + BETAS[k])

    def rank_scores(scores: Floats, weights: Floats) -> list[float]:
        def term(p: float, k: int) -> float:
            return 1.0 / (60.0 + 1.0 + sum(float(other) > p for other in scores[:, k]))

        return total(scores, weights, term)

    def gated(scores: Floats, weights: Floats) -> list[float]:
        sums = total(scores, weights, lambda p, k: p)
        return [float(row[0]) * (1.0 + s) for row, s in zip(scores, sums, strict=True)]

    return {
        "weighted_sum": lambda scores, weights: total(scores, weights, lambda p, k: p),
        "log_sum": lambda scores, weights: total(scores, weights, log_term),
        "power_product": lambda scores, weights: [
            math.prod((float(p) + BETAS[k]) ** float(weights[k]) for k, p in enumerate(row))
            for row in scores
        ],
        "rank": rank_scores,
        "click_gated": gated,
    }[name]


@pytest.mark.parametrize("name", FORMULAS)
@given(scores=scores_strategy, weights=weights_strategy)
def test_scores_equal_a_naive_loop(name: str, scores: Floats, weights: Floats) -> None:
    values = fused(make_formula(name, BETAS), scores, weights)
    for env in range(2):
        expected = _naive(name)(scores[env], weights[env])
        np.testing.assert_allclose(values[env], expected, rtol=2e-4, atol=1e-4)


@pytest.mark.parametrize("name", FORMULAS)
def test_the_fused_order_equals_the_naive_order(name: str) -> None:
    generator = np.random.default_rng(5)
    formula = make_formula(name, BETAS)
    scores = generator.uniform(size=(40, 30, len(KUAIRAND_TASKS))).astype(np.float32)
    weights = (generator.uniform(size=(40, len(KUAIRAND_TASKS))) * KUAIRAND_TASKS.signs).astype(
        np.float32
    )
    slates = best_candidates(fused(formula, scores, weights), 6)
    for env in range(40):
        expected = np.array(_naive(name)(scores[env], weights[env]))
        # The orders may differ only for scores that agree to seven digits.
        np.testing.assert_allclose(expected[slates[env]], np.sort(expected)[::-1][:6], rtol=1e-5)


@pytest.mark.parametrize("name", FORMULAS)
@given(
    scores=scores_strategy, weights=weights_strategy, task=st.integers(0, len(KUAIRAND_TASKS) - 1)
)
def test_monotone_in_each_task_with_the_sign_of_its_weight(
    name: str, scores: Floats, weights: Floats, task: int
) -> None:
    formula = make_formula(name, BETAS)
    signed = weights * KUAIRAND_TASKS.signs
    raised = scores.copy()
    raised[:, 2, task] = 1.0  # one candidate among others
    change = fused(formula, raised, signed)[:, 2] - fused(formula, scores, signed)[:, 2]
    assert (change * KUAIRAND_TASKS.signs[task] >= -1e-5).all()


@pytest.mark.parametrize("name", FORMULAS)
@given(scores=scores_strategy, weights=weights_strategy)
def test_reordering_candidates_reorders_scores(name: str, scores: Floats, weights: Floats) -> None:
    formula = make_formula(name, BETAS)
    order = np.array([3, 1, 4, 0, 2])
    moved = fused(formula, scores[:, order], weights)
    np.testing.assert_array_equal(fused(formula, scores, weights)[:, order], moved)


@given(scores=percents_strategy, weights=weights_strategy)
def test_log_sum_and_power_product_give_the_same_order(scores: Floats, weights: Floats) -> None:
    signed = weights * KUAIRAND_TASKS.signs
    logs = fused(make_formula("log_sum", BETAS), scores, signed)
    products = fused(make_formula("power_product", BETAS), scores, signed)
    np.testing.assert_allclose(np.exp(logs), products, rtol=1e-4)
    for env in range(2):
        apart = np.abs(logs[env][:, None] - logs[env]) > 1e-4
        order = np.sign(logs[env][:, None] - logs[env])
        other = np.sign(products[env][:, None] - products[env])
        assert (order[apart] == other[apart]).all()


@pytest.mark.parametrize("name", LINEAR)
def test_positive_rescaling_keeps_the_slate(name: str) -> None:
    generator = np.random.default_rng(0)
    formula = make_formula(name, BETAS)
    scores = generator.uniform(size=(50, 40, len(KUAIRAND_TASKS))).astype(np.float32)
    weights = (generator.uniform(size=(50, len(KUAIRAND_TASKS))) * KUAIRAND_TASKS.signs).astype(
        np.float32
    )
    slate = best_candidates(fused(formula, scores, weights), 6)
    # A power of two rescales without rounding, except in the exponential of a product.
    scaled = best_candidates(fused(formula, scores, weights * np.float32(0.25)), 6)
    assert (slate == scaled).mean() > (0.99 if name == "power_product" else 0.999999)


@pytest.mark.parametrize("name", FORMULAS)
def test_a_score_does_not_depend_on_other_requests_in_the_batch(name: str) -> None:
    generator = np.random.default_rng(1)
    formula = make_formula(name, BETAS)
    prepared = formula.prepare(
        generator.uniform(size=(33, 20, len(KUAIRAND_TASKS))).astype(np.float32)
    )
    weights = generator.uniform(size=(33, len(KUAIRAND_TASKS))).astype(np.float32)
    parameters = formula.parameters_of(weights)
    together = formula.fuse(prepared, parameters)
    for env in (0, 17, 32):
        alone = formula.fuse(prepared[env : env + 1], parameters[env : env + 1])
        np.testing.assert_array_equal(together[env : env + 1], alone)


@pytest.mark.parametrize("name", FORMULAS)
def test_tasks_outside_the_set_have_no_effect(name: str) -> None:
    generator = np.random.default_rng(2)
    tasks = KUAIRAND_TASKS.subset(["watch", "click", "hate"])
    assert tasks.names == ("click", "hate", "watch")
    formula = make_formula(name, BETAS, tasks)
    scores = generator.uniform(size=(7, 9, len(KUAIRAND_TASKS))).astype(np.float32)
    few = (generator.uniform(size=(7, 3)) * tasks.signs).astype(np.float32)
    values = fused(formula, scores, few)
    changed = scores.copy()
    changed[:, :, 1:6] = 0.0
    np.testing.assert_array_equal(values, fused(formula, changed, few))
    if name in ("weighted_sum", "log_sum", "click_gated"):
        weights = np.zeros((7, len(KUAIRAND_TASKS)), dtype=np.float32)
        weights[:, tasks.columns] = few
        whole = fused(make_formula(name, BETAS), scores, weights)
        np.testing.assert_allclose(values, whole, rtol=1e-5)


@given(arrays(np.float32, (3, 12), elements=st.integers(0, 4).map(float)), st.integers(1, 12))
def test_best_candidates_is_a_stable_sort(values: Floats, slate: int) -> None:
    expected = np.argsort(-values, axis=1, kind="stable")[:, :slate]
    np.testing.assert_array_equal(best_candidates(values, slate), expected)


def test_bad_names_shifts_and_tasks_are_refused() -> None:
    with pytest.raises(UnknownNameError, match=re.escape("Unknown fusion formula 'logsum'")):
        make_formula("logsum", BETAS)
    with pytest.raises(ConfigError, match=re.escape("log_sum needs a positive beta for each")):
        LogSum((0.1, 0.0))
    with pytest.raises(ConfigError, match=re.escape("click_gated needs the task click, got the")):
        make_formula("click_gated", BETAS, KUAIRAND_TASKS.subset(["like", "watch"]))
    with pytest.raises(UnknownNameError, match=re.escape("Unknown task 'klick'. Did you mean 'cl")):
        KUAIRAND_TASKS.subset(["klick"])
    with pytest.raises(ConfigError, match=re.escape("named once, got ('like', 'like')")):
        KUAIRAND_TASKS.subset(["like", "like"])


@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(1, 4),
    tasks=st.integers(1, 8),
    levels=st.sampled_from([0, 3]),
)
def test_numpy_and_compiled_paths_give_identical_results(
    seed: int, rows: int, tasks: int, levels: int
) -> None:
    generator = np.random.default_rng(seed)
    terms = generator.normal(size=(rows, 30, tasks)).astype(np.float32)
    weights = generator.normal(size=(rows, tasks)).astype(np.float32)
    pool_ranks = generator.integers(1, levels if levels else 300, terms.shape)
    compiled = np.empty((rows, 30), dtype=np.float32)
    _weighted_sum_into(terms, weights, compiled)
    np.testing.assert_array_equal(weighted_sum(terms, weights), compiled)
    ranks = np.empty(terms.shape, dtype=np.float32)
    _ranks_into(pool_ranks.astype(np.float32), int(pool_ranks.max()), ranks)
    np.testing.assert_array_equal(ranks_among(pool_ranks.astype(np.float32)), ranks)


@dataclass(frozen=True)
class RootSum(WeightFormula):
    """A user's own formula: s = sum_k w_k sqrt(p_k)."""

    is_scale_free = True
    tasks: TaskSet = KUAIRAND_TASKS

    @override
    def prepare(self, scores: FloatArray) -> FloatArray:
        return np.asarray(np.sqrt(self.tasks.of_scores(scores)))

    @override
    def fuse(self, prepared: FloatArray, parameters: FloatArray) -> FloatArray:
        return np.asarray(np.einsum("nct,nt->nc", prepared, parameters))


def test_an_own_formula_fits_every_action_map_for_weights() -> None:
    name = f"{__name__}:RootSum"
    assert maps_that_fit(name) == ("box", "simplex", "residual")
    for action_map in maps_that_fit(name):
        config = FusionConfig(formula=name, action_map=action_map, tasks=("watch", "hate"))
        formula = config.make_formula(BETAS)
        assert isinstance(formula, RootSum)
        assert formula.parameter_names == ("hate", "watch")
        parameters = config.make_action_map(formula).to_parameters(np.ones((1, 2), dtype="f4"))
        assert (parameters * formula.tasks.signs >= 0.0).all()
    with pytest.raises(ConfigError, match=re.escape("use one of box, simplex, residual")):
        FusionConfig(formula=name, action_map="power_bias").make_formula(BETAS)
    with pytest.raises(ConfigError, match=re.escape("must be a class such as")):
        FusionConfig(formula="math:sqrt").make_formula(BETAS)


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_fusion_config_round_trips_through_json(formula: str) -> None:
    for action_map in maps_that_fit(formula):
        config = FusionConfig(
            formula, action_map, tasks=("hate", "click"), base=(-0.5, 0.25), radius=0.5
        )
        assert config.base == (0.25, -0.5)
        assert FusionConfig.of_record(json.loads(json.dumps(config.to_json()))) == config


@pytest.mark.parametrize("name", FORMULAS)
def test_scale_free_and_base_rate_flags_are_correct(name: str) -> None:
    generator = np.random.default_rng(2)
    scores = generator.uniform(0.01, 0.6, size=(40, 30, len(KUAIRAND_TASKS))).astype(np.float32)
    weights = (
        generator.uniform(0.1, 1.0, size=(40, len(KUAIRAND_TASKS))) * KUAIRAND_TASKS.signs
    ).astype(np.float32)

    def order(scale: float, rates: FloatArray) -> IntArray:
        formula = make_formula(name, rates)
        parameters = formula.parameters_of(weights)
        parameters = (parameters * np.float32(scale)).astype(np.float32)
        return np.argsort(-formula.fuse(formula.prepare(scores), parameters), axis=1)

    kind = formula_named(name)
    assert np.array_equal(order(1.0, BETAS), order(4.0, BETAS)) == kind.is_scale_free
    other = np.full(len(KUAIRAND_TASKS), 0.4)
    assert np.array_equal(order(1.0, BETAS), order(1.0, other)) == (not kind.needs_base_rates)
