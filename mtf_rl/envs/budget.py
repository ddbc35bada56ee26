"""Interaction budget: the number of simulated requests that a method may use."""

from collections.abc import Callable

from mtf_rl.core.errors import ConfigError, MtfRlError

__all__ = ["BudgetExceededError", "RequestBudget"]


class BudgetExceededError(MtfRlError, RuntimeError):
    """A method exceeded its budget of simulated requests."""


class RequestBudget:
    """Counter of simulated requests with a limit.

    Environments and rollouts charge the budget, so that methods need not count requests.

    Args:
        limit: maximum number of requests, >= 0; None: no limit.
        on_spend: callback with the number of requests of each charge, such as a progress bar.

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
        """Remaining requests; infinite without a limit."""
        return float("inf") if self.limit is None else self.limit - self.used

    def spend(self, requests: int) -> None:
        """Charge requests before they are served.

        Raises:
            BudgetExceededError: if fewer requests are left; the budget is then unchanged.
        """
        if requests > self.left:
            raise BudgetExceededError(
                f"{requests} more requests would exceed the budget of {self.limit} "
                f"({self.used} used)"
            )
        self.used += requests
        if self.on_spend is not None:
            self.on_spend(requests)
