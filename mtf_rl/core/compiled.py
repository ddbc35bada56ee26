"""Compile functions with numba at the first call, so that importing a module stays fast."""

from collections.abc import Callable
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar

__all__ = ["compiled"]

P = ParamSpec("P")
ResultT = TypeVar("ResultT")


class compiled(Generic[P, ResultT]):
    """Decorator: apply `numba.njit(cache=True, nogil=True)` at the first call.

    Compiled functions cannot call a function decorated in this way.
    """

    def __init__(self, function: Callable[P, ResultT]) -> None:
        self._function = function
        self._fast: Callable[P, ResultT] | None = None
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> ResultT:
        """Call the function, compiled."""
        if self._fast is None:
            from numba import njit

            fast: Any = njit(cache=True, nogil=True)(self._function)
            self._fast = fast
        return self._fast(*args, **kwargs)
