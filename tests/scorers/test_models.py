"""MMoE and PLE against their equations, written out again as loops over rows, tasks, experts."""

import itertools
import re
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import pytest
import torch

from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.tasks import NUM_TASKS
from mtf_rl.data import FeatureLayout
from mtf_rl.scorers import PLE, MMoE, MMoEConfig, PLEConfig, ScorerModel
from mtf_rl.scorers.layers import GroupedLinear, GroupedMLP, InputLayer, Towers
from mtf_rl.scorers.ple import Extraction
from tests.scorers.examples import LAYOUT, random_features

ROWS = 5

ModelT = TypeVar("ModelT", bound=ScorerModel)


def redrawn(model: ModelT) -> ModelT:
    """The model in double precision with every parameter drawn anew, biases included."""
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
    return np.concatenate([*vectors, dense])


def tower(towers: Towers, task: int, representation: FloatArray) -> float:
    return float(affine(towers.output, task, network(towers.hidden, task, representation))[0])


def naive_mmoe(model: MMoE, row: IntArray, dense: FloatArray) -> list[float]:
    x = features(model.input, LAYOUT, row, dense)
    experts = [network(model.experts, i, x) for i in range(model.gates.weight.shape[2])]
    logits = []
    for task in range(NUM_TASKS):
        gate = softmax(affine(model.gates, task, x))
        mixed = sum(g * expert for g, expert in zip(gate, experts, strict=True))
        logits.append(tower(model.towers, task, np.asarray(mixed)))
    return logits


def naive_extraction(
    level: Extraction, own: int, shared: int, tasks: list[FloatArray], common: FloatArray
) -> tuple[list[FloatArray], FloatArray]:
    """Equations of scorer and paper: E_ki(a_k), E_si(a_s), and the gates over them."""
    experts = [
        [network(level.own, task * own + i, tasks[task]) for i in range(own)]
        for task in range(NUM_TASKS)
    ]
    shared_experts = [network(level.shared, i, common) for i in range(shared)]
    mixed = []
    for task in range(NUM_TASKS):
        gate = softmax(affine(level.gates, task, tasks[task]))
        visible = experts[task] + shared_experts
        mixed.append(np.asarray(sum(g * e for g, e in zip(gate, visible, strict=True))))
    if level.shared_gate is None:
        return mixed, common
    gate = softmax(affine(level.shared_gate, 0, common))
    everyone = [expert for own_experts in experts for expert in own_experts] + shared_experts
    return mixed, np.asarray(sum(g * e for g, e in zip(gate, everyone, strict=True)))


def naive_ple(model: PLE, config: PLEConfig, row: IntArray, dense: FloatArray) -> list[float]:
    common = features(model.input, LAYOUT, row, dense)
    tasks = [common] * NUM_TASKS
    for level in model.levels:
        assert isinstance(level, Extraction)
        tasks, common = naive_extraction(
            level, config.task_experts, config.shared_experts, tasks, common
        )
    return [tower(model.towers, task, tasks[task]) for task in range(NUM_TASKS)]


@pytest.mark.parametrize("tower_widths", [(), (3,), (4, 3)])
def test_mmoe_is_its_equation(tower_widths: tuple[int, ...]) -> None:
    config = MMoEConfig(
        embedding_dim=3, experts=3, expert_widths=(5, 4), tower_widths=tower_widths, dropout=0.5
    )
    model, rows = redrawn(config.build(LAYOUT)), random_features(ROWS)
    expected = [
        naive_mmoe(model, row, dense)
        for row, dense in zip(rows.categorical, rows.dense, strict=True)
    ]
    assert forward(model, rows.categorical, rows.dense) == pytest.approx(np.array(expected))


@pytest.mark.parametrize(("levels", "own", "shared"), [(1, 1, 2), (2, 2, 1), (3, 1, 3)])
def test_ple_is_its_equation(levels: int, own: int, shared: int) -> None:
    config = PLEConfig(
        embedding_dim=3,
        levels=levels,
        task_experts=own,
        shared_experts=shared,
        expert_widths=(5, 4),
        tower_widths=(3,),
    )
    model, rows = redrawn(config.build(LAYOUT)), random_features(ROWS)
    expected = [
        naive_ple(model, config, row, dense)
        for row, dense in zip(rows.categorical, rows.dense, strict=True)
    ]
    assert forward(model, rows.categorical, rows.dense) == pytest.approx(np.array(expected))


def test_mmoe_with_equal_gates_averages_its_experts() -> None:
    # One layer of width 1, towers without hidden layer: everything is visible by hand.
    config = MMoEConfig(experts=2, expert_widths=(1,), tower_widths=())
    model = redrawn(config.build(LAYOUT))
    with torch.no_grad():
        model.gates.weight.zero_()
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


def test_experts_start_different() -> None:
    torch.manual_seed(0)
    weights = first_layer(MMoEConfig(experts=4).build(LAYOUT).experts).weight
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


def test_towers_start_at_the_base_rates() -> None:
    torch.manual_seed(0)
    towers = Towers(tasks=3, inputs=4, widths=(5,), dropout=0.0)
    rates = torch.tensor([0.5, 0.01, 0.0])
    towers.start_at(rates)
    logits = towers(torch.zeros(3, 1, 4))
    assert torch.sigmoid(logits)[0].tolist() == pytest.approx([0.5, 0.01, 1e-6])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: MMoEConfig(experts=0), "experts must be at least 1, got 0"),
        (lambda: MMoEConfig(embedding_dim=-1), "embedding_dim must be at least 1, got -1"),
        (lambda: MMoEConfig(dropout=1.0), "dropout must be in [0, 1), got 1.0"),
        (lambda: MMoEConfig(expert_widths=()), "expert_widths must name at least 1 layer, got ()"),
        (lambda: PLEConfig(levels=0), "levels must be at least 1, got 0"),
        (lambda: PLEConfig(task_experts=0), "task_experts must be at least 1, got 0"),
        (lambda: PLEConfig(shared_experts=0), "shared_experts must be at least 1, got 0"),
        (
            lambda: PLEConfig(tower_widths=(4, 0)),
            "tower_widths must be at least 1 each, got (4, 0)",
        ),
    ],
)
def test_refuses_bad_sizes(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        build()
