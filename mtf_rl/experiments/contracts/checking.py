"""Finds the kind of an extension and checks its contract."""

from typing import Any

from mtf_rl.core.errors import ConfigError
from mtf_rl.core.plugins import import_from_path, is_import_path
from mtf_rl.core.registry import Registry
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.contracts.agents import AGENT_CONTRACT
from mtf_rl.experiments.contracts.config import CheckConfig
from mtf_rl.experiments.contracts.contestants import CONTESTANT_CONTRACT
from mtf_rl.experiments.contracts.contract import Contract
from mtf_rl.experiments.contracts.estimators import ESTIMATOR_CONTRACT
from mtf_rl.experiments.contracts.formulas import ACTION_MAP_CONTRACT, FORMULA_CONTRACT
from mtf_rl.experiments.contracts.rewards import REWARD_CONTRACT
from mtf_rl.experiments.contracts.scorers import SCORER_CONTRACT

__all__ = ["CONTRACTS", "check_extension"]

# Objects are recognised in this order. Any function can be a reward, so rewards are last.
CONTRACTS: Registry[Contract] = Registry(
    "kind of extension",
    {
        "agent": AGENT_CONTRACT,
        "scorer": SCORER_CONTRACT,
        "formula": FORMULA_CONTRACT,
        "action_map": ACTION_MAP_CONTRACT,
        "estimator": ESTIMATOR_CONTRACT,
        "contestant": CONTESTANT_CONTRACT,
        "reward": REWARD_CONTRACT,
    },
)


def check_extension(config: CheckConfig, terminal: Terminal) -> bool:
    """Run every check of the extension's contract, and print the results.

    Returns:
        Whether all checks passed.

    Raises:
        ConfigError: if the extension cannot be imported, or its kind is not clear.
    """
    kind = _kind_of(config.name) if config.kind == "auto" else config.kind
    verdicts = CONTRACTS[kind].verdicts(config.name)
    faults = [verdict for verdict in verdicts if verdict.fault is not None]
    terminal.stage(f"{config.name}: {kind.replace('_', ' ')}")
    for verdict in verdicts:
        terminal.say(f"  {'ok   ' if verdict.fault is None else 'FAULT'} {verdict.promise}")
        if verdict.fault is not None:
            terminal.say(f"        {verdict.fault}")
    terminal.say(
        f"{len(verdicts) - len(faults)} of {len(verdicts)} checks passed."
        + (" docs/extending.md describes the contract." if faults else "")
    )
    return not faults


def _kind_of(name: str) -> str:
    """The kind of an extension.

    Raises:
        ConfigError: if no kind fits, or more than one for a registered name.
    """
    if is_import_path(name):
        own: Any = import_from_path(name, "extension")
        fitting = [kind for kind, contract in CONTRACTS.items() if contract.recognises(own)][:1]
    else:
        fitting = [kind for kind, contract in CONTRACTS.items() if name in contract.registry]
    if len(fitting) == 1:
        return fitting[0]
    reason = f"can be {' or '.join(fitting)}" if fitting else "is of no known kind"
    raise ConfigError(f"{name!r} {reason}. Give its kind: --kind {'|'.join(fitting or CONTRACTS)}")
