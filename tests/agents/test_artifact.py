"""Saving and loading policy folders, and refusing invalid ones."""

import hashlib
import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save

from mtf_rl.agents import (
    ConstantPolicy,
    FusionPolicy,
    FusionSetting,
    GenerativePolicy,
    Mlp,
    MlpPolicy,
    SavedPolicy,
    TablePolicy,
    load_policy,
    save_policy,
)
from mtf_rl.core.errors import ArtifactError, ConfigError, DataError, ShapeError, UnknownNameError
from mtf_rl.data.profile_scale import ProfileScale
from mtf_rl.envs import (
    RetentionConfig,
    RetentionDynamics,
    SessionDynamics,
    toy_dynamics,
)
from mtf_rl.fusion import FusionConfig
from tests.agents.examples import fusion_policy, generative_policy, mlp_policy

SETTING = FusionSetting(
    observation=("profile/age", "session/log_requests", "candidates/mean/click"),
    base_rates=(0.5, 0.001, 0.1),
    fusion=FusionConfig(
        tasks=("click", "hate", "watch"),
        formula="power_product",
        action_map="residual",
        base=(1.0, -0.25, 0.5),
        radius=0.3,
    ),
    profile=ProfileScale(("age",), (1.25,), (0.1,), 5.0, (("like", 1 / 3),), 20.0),
)
POLICIES: dict[str, SavedPolicy] = {
    "constant": ConstantPolicy(np.linspace(-1, 1, 6)),
    "mlp": mlp_policy(3, 6),
    "generative": generative_policy(3, 6),
}


@pytest.mark.parametrize("kind", POLICIES)
def test_a_saved_policy_loads_with_the_same_actions(kind: str, tmp_path: Path) -> None:
    policy = POLICIES[kind]
    save_policy(tmp_path, FusionPolicy(policy, SETTING))
    again = load_policy(str(tmp_path))
    assert type(again.policy) is type(policy)
    assert again.setting == SETTING
    observation = np.random.default_rng(1).normal(size=(7, 3)).astype(np.float32)
    action = again.predict(observation)[0]
    np.testing.assert_array_equal(action, policy.predict(observation)[0])
    parameters = again.setting.make_action_map().to_parameters(action)
    np.testing.assert_array_equal(parameters, SETTING.make_action_map().to_parameters(action))


@pytest.mark.parametrize("kind", POLICIES)
def test_equal_policies_give_equal_files(kind: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_policy(tmp_path / name, FusionPolicy(POLICIES[kind], SETTING))
    for file in ("policy.json", "policy.safetensors"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_the_setting_of_an_environment_gives_its_formula_and_action_map() -> None:
    toy = toy_dynamics()
    tasks = ("like", "watch")
    config = toy.config.with_settings(
        tasks=tasks, action_map="residual", base=(0.9, 0.2), radius=0.5
    )
    dynamics = SessionDynamics(
        scores=replace(toy.scores, base_rates=np.linspace(0.1, 0.8, 8)),
        user_model=toy.user_model,
        catalogue=toy.catalogue,
        profiles=toy.profiles,
        users=toy.users,
        config=config,
    )
    setting = FusionSetting.of(dynamics)
    assert setting.base_rates == pytest.approx((0.3, 0.8))
    assert setting.make_formula() == dynamics.formula
    action = np.array([[0.3, -0.6]], dtype=np.float32)
    np.testing.assert_array_equal(
        setting.make_action_map().to_parameters(action), dynamics.action_map.to_parameters(action)
    )
    visits = FusionSetting.of(RetentionDynamics(dynamics, RetentionConfig()))
    assert visits.observation[: len(setting.observation)] == setting.observation
    assert "visits/" in visits.observation[-1]


def change(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Edit the card outside of `save_policy`."""
    path = folder / "policy.json"
    card = json.loads(path.read_text())
    edit(card)
    path.write_text(json.dumps(card))


def change_tensors(folder: Path, edit: Callable[[dict[str, NDArray[Any]]], object]) -> None:
    path = folder / "policy.safetensors"
    tensors = load_file(path)
    edit(tensors)
    path.write_bytes(save(tensors))
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    change(folder, lambda card: card.update(tensors_sha256=checksum))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_policy(tmp_path, FusionPolicy(POLICIES["generative"], SETTING))
    return tmp_path


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda card: card["setting"].update(formula="log_summ"), "Did you mean 'log_sum'?"),
        (lambda card: card["setting"].update(action_map="os:system"), "Unknown action map"),
        (lambda card: card["setting"].update(action_map="box"), "does not fit formula"),
        (lambda card: card["setting"].update(tasks=["click", "hate", "buy"]), "Unknown task 'buy'"),
        (
            lambda card: card["setting"].update(tasks=["hate", "click", "watch"], base=[]),
            "tasks must be in the order click, hate, watch, got hate, click, watch",
        ),
        (lambda card: card["setting"].update(base_rates=[0.5, 0.1]), "base_rates must be one"),
        (lambda card: card["setting"].update(base_rates=[0.5, 0.1, 2.0]), "base_rates must be one"),
        (lambda card: card["setting"].update(radius=float("nan")), "radius must be in (0, 1]"),
        (lambda card: card["setting"].update(radius="wide"), "TypeError"),
        (lambda card: card["setting"].update(base=[1.0]), "base must have one weight"),
        (lambda card: card["setting"].pop("observation"), "KeyError: 'observation'"),
        (
            lambda card: card["setting"]["observation"].pop(),
            "inputs candidates/mean/click are not observed",
        ),
        (lambda card: card["inputs"].pop(), "inputs must be 3 names, got 2"),
        (
            lambda card: card["setting"].update(observation=["a", "b", "candidates/mode/click"]),
            "unknown observation 'candidates/mode/click'",
        ),
        (lambda card: card["setting"].update(observation=["a", "b", "a"]), "must be unique"),
        (lambda card: card.update(kind="forest"), "unknown kind 'forest'"),
        (lambda card: card.update(action_flexibility=-1), "action_flexibility must be at least 0"),
        (lambda card: card["networks"]["critic"].update(output="tanh"), "critic must end in"),
        (lambda card: card["networks"]["critic"].update(hidden="x:y"), "Unknown hidden activation"),
        (lambda card: card["networks"]["critic"].update(layers=0), "at least one layer"),
        (lambda card: card["networks"]["critic"].update(layers=3), "critic/weight_2"),
        (lambda card: card.pop("networks"), "KeyError: 'networks'"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(
    folder: Path, edit: Callable[[dict[str, Any]], object], message: str
) -> None:
    change(folder, edit)
    modules = set(sys.modules)
    with pytest.raises(ArtifactError, match=re.escape(message)) as caught:
        load_policy(folder)
    assert "is not a valid policy folder" in str(caught.value)
    assert "Make it again" in str(caught.value)
    assert set(sys.modules) == modules


def test_an_own_formula_is_imported_only_if_its_name_is_repeated(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "own_product.py").write_text(
        "from mtf_rl.fusion import PowerProduct\nclass Mine(PowerProduct):\n    pass\n"
    )
    monkeypatch.syspath_prepend(str(folder))
    change(folder, lambda card: card["setting"].update(formula="own_product:Mine"))
    with pytest.raises(ConfigError, match=re.escape("--extension own_product:Mine")):
        load_policy(folder)
    with pytest.raises(ConfigError, match="unless you repeat it"):
        load_policy(folder, extensions=["own_product:Other"])
    assert "own_product" not in sys.modules
    policy = load_policy(folder, extensions=["own_product:Mine"])
    assert type(policy.setting.make_formula()).__name__ == "Mine"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda tensors: tensors.pop("latents"), "latents"),
        (lambda tensors: tensors.update({"critic/bias_0": np.zeros(3, "f")}), "biases[0] must"),
        (lambda tensors: tensors.update(mean=np.zeros(4, "f")), "scale must have shape (obs_dim)"),
        (lambda tensors: tensors.update(scale=np.zeros(3, "f")), "scale must be above 0"),
        (
            lambda tensors: tensors.update(mean=np.full(3, np.nan, "f")),
            "mean must hold only finite",
        ),
        (
            lambda tensors: tensors.update(mean=np.zeros(3, "i")),
            "mean must hold only finite floats",
        ),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    folder: Path, edit: Callable[[dict[str, NDArray[Any]]], object], message: str
) -> None:
    change_tensors(folder, edit)
    with pytest.raises(ArtifactError, match=re.escape(message)) as caught:
        load_policy(folder)
    assert "Make it again" in str(caught.value)


def test_a_constant_action_out_of_bounds_is_refused(tmp_path: Path) -> None:
    save_policy(tmp_path, FusionPolicy(POLICIES["constant"], SETTING))
    change_tensors(tmp_path, lambda tensors: tensors.update(action=np.full(6, 1.5, "f")))
    with pytest.raises(ArtifactError, match=re.escape("an action must be in [-1, 1]; row 0")):
        load_policy(tmp_path)


def test_damaged_files_are_refused(folder: Path) -> None:
    path = folder / "policy.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    with pytest.raises(ArtifactError, match=re.escape("policy.safetensors cannot be read")):
        load_policy(folder)
    path.write_bytes(whole[:-5] + b"torn!")
    with pytest.raises(ArtifactError, match=re.escape("does not match policy.json")):
        load_policy(folder)
    path.unlink()
    with pytest.raises(ArtifactError, match=re.escape("policy.safetensors cannot be read")):
        load_policy(folder)
    (folder / "policy.json").write_text("{")
    with pytest.raises(ArtifactError, match=re.escape("policy.json is not a JSON file")):
        load_policy(folder)
    with pytest.raises(ArtifactError, match=re.escape("No file")):
        load_policy(folder / "elsewhere")


@pytest.mark.parametrize(
    ("content", "version"),
    [('{"version": 1}', 1), ('{"version": 2}', 2), ("[]", None), ("3", None)],
)
def test_another_version_is_refused(folder: Path, content: str, version: int | None) -> None:
    (folder / "policy.json").write_text(content)
    message = (
        f"has version {version}; this program reads version 3. Make it again, with the command"
    )
    with pytest.raises(ArtifactError, match=re.escape(message)):
        load_policy(folder)


def test_loading_an_old_policy_names_the_command_that_remakes_it(tmp_path: Path) -> None:
    """A run from before a rename: `action_flexibility` was called `bound`."""
    folder = tmp_path / "run" / "policy" / "td3"
    folder.mkdir(parents=True)
    command = "/somewhere/mtf_rl/train.py td3 --preset smoke"
    (tmp_path / "run" / "provenance.json").write_text(json.dumps({"command": command}))
    (folder / "policy.json").write_text(json.dumps({"version": 2, "kind": "mlp", "bound": None}))
    with pytest.raises(
        ArtifactError,
        match=r"reads version 3. Make it again: python -m mtf_rl.train td3 --preset smoke$",
    ):
        load_policy(folder)


def few_inputs(policy: SavedPolicy, unused: int) -> SavedPolicy:
    """The same policy, with one observed number that has no effect."""

    def without_input(network: Mlp) -> Mlp:
        first = network.weights[0].copy()
        first[:, unused] = 0.0
        return replace(network, weights=(first, *network.weights[1:]))

    if isinstance(policy, MlpPolicy):
        return replace(policy, network=without_input(policy.network))
    assert isinstance(policy, GenerativePolicy)
    return replace(
        policy,
        decoder=without_input(policy.decoder),
        perturbation=without_input(policy.perturbation),
        critic=without_input(policy.critic),
    )


@pytest.mark.parametrize("kind", ["mlp", "generative"])
@pytest.mark.parametrize("unused", [0, 1, 2])
def test_only_inputs_that_can_change_an_action_are_saved(
    kind: str, unused: int, tmp_path: Path
) -> None:
    policy = FusionPolicy(few_inputs(POLICIES[kind], unused), SETTING)
    names = tuple(name for k, name in enumerate(SETTING.observation) if k != unused)
    assert policy.inputs == names
    assert policy.context == tuple(name for name in names if not name.startswith("candidates/"))
    save_policy(tmp_path, policy)
    tensors = load_file(tmp_path / "policy.safetensors")
    assert tensors["mean"].shape == (2,)
    again = load_policy(tmp_path)
    assert again.inputs == names
    observation = np.random.default_rng(1).normal(size=(7, 3)).astype(np.float32)
    np.testing.assert_array_equal(again.predict(observation)[0], policy.predict(observation)[0])
    other = observation.copy()
    other[:, unused] = 7.0
    np.testing.assert_array_equal(again.predict(other)[0], policy.predict(observation)[0])


def test_a_table_policy_reads_one_number(tmp_path: Path) -> None:
    actions = np.linspace(-1.0, 1.0, 12).reshape(2, 6)
    table = TablePolicy(3, 1, np.array([0.5]), actions)
    save_policy(tmp_path, FusionPolicy(table, SETTING))
    again = load_policy(tmp_path)
    assert again.inputs == ("session/log_requests",)
    observation = np.array([[9.0, 0.0, 9.0], [0.0, 0.5, 0.0]], dtype=np.float32)
    np.testing.assert_array_equal(again.predict(observation)[0], actions.astype(np.float32))


def test_settings_and_policies_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError, match=re.escape("action must have shape (action_dim) = (6,)")):
        FusionPolicy(ConstantPolicy(np.zeros(3)), SETTING)
    with pytest.raises(DataError, match=re.escape("an action must be in [-1, 1]; row 2")):
        FusionPolicy(ConstantPolicy(np.array([0, 0, 2, 0, 0, 0])), SETTING)
    with pytest.raises(ShapeError, match=re.escape("the policy must have obs_dim = 3")):
        FusionPolicy(mlp_policy(4, 6), SETTING)
    with pytest.raises(
        ShapeError, match=re.escape("must have action_dim = 6 for formula 'power_pro")
    ):
        FusionPolicy(mlp_policy(3, 8), SETTING)
    with pytest.raises(UnknownNameError, match=re.escape("Unknown fusion formula 'log_sums'")):
        replace(SETTING.fusion, formula="log_sums")
    with pytest.raises(ConfigError, match=re.escape("base of hate must be in [-1, 0], got 0.25")):
        replace(SETTING.fusion, base=(1.0, 0.25, 0.5))


def test_context_excludes_inputs_computed_from_predictions() -> None:
    dynamics = toy_dynamics()
    assert fusion_policy(dynamics, ConstantPolicy(np.zeros(8))).context == ()
    policy = fusion_policy(dynamics, mlp_policy(dynamics.layout.size, 8))
    assert policy.context == dynamics.layout.profile + dynamics.layout.session
