"""Finding out what an extension is, and trying its contract."""

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

# In this order an object is recognised: a reward is any function, so it comes last.
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
    """Try every promise of the extension's contract, and print what came of it.

    Returns:
        Whether all are kept.

    Raises:
        ConfigError: if it cannot be imported, or it is not clear what it is.
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
    """What an extension is.

    Raises:
        ConfigError: if no kind or, for a registered name, more than one fits.
    """
    if is_import_path(name):
        own: Any = import_from_path(name, "extension")
        fitting = [kind for kind, contract in CONTRACTS.items() if contract.recognises(own)][:1]
    else:
        fitting = [kind for kind, contract in CONTRACTS.items() if name in contract.registry]
    if len(fitting) == 1:
        return fitting[0]
    found = f"it may be {' or '.join(fitting)}" if fitting else "it is of no known kind"
    raise ConfigError(f"{name!r}: {found}. Name its kind: --kind {'|'.join(fitting or CONTRACTS)}")
