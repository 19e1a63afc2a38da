"""Whether operations are recorded: ``no_grad`` and ``enable_grad``, thread by thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class _Mode(threading.local):
    """What this thread does with operations.

    Attributes:
        enabled: Whether they are recorded for ``backward``.
        recorded: Where their nodes are listed too, if somebody wants to know them.
        repeats: Whether they run for a second time, in ``checkpoint``: then nothing but their
            results may change.
    """

    enabled = True
    recorded: list[Any] | None = None
    repeats = False


mode = _Mode()


def is_grad_enabled() -> bool:
    """Return whether operations of this thread are recorded for ``backward``."""
    return mode.enabled


class _SetMode:
    """A context manager and decorator that sets the recording mode of the current thread."""

    _value = True

    def __enter__(self) -> None:
        self._previous = mode.enabled
        mode.enabled = self._value

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        mode.enabled = self._previous

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def inner(*args: P.args, **kwargs: P.kwargs) -> R:
            with type(self)():
                return function(*args, **kwargs)

        return inner


class no_grad(_SetMode):
    """Record nothing inside: ``with no_grad():`` or ``@no_grad()``. In this thread only."""

    _value = False


class enable_grad(_SetMode):
    """Record again inside a ``no_grad`` block: ``with enable_grad():`` or ``@enable_grad()``."""

    _value = True
