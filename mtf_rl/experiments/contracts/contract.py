"""A contract: the requirements of every extension of a kind, as named checks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mtf_rl.core.errors import MtfRlError
from mtf_rl.core.plugins import where_raised
from mtf_rl.core.registry import Registry

__all__ = ["Check", "Contract", "ContractError", "Verdict", "require"]


class ContractError(MtfRlError, AssertionError):
    """An extension breaks its contract."""


def require(holds: Any, message: str) -> None:
    """Raise an error if a condition is false.

    Raises:
        ContractError: with the message.
    """
    if not holds:
        raise ContractError(message)


@dataclass(frozen=True)
class Check:
    """A requirement, and the function that checks it."""

    promise: str
    """The requirement: a sentence that is true for every valid extension."""
    try_it: Callable[[Any], None]
    """Raises an error, preferably a `ContractError`, if the requirement is not met."""


@dataclass(frozen=True)
class Verdict:
    """The result of a check."""

    promise: str
    fault: str | None
    """The error message; None if the check passed."""


@dataclass(frozen=True)
class Contract:
    """The checks of a kind of extension."""

    kind: str
    registry: Registry[Any]
    recognises: Callable[[Any], bool]
    """Whether an imported object looks like this kind."""
    subject: Callable[[str], Any]
    """Makes the argument of the checks from a registered name or `module:Name`.

    Raises a ConfigError if the object is not of this kind.
    """
    checks: tuple[Check, ...]

    def verdicts(self, name: str) -> tuple[Verdict, ...]:
        """Run every check on an extension; an object of another kind fails the first check.

        Args:
            name: a registered name, or `module:Name`.
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
