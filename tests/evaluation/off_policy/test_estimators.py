"""The estimators on a process that is enumerated in full: exact where they claim to be."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.errors import DataError, UnknownNameError
from mtf_rl.evaluation.off_policy import (
    ESTIMATORS,
    OPEInputs,
    RatioSum,
    Support,
    Weighting,
    estimate_sum,
    leverage_check,
    support_of,
)
from tests.evaluation.off_policy.enumerated import BEHAVIOUR, TIME, inputs, value

# A bound that no weight reaches changes nothing.
EXACT_WITH_A_WRONG_MODEL = (
    "tis", "sn_tis", "pdis", "sn_pdis", "dr", "clipped_dr", "sn_dr", "sam_is", "drl",
)  # fmt: skip
EXACT_WITH_THE_MODEL = (*EXACT_WITH_A_WRONG_MODEL, "dm")
OF_A_REQUEST = ("request_sn",)


@pytest.mark.parametrize("gamma", [1.0, 0.7])
@pytest.mark.parametrize("name", EXACT_WITH_THE_MODEL)
def test_exact_on_all_sessions(name: str, gamma: float) -> None:
    assert estimate_sum(name, inputs(gamma)).value == pytest.approx(value(gamma), abs=1e-12)


@pytest.mark.parametrize("name", EXACT_WITH_A_WRONG_MODEL)
def test_exact_without_a_right_model(name: str) -> None:
    found = estimate_sum(name, inputs(wrong=3.0)).value
    assert found == pytest.approx(value(), abs=1e-12)


def test_doubly_robust_needs_one_of_two() -> None:
    """With the true Q, wrong density ratios add no bias, and the true Q reduces the variance."""
    true = inputs()
    assert true.state_action_ratios is not None
    terms = estimate_sum("dr", true)
    whole = replace(true, state_action_ratios=1.0 - 2.0 * true.state_action_ratios)
    assert estimate_sum("drl", whole).value == pytest.approx(value(), abs=1e-12)
    assert terms.influence.std() < estimate_sum("pdis", true).influence.std()
    assert estimate_sum("dm", inputs(wrong=3.0)).value != pytest.approx(value(), abs=0.1)


def test_every_estimator_is_asked() -> None:
    assert set(ESTIMATORS) == {*EXACT_WITH_THE_MODEL, *OF_A_REQUEST}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_behaviours_own_value_is_the_mean_return(name: str) -> None:
    own = inputs(target=BEHAVIOUR)
    mean = float(own.rewards.sum(axis=1).mean())
    assert estimate_sum(name, own).value == pytest.approx(mean, rel=1e-6)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_neither_the_order_of_sessions_nor_padding_counts(name: str) -> None:
    everyone = inputs(wrong=1.0)
    rows = np.random.default_rng(1).permutation(len(everyone.rewards))[:500]
    few = chosen(everyone, rows)
    before = estimate_sum(name, few)
    shuffled = estimate_sum(name, chosen(everyone, rows[::-1]))
    longer = estimate_sum(name, lengthened(few, 4))
    assert shuffled.value == pytest.approx(before.value, rel=1e-9)
    assert longer.value == pytest.approx(before.value, rel=1e-9)
    np.testing.assert_allclose(longer.influence, before.influence, rtol=1e-9, atol=1e-9)


FIELDS = ("log_ratios", "rewards", "live", "q", "v", "state_action_ratios")


def chosen(whole: OPEInputs, rows: np.ndarray) -> OPEInputs:
    parts: dict[str, Any] = {name: getattr(whole, name)[rows] for name in FIELDS}
    return replace(whole, **parts)


def lengthened(whole: OPEInputs, by: int) -> OPEInputs:
    def wider(values: FloatArray) -> FloatArray:
        return np.pad(values, ((0, 0), (0, by)))

    parts: dict[str, Any] = {name: wider(getattr(whole, name)) for name in FIELDS}
    return replace(whole, **parts)


def naive(name: str, whole: OPEInputs) -> float:
    """Session by session, request by request."""
    count, time = whole.rewards.shape
    assert whole.q is not None
    assert whole.v is not None
    weights = np.ones((count, time))
    for i in range(count):
        product = 1.0
        for t in range(time):
            product *= np.exp(whole.log_ratios[i, t])
            weights[i, t] = product
    if name == "dr":  # Jiang and Li's recursion, from the end.
        total = 0.0
        for i in range(count):
            onward = 0.0
            for t in reversed(range(int(whole.live[i].sum()))):
                rho = np.exp(whole.log_ratios[i, t])
                error = whole.rewards[i, t] + whole.gamma * onward - whole.q[i, t]
                onward = whole.v[i, t] + rho * error
            total += onward / count
        return total
    if name == "sn_pdis":
        return float(
            sum(
                whole.gamma**t * (weights[:, t] * whole.rewards[:, t]).sum() / weights[:, t].sum()
                for t in range(time)
            )
        )
    if name == "request_sn":
        total = 0.0
        for t in range(time):
            rows = [i for i in range(count) if whole.live[i, t]]
            rho = np.array([np.exp(whole.log_ratios[i, t]) for i in rows])
            mean = (rho @ whole.rewards[rows, t]) / rho.sum()
            total += whole.gamma**t * len(rows) / count * mean
        return float(total)
    returns = [sum(whole.gamma**t * whole.rewards[i, t] for t in range(time)) for i in range(count)]
    last = weights[:, -1]
    return float(last @ np.array(returns) / last.sum())  # sn_tis


@pytest.mark.parametrize("name", ["dr", "sn_pdis", "request_sn", "sn_tis"])
def test_a_naive_loop_gives_the_same(name: str) -> None:
    everyone = inputs(0.9, wrong=1.0)
    rows = np.random.default_rng(2).permutation(len(everyone.rewards))[:60]
    few = replace(chosen(everyone, rows), bound=1.5)
    assert estimate_sum(name, few).value == pytest.approx(naive(name, few), rel=1e-10)


def test_one_session_by_hand() -> None:
    """Two requests with ratios 2 and 1/2, rewards 1 and 3: w = (2, 1)."""
    one = OPEInputs(
        log_ratios=np.log([[2.0, 0.5]]),
        rewards=np.array([[1.0, 3.0]]),
        live=np.ones((1, 2), dtype=bool),
        q=np.array([[0.5, 1.0]]),
        v=np.array([[0.25, 2.0]]),
        bound=1.5,
    )
    by_hand = {
        "dm": 0.25,
        "tis": 1.0 * (1.0 + 3.0),
        "pdis": 2.0 * 1.0 + 1.0 * 3.0,
        "sn_pdis": 1.0 + 3.0,
        "dr": 2.0 * 0.5 + 1.0 * 0.25 + 1.0 * 2.0 + 2.0 * 2.0,
        "clipped_dr": 1.5 * 0.5 + 0.25 + 1.0 * 2.0 + 1.5 * 2.0,
        "request_sn": 1.0 + 3.0,
    }
    for name, expected in by_hand.items():
        assert estimate_sum(name, one).value == pytest.approx(expected), name


def test_a_missing_input_is_refused() -> None:
    bare = replace(inputs(), q=None, state_action_ratios=None)
    for name, message in (("dm", "needs Q and V"), ("sam_is", "needs state-action density ratios")):
        with pytest.raises(DataError, match=message):
            estimate_sum(name, bare)
    with pytest.raises(UnknownNameError, match="Did you mean 'pdis'"):
        estimate_sum("pdiss", bare)


def test_weights_of_zero_everywhere_give_zero_and_no_support() -> None:
    nowhere = replace(inputs(), log_ratios=np.full((32768, TIME), -np.inf))
    assert estimate_sum("sn_pdis", nowhere).value == 0.0
    support = support_of("sn_pdis", nowhere)
    assert support is not None
    assert support.zero == 1.0
    assert support.check.support is Support.NOT_SUPPORTED
    assert support.check.reason == "ESS 0 of 32,768, largest weight 100 %"


def test_one_session_that_the_target_never_has_counts_nothing() -> None:
    """A ratio of 0 in one of many sessions: the estimate goes on without it."""
    log_ratios = np.zeros((2_000, 3))
    log_ratios[0, 0] = -np.inf
    rewards = np.tile([1.0, 3.0, 4.0], (2_000, 1))
    whole = OPEInputs(log_ratios, rewards, np.ones((2_000, 3), dtype=bool))
    for name in ("sn_pdis", "sn_tis", "request_sn"):
        assert estimate_sum(name, whole).value == pytest.approx(8.0), name


def test_support_counts_what_the_estimator_weighs() -> None:
    """On-policy every session weighs the same, however long it is."""
    rng = np.random.default_rng(4)
    live = np.arange(6)[None, :] < rng.integers(1, 7, size=500)[:, None]
    own = OPEInputs(
        log_ratios=np.zeros((500, 6)),
        rewards=live.astype(float),
        live=live,
        state_action_ratios=live.astype(float),
    )
    for name, estimator in ESTIMATORS.items():
        support = support_of(name, own)
        if estimator.weighting is Weighting.NONE:
            assert support is None
        else:
            assert support is not None
            assert support.effective == pytest.approx(500.0), name
    heavy = replace(own, log_ratios=np.where(np.arange(6) == 0, 1.0, 0.0) * np.eye(500)[:, :1] * 20)
    raw, clipped = support_of("sn_pdis", heavy), support_of("clipped_dr", heavy)
    assert raw is not None
    assert clipped is not None
    assert raw.effective < 2.0 < 400.0 < clipped.effective


def test_weights_that_add_up_to_too_little_support_nothing() -> None:
    """A fraction of a log's sessions is as the target's, the rest as it never would act."""
    for alike, level in (
        (0.2, Support.NOT_SUPPORTED),
        (0.5, Support.WEAK),
        (0.9, Support.SUPPORTED),
    ):
        count = int(alike * 2_000)
        log_ratios = np.full((2_000, 1), -40.0)
        log_ratios[:count] = 0.0
        rewards, live = np.ones((2_000, 1)), np.ones((2_000, 1), dtype=bool)
        logged = OPEInputs(log_ratios, rewards, live, q=rewards, v=rewards)
        for name in ("pdis", "tis", "request_sn"):
            support = support_of(name, logged)
            assert support is not None
            assert support.effective == pytest.approx(count)
            assert support.mass == pytest.approx(alike)
            assert support.check.support is level, (name, alike)
            assert (f"mean weight {alike:.2f}" in support.check.reason) == (alike < 0.6)
        beside_model = support_of("clipped_dr", logged)
        assert beside_model is not None
        assert beside_model.mass is None
        assert beside_model.check.support is Support.SUPPORTED


@pytest.mark.parametrize(
    ("leverage", "support", "reason"),
    [
        (None, Support.NOT_CHECKED, "no leverage available"),
        (3.0, Support.SUPPORTED, "leverage 3.0"),
        (3.1, Support.WEAK, "leverage 3.1"),
        (10.1, Support.NOT_SUPPORTED, "the model extrapolates, leverage 10.1"),
    ],
)
def test_a_model_that_extrapolates_is_not_supported(
    leverage: float | None, support: Support, reason: str
) -> None:
    check = leverage_check(leverage)
    assert (check.support, check.reason) == (support, reason)
    assert check.support.is_refusal == (support is Support.NOT_SUPPORTED)
    assert check.text == f"{support.value}: {reason}"


def test_adding() -> None:
    mean = RatioSum.mean(np.array([1.0, 3.0]))
    ratio = RatioSum(np.array([[2.0], [4.0]]), np.array([[1.0], [2.0]]))
    assert mean.value == 2.0
    assert ratio.value == 2.0
    both = mean.plus(ratio)
    assert both.value == 4.0
    np.testing.assert_allclose(both.influence, [3.0, 5.0])
