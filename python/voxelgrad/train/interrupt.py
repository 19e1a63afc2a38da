"""Ctrl-C that waits for the end of a training step, where the state is whole."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Interrupt:
    """Notes the first Ctrl-C in ``requested`` inside a ``with`` block; the second one acts at once.

    Signals belong to the main thread: in another thread Ctrl-C keeps its usual meaning.
    """

    requested = False

    def __enter__(self) -> Interrupt:
        """Take over Ctrl-C."""
        self._previous: Any = None
        self._installed = threading.current_thread() is threading.main_thread()
        if self._installed:
            self._previous = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give Ctrl-C back."""
        if self._installed:
            signal.signal(signal.SIGINT, self._previous)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
