"""A contract: what every extension of a kind must do, as named checks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mtf_rl.core.errors import MtfRlError
from mtf_rl.core.plugins import where_raised
from mtf_rl.core.registry import Registry

__all__ = ["Check", "Contract", "ContractError", "Verdict", "require"]


class ContractError(MtfRlError, AssertionError):
    """An extension breaks its contract."""


def require(holds: Any, complaint: str) -> None:
    """Refuse what does not hold.

    Raises:
        ContractError: with the complaint.
    """
    if not holds:
        raise ContractError(complaint)


@dataclass(frozen=True)
class Check:
    """One promise, and what tries it."""

    promise: str
    """A sentence that is true of every extension of the kind."""
    try_it: Callable[[Any], None]
    """Raises an error, best a `ContractError`, where the promise is broken."""


@dataclass(frozen=True)
class Verdict:
    """What came of a check."""

    promise: str
    fault: str | None
    """What is wrong; None where the promise is kept."""


@dataclass(frozen=True)
class Contract:
    """The checks of a kind."""

    kind: str
    registry: Registry[Any]
    recognises: Callable[[Any], bool]
    """Whether an imported object looks like this kind."""
    subject: Callable[[str], Any]
    """From a name of the registry or `module:Name` to what the checks are given.

    Raises a ConfigError if the object is not of the kind.
    """
    checks: tuple[Check, ...]

    def verdicts(self, name: str) -> tuple[Verdict, ...]:
        """Every check tried on one extension; an object of another kind breaks the first promise.

        Args:
            name: registered, or `module:Name`.
        """
        first = f"it is {'an' if self.kind[0] in 'ae' else 'a'} {self.kind}"
        try:
            subject = self.subject(name)
        except MtfRlError as error:
            return (Verdict(first, str(error)),)
        except Exception as error:  # noqa: BLE001  (whatever an extension raises is its fault)
            return (Verdict(first, where_raised(error)),)
        return (Verdict(first, None), *(_tried(check, subject) for check in self.checks))


def _tried(check: Check, subject: Any) -> Verdict:
    try:
        check.try_it(subject)
    except MtfRlError as error:
        return Verdict(check.promise, str(error))
    except Exception as error:  # noqa: BLE001  (whatever an extension raises is its fault)
        return Verdict(check.promise, where_raised(error))
    return Verdict(check.promise, None)
