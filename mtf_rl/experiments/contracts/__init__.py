"""Contracts of every kind of extension, for `mtf_rl.check` and for the tests."""

from typing import TYPE_CHECKING

from mtf_rl.core.lazy import lazy_names

if TYPE_CHECKING:
    from mtf_rl.experiments.contracts.checking import CONTRACTS, check_extension
    from mtf_rl.experiments.contracts.config import CheckConfig
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

__getattr__ = lazy_names(__name__, __file__)
