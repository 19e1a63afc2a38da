"""Whether operations are recorded, and observed, thread by thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


Observer = Callable[[Any, "list[Any]", Any], None]


class _Mode(threading.local):
    """What this thread does with operations.

    Attributes:
        enabled: Whether they are recorded for ``backward``.
        recorded: Where their nodes are listed too, if somebody wants to know them.
        observer: Called with every op that has run, recorded or not: the ``Function``, its input
            arrays (None where an optional one is missing), and its output array.
        repeats: Whether they run for a second time, in ``checkpoint``: then nothing but their
            results may change.
    """

    enabled = True
    recorded: list[Any] | None = None
    observer: Observer | None = None
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


@contextmanager
def observe(observer: Observer) -> Iterator[None]:
    """Tell ``observer`` of every op that runs in this thread inside the ``with`` block."""
    previous, mode.observer = mode.observer, observer
    try:
        yield
    finally:
        mode.observer = previous
