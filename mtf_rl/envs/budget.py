"""The interaction budget: simulated requests, counted where they happen."""

from collections.abc import Callable

from mtf_rl.core.errors import ConfigError, MtfRlError

__all__ = ["BudgetExceededError", "RequestBudget"]


class BudgetExceededError(MtfRlError, RuntimeError):
    """A method asked for more simulated requests than it was given."""


class RequestBudget:
    """How many requests a method may simulate, and how many it has.

    Environments and rollouts spend from it as they serve, so that no method counts for itself.

    Args:
        limit: the most that may be spent; None for no limit.
        on_spend: told of every spending, such as a progress bar.

    Raises:
        ConfigError: if the limit is negative.
    """

    def __init__(
        self, limit: int | None = None, on_spend: Callable[[int], object] | None = None
    ) -> None:
        if limit is not None and limit < 0:
            raise ConfigError(f"a budget must be at least 0 requests, got {limit}")
        self.limit = limit
        self.used = 0
        self.on_spend = on_spend

    @property
    def left(self) -> float:
        """Requests still to be had; infinite without a limit."""
        return float("inf") if self.limit is None else self.limit - self.used

    def spend(self, requests: int) -> None:
        """Count requests about to be served.

        Raises:
            BudgetExceededError: if fewer are left; nothing is counted then.
        """
        if requests > self.left:
            raise BudgetExceededError(
                f"{requests} more requests would exceed the budget of {self.limit} "
                f"({self.used} used)"
            )
        self.used += requests
        if self.on_spend is not None:
            self.on_spend(requests)
