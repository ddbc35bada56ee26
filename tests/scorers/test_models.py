"""Scorer models against naive implementations: loops over rows, tasks and experts."""

import itertools
import re
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import pytest
import torch

from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.data import FeatureLayout
from mtf_rl.scorers import (
    PLE,
    AITMConfig,
    CGCConfig,
    Chain,
    EntireSpace,
    ESCM2DRConfig,
    ESMMConfig,
    MMoE,
    MMoEConfig,
    OMoEConfig,
    PLEConfig,
    ScorerModel,
    SharedBottom,
    SharedBottomConfig,
    SingleTask,
    SingleTaskConfig,
)
from mtf_rl.scorers.entire_space import EntireSpaceOutputs
from mtf_rl.scorers.layers import (
    BinEncoding,
    Gates,
    GroupedLinear,
    GroupedMLP,
    InputLayer,
    Towers,
    mean_gate_entropies,
)
from mtf_rl.scorers.ple import Extraction
from tests.scorers.examples import LAYOUT, random_features

ROWS = 5

ModelT = TypeVar("ModelT", bound=ScorerModel)


def redrawn(model: ModelT) -> ModelT:
    """The model in double precision, with all parameters redrawn, including biases."""
    torch.manual_seed(0)
    model = model.double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.5)
    return model


def forward(model: ScorerModel, categorical: IntArray, dense: FloatArray) -> FloatArray:
    with torch.no_grad():
        logits = model(torch.from_numpy(categorical), torch.from_numpy(dense).double())
    return np.asarray(logits)


def softmax(values: FloatArray) -> FloatArray:
    exponents: FloatArray = np.exp(values - values.max())
    return np.asarray(exponents / exponents.sum())


def affine(layer: GroupedLinear, group: int, x: FloatArray) -> FloatArray:
    outputs: FloatArray = x @ layer.weight[group].detach().numpy()
    return outputs if layer.bias is None else outputs + layer.bias[group, 0].detach().numpy()


def first_layer(mlp: GroupedMLP) -> GroupedLinear:
    layer = mlp.layers[0]
    assert isinstance(layer, GroupedLinear)
    return layer


def network(mlp: GroupedMLP, group: int, x: FloatArray) -> FloatArray:
    for layer in mlp.layers:
        assert isinstance(layer, GroupedLinear)
        x = np.maximum(affine(layer, group, x), 0.0)
    return x


def features(
    layer: InputLayer, layout: FeatureLayout, row: IntArray, dense: FloatArray
) -> FloatArray:
    table = layer.embedding.weight.detach().numpy()
    starts = [0, *itertools.accumulate(field.size for field in layout.categorical)]
    vectors = [table[start + index] for start, index in zip(starts, row, strict=False)]
    return np.concatenate([*vectors, dense, *bin_encodings(layer, dense)])


def bin_encodings(layer: InputLayer, dense: FloatArray) -> list[FloatArray]:
    if layer.bins is None:
        return []
    encodings = []
    for column, value in enumerate(dense):
        edges = layer.bins.edges[column].tolist()
        positions = [
            min(max((value - low) / (high - low), 0.0), 1.0)
            for low, high in itertools.pairwise(edges)
        ]
        encodings.append(np.maximum(affine(layer.bins.linear, column, np.array(positions)), 0.0))
    return encodings


def tower(towers: Towers, task: int, representation: FloatArray) -> float:
    return float(affine(towers.output, task, network(towers.hidden, task, representation))[0])


def naive_mmoe(model: MMoE, row: IntArray, dense: FloatArray) -> list[float]:
    x = features(model.input, LAYOUT, row, dense)
    groups, _, num_experts = model.gates.linear.weight.shape
    experts = [network(model.experts, i, x) for i in range(num_experts)]
    logits = []
    for task in range(len(KUAIRAND_TASKS)):
        gate = softmax(affine(model.gates.linear, task % groups, x))
        mixed = sum(g * expert for g, expert in zip(gate, experts, strict=True))
        logits.append(tower(model.towers, task, np.asarray(mixed)))
    return logits


def naive_extraction(
    level: Extraction, own: int, shared: int, tasks: list[FloatArray], common: FloatArray
) -> tuple[list[FloatArray], FloatArray]:
    """One extraction level as in the paper: experts E_ki(a_k) and E_si(a_s), mixed by gates."""
    experts = [
        [network(level.own, task * own + i, tasks[task]) for i in range(own)]
        for task in range(len(KUAIRAND_TASKS))
    ]
    shared_experts = [network(level.shared, i, common) for i in range(shared)]
    mixed = []
    for task in range(len(KUAIRAND_TASKS)):
        gate = softmax(affine(level.gates.linear, task, tasks[task]))
        visible = experts[task] + shared_experts
        mixed.append(np.asarray(sum(g * e for g, e in zip(gate, visible, strict=True))))
    if level.shared_gate is None:
        return mixed, common
    gate = softmax(affine(level.shared_gate.linear, 0, common))
    all_experts = [expert for own_experts in experts for expert in own_experts] + shared_experts
    return mixed, np.asarray(sum(g * e for g, e in zip(gate, all_experts, strict=True)))


def naive_ple(model: PLE, config: PLEConfig, row: IntArray, dense: FloatArray) -> list[float]:
    common = features(model.input, LAYOUT, row, dense)
    tasks = [common] * len(KUAIRAND_TASKS)
    for level in (model.first, *model.levels):
        assert isinstance(level, Extraction)
        tasks, common = naive_extraction(
            level, config.task_experts, config.shared_experts, tasks, common
        )
    return [tower(model.towers, task, tasks[task]) for task in range(len(KUAIRAND_TASKS))]


@pytest.mark.parametrize("tower_widths", [(), (3,), (4, 3)])
def test_mmoe_equals_a_naive_implementation(tower_widths: tuple[int, ...]) -> None:
    config = MMoEConfig(
        embedding_dim=3, experts=3, expert_widths=(5, 4), tower_widths=tower_widths, dropout=0.5
    )
    model, rows = redrawn(config.build_member(LAYOUT, KUAIRAND_TASKS)), random_features(ROWS)
    expected = [
        naive_mmoe(model, row, dense)
        for row, dense in zip(rows.categorical, rows.dense, strict=True)
    ]
    assert forward(model, rows.categorical, rows.dense) == pytest.approx(np.array(expected))


@pytest.mark.parametrize(("levels", "own", "shared"), [(1, 1, 2), (2, 2, 1), (3, 1, 3)])
def test_ple_equals_a_naive_implementation(levels: int, own: int, shared: int) -> None:
    config = PLEConfig(
        embedding_dim=3,
        levels=levels,
        task_experts=own,
        shared_experts=shared,
        expert_widths=(5, 4),
        tower_widths=(3,),
    )
    model, rows = redrawn(config.build_member(LAYOUT, KUAIRAND_TASKS)), random_features(ROWS)
    expected = [
        naive_ple(model, config, row, dense)
        for row, dense in zip(rows.categorical, rows.dense, strict=True)
    ]
    assert forward(model, rows.categorical, rows.dense) == pytest.approx(np.array(expected))


def test_mmoe_with_equal_gates_averages_its_experts() -> None:
    # One layer of width 1 and towers without hidden layers, so the result is easy to calculate.
    config = MMoEConfig(experts=2, expert_widths=(1,), tower_widths=())
    model = redrawn(config.build_member(LAYOUT, KUAIRAND_TASKS))
    with torch.no_grad():
        model.gates.linear.weight.zero_()
        layer = first_layer(model.experts)
        layer.weight.zero_()
        assert layer.bias is not None
        layer.bias[:, 0, 0] = torch.tensor([2.0, 4.0])
        model.towers.output.weight.fill_(10.0)
        assert model.towers.output.bias is not None
        model.towers.output.bias.fill_(1.0)
    rows = random_features(1)
    # (2 + 4) / 2 x 10 + 1 = 31.
    assert forward(model, rows.categorical, rows.dense)[0] == pytest.approx(31.0)


def test_experts_are_initialised_differently() -> None:
    torch.manual_seed(0)
    weights = first_layer(MMoEConfig(experts=4).build_member(LAYOUT, KUAIRAND_TASKS).experts).weight
    for first, second in itertools.combinations(range(4), 2):
        assert not torch.allclose(weights[first], weights[second])


def test_fields_do_not_share_embeddings() -> None:
    layer = InputLayer(LAYOUT, embedding_dim=2)
    sizes = [field.size for field in LAYOUT.categorical]
    layer.embedding.weight.data = torch.arange(sum(sizes)).float()[:, None].repeat(1, 2)
    first, last = torch.zeros(1, len(sizes), dtype=torch.int64), torch.tensor([sizes]) - 1
    none = torch.empty(1, 0)
    starts = [0, *itertools.accumulate(sizes)]
    assert layer(first, none)[0, ::2].tolist() == starts[:-1]
    assert layer(last, none)[0, ::2].tolist() == [start - 1 for start in starts[1:]]


def test_bin_edges_are_the_quantiles_of_the_rows() -> None:
    encoding = BinEncoding(columns=1, bins=2, dim=2)
    encoding.position_edges(torch.tensor([[0.0], [1.0], [3.0]]))
    assert encoding.edges.tolist() == [[0.0, 1.0, 3.0]]
    with torch.no_grad():
        encoding.linear.weight.copy_(torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]))
    # 2 fills the first bin and half of the second, 9 fills both, -1 fills none.
    encoded = encoding(torch.tensor([[2.0], [9.0], [-1.0]])).tolist()
    assert encoded == [[1.0, 0.5], [1.0, 1.0], [0.0, 0.0]]


def test_a_constant_column_has_finite_encodings() -> None:
    encoding = BinEncoding(columns=1, bins=4, dim=3)
    encoding.position_edges(torch.zeros(5, 1))
    assert torch.isfinite(encoding(torch.tensor([[-1.0], [0.0], [1.0]]))).all()


def test_towers_start_at_the_base_rates() -> None:
    torch.manual_seed(0)
    towers = Towers(inputs=4, widths=(5,), dropout=0.0)
    rates = [0.5, 0.01, 0.0, 0.2, 0.2, 0.2, 0.2, 0.3]
    towers.start_at(torch.tensor(rates))
    logits = towers(torch.zeros(len(KUAIRAND_TASKS), 1, 4)).logits
    assert torch.sigmoid(logits)[0].tolist() == pytest.approx([*rates[:2], 1e-6, *rates[3:]])


def test_shared_bottom_equals_a_naive_implementation() -> None:
    config = SharedBottomConfig(embedding_dim=3, trunk_widths=(5, 4), tower_widths=(3,))
    model, rows = redrawn(config.build_member(LAYOUT, KUAIRAND_TASKS)), random_features(ROWS)
    assert isinstance(model, SharedBottom)
    expected = []
    for row, dense in zip(rows.categorical, rows.dense, strict=True):
        shared = network(model.trunk, 0, features(model.input, LAYOUT, row, dense))
        expected.append([tower(model.towers, task, shared) for task in range(len(KUAIRAND_TASKS))])
    assert forward(model, rows.categorical, rows.dense) == pytest.approx(np.array(expected))


def test_single_task_networks_share_no_parameters() -> None:
    config = SingleTaskConfig(embedding_dim=2, trunk_widths=(4,), tower_widths=())
    model, rows = redrawn(config.build_member(LAYOUT, KUAIRAND_TASKS)), random_features(ROWS)
    assert isinstance(model, SingleTask)
    expected = []
    for row, dense in zip(rows.categorical, rows.dense, strict=True):
        x = features(model.input, LAYOUT, row, dense)
        vectors = x[: 3 * len(KUAIRAND_TASKS) * 2].reshape(
            3, len(KUAIRAND_TASKS), 2
        )  # fields, tasks, own width
        logits = []
        for task in range(len(KUAIRAND_TASKS)):
            own = np.concatenate([vectors[:, task].ravel(), x[3 * len(KUAIRAND_TASKS) * 2 :]])
            logits.append(tower(model.towers, task, network(model.trunks, task, own)))
        expected.append(logits)
    assert forward(model, rows.categorical, rows.dense) == pytest.approx(np.array(expected))
    # The loss of one task reaches only that task's embeddings, trunk and tower.
    logits = model(torch.from_numpy(rows.categorical), torch.from_numpy(rows.dense).double())
    logits[:, 2].sum().backward()
    gradient = model.input.embedding.weight.grad
    assert gradient is not None
    reached = gradient.to_dense().view(-1, len(KUAIRAND_TASKS), 2).abs().sum(dim=(0, 2)) > 0
    assert reached.tolist() == [task == 2 for task in range(len(KUAIRAND_TASKS))]


def test_omoe_equals_mmoe_with_equal_gates() -> None:
    config = OMoEConfig(embedding_dim=3, experts=3, expert_widths=(5, 4), tower_widths=(3,))
    model, rows = redrawn(config.build_member(LAYOUT, KUAIRAND_TASKS)), random_features(ROWS)
    expected = [
        naive_mmoe(model, row, dense)
        for row, dense in zip(rows.categorical, rows.dense, strict=True)
    ]
    assert model.gates.linear.weight.shape[0] == 1
    assert forward(model, rows.categorical, rows.dense) == pytest.approx(np.array(expected))


def test_cgc_equals_ple_with_one_level() -> None:
    torch.manual_seed(0)
    cgc = CGCConfig().build(LAYOUT)
    torch.manual_seed(0)
    ple = PLEConfig(levels=1).build(LAYOUT)
    rows = random_features(ROWS)
    assert np.array_equal(
        forward(cgc.double().eval(), rows.categorical, rows.dense),
        forward(ple.double().eval(), rows.categorical, rows.dense),
    )


def test_esmm_multiplies_the_probabilities_of_the_pair() -> None:
    config = ESMMConfig(embedding_dim=3, trunk_widths=(5,), tower_widths=(3,))
    model, rows = redrawn(config.build_member(LAYOUT, KUAIRAND_TASKS)), random_features(ROWS)
    logits = forward(model, rows.categorical, rows.dense)
    for row in range(ROWS):
        x = features(model.input, LAYOUT, rows.categorical[row], rows.dense[row])
        shared = network(model.trunk, 0, x)
        click, conditional = (1 / (1 + np.exp(-tower(model.towers, k, shared))) for k in (0, 1))
        assert 1 / (1 + np.exp(-logits[row, 1])) == pytest.approx(click * conditional)
        assert logits[row, 1] <= logits[row, 0]
        assert logits[row, 4] == pytest.approx(tower(model.towers, 4, shared))


def gradients_of(model: ScorerModel, loss: torch.Tensor) -> set[str]:
    """Names of the parameters with a nonzero gradient of `loss`."""
    model.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    return {
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is not None and parameter.grad.to_dense().abs().max() > 0
    }


@pytest.mark.parametrize("doubly_robust", [False, True])
def test_the_counterfactual_risk_trains_the_conditional_tower_but_not_the_propensity(
    *, doubly_robust: bool
) -> None:
    config = ESCM2DRConfig(embedding_dim=3, trunk_widths=(5,), tower_widths=())
    model = redrawn(config.build_member(LAYOUT, KUAIRAND_TASKS))
    assert isinstance(model, EntireSpace)
    if not doubly_robust:
        model.imputation = None
    rows = random_features(64)
    arguments = torch.from_numpy(rows.categorical), torch.from_numpy(rows.dense).double()
    outputs = model.outputs(*arguments)
    assert isinstance(outputs, EntireSpaceOutputs)
    targets = (torch.rand(64, len(KUAIRAND_TASKS)) < 0.5).double()
    everywhere = torch.ones(64, dtype=torch.bool)
    risk = model.counterfactual_risk(outputs, targets, everywhere)
    moved = gradients_of(model, risk.value)
    output = model.towers.output.weight.grad
    assert output is not None
    by_task = output.abs().sum(dim=(1, 2)) > 0
    # Only the tower of P(long_view | click) gets gradients; click's tower is the propensity.
    assert by_task.tolist() == [task == 1 for task in range(len(KUAIRAND_TASKS))]
    assert "trunk.layers.0.weight" in moved
    assert not any(name.startswith("imputation") for name in moved)
    if doubly_robust:
        again = model.outputs(*arguments)
        assert isinstance(again, EntireSpaceOutputs)
        imputation = model.counterfactual_risk(again, targets, everywhere).imputation
        moved = gradients_of(model, imputation)
        assert moved == {"imputation.weight", "imputation.bias"}


def test_gate_dropout_renormalises_and_never_drops_all() -> None:
    torch.manual_seed(0)
    gates = Gates(gates=2, inputs=3, experts=4, dropout=0.7)
    x = torch.randn(500, 3)
    weights = gates(x).detach()
    assert weights.sum(dim=2) == pytest.approx(torch.ones(2, 500))
    dropped = (weights == 0).float().mean().item()
    # All four are dropped with probability 0.7^4 = 0.24, and then all are kept: 0.7 - 0.24 remain.
    assert dropped == pytest.approx(0.7 - 0.7**4, abs=0.03)
    gates.eval()
    assert (gates(x) > 0).all()


def test_gate_entropy_is_zero_when_collapsed_and_one_when_uniform() -> None:
    collapsed = torch.tensor([[[1.0, 0.0, 0.0]]])
    uniform = torch.full((1, 2, 3), 1 / 3)
    assert mean_gate_entropies(collapsed).item() == 0.0
    assert mean_gate_entropies(uniform).item() == pytest.approx(1.0)
    # Gate (0.5, 0.5, 0): ln 2 / ln 3.
    half = torch.tensor([[[0.5, 0.5, 0.0]]])
    assert mean_gate_entropies(half).item() == pytest.approx(np.log(2) / np.log(3))


def test_an_ensemble_averages_logits_and_fits_members_independently() -> None:
    torch.manual_seed(0)
    ensemble = MMoEConfig(embedding_dim=3, members=3, dropout=0.0).build(LAYOUT).double()
    rows = random_features(ROWS)
    arguments = torch.from_numpy(rows.categorical), torch.from_numpy(rows.dense).double()
    alone = [network(*arguments) for network in ensemble.networks()]
    assert ensemble(*arguments).detach().numpy() == pytest.approx(
        torch.stack(alone).mean(dim=0).detach().numpy()
    )
    assert not torch.allclose(alone[0], alone[1])
    targets, mask = (
        torch.ones(ROWS, len(KUAIRAND_TASKS)).double(),
        torch.ones(ROWS, len(KUAIRAND_TASKS)).bool(),
    )
    joint = ensemble.losses(ensemble.outputs(*arguments), targets, mask)
    apart = [
        network.losses(network.outputs(*arguments), targets, mask).per_task
        for network in ensemble.networks()
    ]
    assert joint.per_task.detach().numpy() == pytest.approx(
        torch.stack(apart).mean(dim=0).detach().numpy()
    )


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: MMoEConfig(experts=0), "experts must be at least 1, got 0"),
        (lambda: MMoEConfig(embedding_dim=-1), "embedding_dim must be at least 1, got -1"),
        (lambda: MMoEConfig(dropout=1.0), "dropout must be in [0, 1), got 1.0"),
        (lambda: MMoEConfig(expert_widths=()), "expert_widths must have at least 1 layer, got ()"),
        (lambda: PLEConfig(levels=0), "levels must be at least 1, got 0"),
        (lambda: MMoEConfig(members=0), "members must be at least 1, got 0"),
        (lambda: MMoEConfig(gate_dropout=1.0), "gate_dropout must be in [0, 1), got 1.0"),
        (lambda: ESCM2DRConfig(propensity_floor=0.0), "propensity_floor must be in (0, 1], got 0"),
        (
            lambda: AITMConfig(chain=Chain("click", "like")).build(LAYOUT),
            "chain click -> like is not declared",
        ),
        (lambda: PLEConfig(task_experts=0), "task_experts must be at least 1, got 0"),
        (lambda: PLEConfig(shared_experts=0), "shared_experts must be at least 1, got 0"),
        (
            lambda: PLEConfig(tower_widths=(4, 0)),
            "every width in tower_widths must be at least 1, got (4, 0)",
        ),
    ],
)
def test_invalid_sizes_raise_an_error(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        build()
