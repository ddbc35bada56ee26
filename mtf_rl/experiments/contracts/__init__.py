"""Contracts of every kind of extension, which `mtf_rl.check` and the tests run alike."""

from mtf_rl.experiments.contracts.checking import CONTRACTS, CheckConfig, check_extension
from mtf_rl.experiments.contracts.contract import Check, Contract, ContractError, Verdict

__all__ = [
    "CONTRACTS",
    "Check",
    "CheckConfig",
    "Contract",
    "ContractError",
    "Verdict",
    "check_extension",
]
