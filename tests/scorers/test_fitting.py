"""Fitting: schedule, best state, checkpoints, settings, and recovery of known effects."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import expit

from mtf_rl.core.arrays import select_rows
from mtf_rl.core.errors import ArtifactError, ConfigError, DataError, UnknownNameError
from mtf_rl.core.tasks import KUAIRAND_TASKS, Task, TaskSet
from mtf_rl.data import UNSEEN_CODE
from mtf_rl.scorers import (
    MONITORS,
    FittedScorer,
    LabelledRows,
    ScorerFitConfig,
    ValidationResult,
    evaluate_scorer,
    fit_scorer,
)
from mtf_rl.scorers.fit_config import MonitorName
from mtf_rl.scorers.fitting import _Schedule
from mtf_rl.scorers.metrics import auc, normalised_entropy
from mtf_rl.scorers.scorer import sigmoid
from mtf_rl.scorers.training import WeightAverage
from tests.scorers.examples import LAYOUT, QUICK, SMALL, example_rows

TRAIN, VALIDATION = example_rows(600, seed=1), example_rows(400, seed=2)


def fit(
    config: ScorerFitConfig = QUICK, train: LabelledRows = TRAIN, seed: int = 0
) -> FittedScorer:
    rng = np.random.default_rng(seed)
    return fit_scorer(SMALL["mmoe"], config, LAYOUT, train, VALIDATION, rng=rng)


def monitored(fitted: FittedScorer, name: str, tasks: tuple[str, ...]) -> float:
    # In float32, as in fitting: at this learning rate many probabilities round to 1 and tie.
    predictions = sigmoid(fitted.scorer.logits(VALIDATION.features))
    return MONITORS[name].value(predictions, VALIDATION, tasks)


@pytest.mark.parametrize(("name", "best"), [("normalised_entropy", min), ("auc", max)])
def test_fit_returns_the_best_state_of_the_curve(
    name: MonitorName, best: Callable[[list[float]], float]
) -> None:
    # A learning rate this large makes the monitor noisy, so that the last state is not the best.
    config = replace(QUICK, monitor=name, learning_rate=0.3, max_epochs=4, patience=20)
    config = replace(config, averaging=0.0)
    fitted = fit(config)
    values = [point.monitor for point in fitted.curve]
    assert values[-1] != best(values)
    assert monitored(fitted, name, ("click", "long_view", "like", "watch")) == pytest.approx(
        best(values), abs=1e-4
    )
    assert values[[point.is_best for point in fitted.curve].index(True)] == values[0]
    last_best = max(i for i, point in enumerate(fitted.curve) if point.is_best)
    assert values[last_best] == best(values)


def test_fit_stops_after_patience_evaluations_without_improvement() -> None:
    config = replace(QUICK, learning_rate=0.2, max_epochs=50, patience=3)
    curve = fit(config).curve
    assert len(curve) < 50 * config.evaluations_per_epoch
    assert [point.is_best for point in curve[-3:]] == [False] * 3
    assert curve[-4].is_best


def test_on_evaluation_is_called_at_each_evaluation() -> None:
    seen: list[ValidationResult] = []
    fitted = fit_scorer(
        SMALL["ple"],
        QUICK,
        LAYOUT,
        TRAIN,
        VALIDATION,
        rng=np.random.default_rng(0),
        on_evaluation=seen.append,
    )
    assert tuple(seen) == fitted.curve
    assert seen[-1].step <= seen[-1].total_steps == 2 * 10  # 600 rows in batches of 64
    assert all(len(point.task_losses) == len(KUAIRAND_TASKS) for point in seen)


@pytest.mark.parametrize(
    ("rows", "evaluations", "expected"),
    [(1000, 4, [3, 5, 8, 10]), (1000, 1, [10]), (250, 4, [1, 2, 3]), (50, 4, [1])],
)
def test_schedule_spreads_evaluations_over_the_epoch(
    rows: int, evaluations: int, expected: list[int]
) -> None:
    config = ScorerFitConfig(batch_rows=100, evaluations_per_epoch=evaluations, max_epochs=2)
    schedule = _Schedule(rows, config)
    steps = [s for s in range(1, schedule.total_steps + 1) if schedule.evaluates_after(s)]
    per_epoch = schedule.steps_per_epoch
    assert steps == expected + [per_epoch + step for step in expected]


def test_fit_recovers_known_effects() -> None:
    fitted = fit(replace(QUICK, max_epochs=5), train=example_rows(6000, seed=3))
    report = evaluate_scorer(fitted.scorer, example_rows(4000, seed=4))
    for task in KUAIRAND_TASKS.names[:7]:
        # The true probability, sigmoid(offset + 2 x), has an AUC of about 0.85 on these rows.
        assert report[task].auc > 0.8
        assert report[task].ece < 0.05
    truth_sign = fitted.scorer.predict(example_rows(4000, seed=4).features)
    assert np.corrcoef(truth_sign[:, 0], truth_sign[:, 6])[0, 1] < -0.9  # hate goes the other way


def test_fit_restores_the_global_state_of_torch() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    threads = torch.get_num_threads()
    fit()
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads


def test_out_of_vocabulary_embeddings_are_trained() -> None:
    train = example_rows(600, seed=1)
    train.features.categorical[train.features.categorical == UNSEEN_CODE] = UNSEEN_CODE + 1

    def unseen_embeddings(config: ScorerFitConfig) -> torch.Tensor:
        starts = torch.tensor([0, 12, 21])
        (model,) = fit(config, train).scorer.model.networks()
        return model.input.embedding.weight[starts + UNSEEN_CODE].detach()

    untouched = unseen_embeddings(replace(QUICK, unknown_fraction=0.0))
    trained = unseen_embeddings(replace(QUICK, unknown_fraction=0.2))
    assert not torch.allclose(trained, untouched, atol=1e-3)


def test_a_task_weight_of_zero_leaves_the_task_untrained() -> None:
    only_click = replace(QUICK, task_weights=(1.0,) + (0.0,) * 7, max_epochs=3)
    fitted = fit(replace(only_click, monitor_tasks=("click",)), example_rows(3000, seed=3))
    report = evaluate_scorer(fitted.scorer, VALIDATION)
    assert report["click"].auc > 0.8
    tower = fitted.scorer.model.networks()[0].towers.output.bias
    assert tower is not None
    rates = expit(tower[1:7, 0, 0].detach().numpy())
    assert rates == pytest.approx(example_rows(3000, seed=3).base_rates()[1:7], abs=1e-4)


def test_base_rates_use_only_the_sample_space() -> None:
    rows = select_rows(TRAIN, np.arange(4))
    mask = rows.mask.copy()
    mask[:, 0] = [True, False, True, False]
    mask[:, 1] = False
    masked = replace(rows, mask=mask)
    assert masked.base_rates()[0] == pytest.approx(rows.targets[[0, 2], 0].mean())
    assert masked.base_rates()[1] == 0.0


def test_monitor_skips_tasks_where_it_is_undefined() -> None:
    targets = VALIDATION.targets.copy()
    targets[:, 2] = 0.0
    rows = replace(VALIDATION, targets=targets)
    predictions = np.random.default_rng(0).random(targets.shape)
    p, y = predictions[:, 0], targets[:, 0]
    for name, expected in (
        ("normalised_entropy", normalised_entropy(p, y)),
        ("auc", auc(p, y > 0)),
    ):
        assert MONITORS[name].value(predictions, rows, ("click", "like")) == expected
        assert np.isnan(MONITORS[name].value(predictions, rows, ("like",)))


def test_an_undefined_monitor_raises_an_error() -> None:
    flat = replace(VALIDATION, targets=np.zeros_like(VALIDATION.targets))
    message = "The monitor normalised_entropy is not defined on the validation rows"
    with pytest.raises(DataError, match=message):
        fit_scorer(SMALL["mmoe"], QUICK, LAYOUT, TRAIN, flat, rng=np.random.default_rng(0))


def test_zero_training_rows_raise_an_error() -> None:
    with pytest.raises(DataError, match="There are no training rows to fit a scorer on"):
        fit(train=select_rows(TRAIN, np.arange(0)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_rows": 0}, "batch_rows must be at least 1, got 0"),
        ({"embedding_learning_rate": 0.0}, "embedding_learning_rate must be above 0"),
        ({"learning_rate": -1.0}, "learning_rate must be above 0, got -1.0"),
        ({"weight_decay": float("nan")}, "weight_decay must be at least 0, got nan"),
        ({"unknown_fraction": 1.0}, "unknown_fraction must be in [0, 1), got 1.0"),
        ({"task_weights": (0.0,) * 8}, "task_weights must all be at least 0, and one above 0"),
        ({"task_weights": (1.0, float("nan"))}, "task_weights must all be at least 0"),
        ({"task_decay": (0.0,) * 8}, "task_decay must all be in (0, 1], got (0.0,"),
    ],
)
def test_invalid_settings_raise_an_error(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        ScorerFitConfig(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"task_weights": (1.0,)},
            "task_weights must have 8 values, one per task (click, long_view, like",
        ),
        ({"task_decay": (1.0, 0.5)}, "task_decay must have 8 values, one per task (click"),
        ({"monitor_tasks": ("klick",)}, "Unknown task 'klick'. Did you mean 'click'?"),
    ],
)
def test_settings_for_other_tasks_raise_an_error(changes: dict[str, object], message: str) -> None:
    with pytest.raises((ConfigError, UnknownNameError), match=re.escape(message)):
        ScorerFitConfig(**changes).on_tasks(KUAIRAND_TASKS)  # type: ignore[arg-type]


def test_default_weights_and_monitors_come_from_the_tasks() -> None:
    tasks = TaskSet((Task("buy"), Task("skip", sign=-1, monitored=False)))
    settings = ScorerFitConfig().on_tasks(tasks)
    assert settings.task_weights == settings.task_decay == (1.0, 1.0)
    assert settings.monitor_tasks == ("buy",)
    with pytest.raises(ConfigError, match=r"monitor_tasks is empty.*one or more of skip"):
        ScorerFitConfig().on_tasks(tasks.subset(["skip"]))


def test_an_unknown_monitor_raises_an_error_that_suggests_the_nearest_name() -> None:
    with pytest.raises(UnknownNameError, match=re.escape("Did you mean 'auc'?")):
        ScorerFitConfig(monitor="acu")  # type: ignore[arg-type]


class Interrupted(Exception):
    """Simulates Ctrl-C."""


def weights(fitted: FittedScorer) -> list[torch.Tensor]:
    return list(fitted.scorer.model.state_dict().values())


@pytest.mark.parametrize("name", ["mmoe", "escm2_dr"])
@pytest.mark.parametrize("stop_after", [1, 4, 7])
def test_a_resumed_fit_equals_an_uninterrupted_fit(
    name: str, stop_after: int, tmp_path: Path
) -> None:
    config = replace(QUICK, weighting="uncertainty", max_epochs=3)

    def fit_in(folder: Path | None, stop: int | None = None) -> FittedScorer:
        def on_evaluation(evaluation: ValidationResult) -> None:
            seen.append(evaluation)
            if len(seen) == stop:
                raise Interrupted

        seen: list[ValidationResult] = []
        return fit_scorer(
            SMALL[name],
            config,
            LAYOUT,
            TRAIN,
            VALIDATION,
            rng=np.random.default_rng(3),
            on_evaluation=on_evaluation,
            checkpoint=folder,
        )

    whole = fit_in(None)
    with pytest.raises(Interrupted):
        fit_in(tmp_path, stop=stop_after)
    resumed = fit_in(tmp_path)
    assert resumed.curve == whole.curve
    assert all(map(torch.equal, weights(resumed), weights(whole)))
    finished = fit_in(tmp_path)  # nothing is left to do
    assert all(map(torch.equal, weights(finished), weights(whole)))


def test_a_checkpoint_of_another_fit_or_a_truncated_one_raises_an_error(tmp_path: Path) -> None:
    def fit_with(config: ScorerFitConfig, seed: int) -> None:
        rng = np.random.default_rng(seed)
        fit_scorer(SMALL["mmoe"], config, LAYOUT, TRAIN, VALIDATION, rng=rng, checkpoint=tmp_path)

    fit_with(QUICK, seed=0)
    for config, seed in ((QUICK, 1), (replace(QUICK, batch_rows=65), 0)):
        with pytest.raises(ArtifactError, match="fit with other rows, settings or seed"):
            fit_with(config, seed)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ArtifactError, match="Delete it to start the fit again"):
        fit_with(QUICK, seed=0)


def test_averaged_weights_equal_the_recursion() -> None:
    torch.manual_seed(0)
    model = SMALL["mmoe"].build(LAYOUT)
    average = WeightAverage(model, keep=0.9)
    bias = model.networks()[0].towers.output.bias
    assert bias is not None
    expected = bias.detach().clone()
    for step in range(1, 33):
        with torch.no_grad():
            bias.fill_(float(step))
        average.update(model, step)
        if step % 8 == 0:
            keep = min(0.9, (1 + step) / (10 + step)) ** 8
            expected = keep * expected + (1 - keep) * step
    mean = average.model.networks()[0].towers.output.bias
    assert mean is not None
    assert torch.allclose(mean, expected)


def test_evaluations_report_weights_and_gate_entropies() -> None:
    measures = fit(replace(QUICK, weighting="decaying", task_decay=(0.5,) * 8)).curve[-1].measures
    assert {f"weight/{task}" for task in KUAIRAND_TASKS.names} < set(measures)
    assert all(0.0 < measures[f"gate_entropy/{task}"] <= 1.0 for task in KUAIRAND_TASKS.names)


def test_evaluations_report_the_effective_sample_size() -> None:
    rng = np.random.default_rng(0)
    fitted = fit_scorer(SMALL["escm2_ips"], QUICK, LAYOUT, TRAIN, VALIDATION, rng=rng)
    clicks = TRAIN.base_rates()[0] * QUICK.batch_rows
    assert 1.0 < fitted.curve[-1].measures["effective_sample_size"] <= 1.1 * clicks
