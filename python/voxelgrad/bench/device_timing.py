"""Times on a CUDA device, by its own events.

Kernels: before each call a buffer four times as large as the second-level cache is read, so that
the call finds nothing of its own there (and nothing that would have to be written back first), and
so often that the device is busy until the host has queued the call: what is measured is the device,
not the launch. Networks: calls follow each other, as in a training; their arrays exceed the cache,
where they do not, they profit as they would at work, and launches that the device waits for count.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

CACHE_READS = 4  # sizes of the cache that are read to empty it
_LEAST_SECONDS = {True: 0.01, False: 0.1}  # of a run: of kernels, of networks
_MOST_CALLS = {True: 100, False: 1000}
_MOST_READS = 50
_WARM_CALLS = 3


class Clock(Protocol):
    """What a library tells of its device and stream."""

    def record(self) -> Any:
        """Return an event that happens once all that was queued before it is done."""

    def seconds(self, start: Any, end: Any) -> float:
        """Return the time between two events; waits for them."""

    def read_past_cache(self) -> None:
        """Queue a read of ``CACHE_READS`` times the size of the cache."""

    def peak_of(self, function: Callable[[], object]) -> int:
        """Call ``function`` and return the most bytes that arrays took meanwhile."""

    def free(self) -> None:
        """Give the memory that no array takes back to the device."""


@dataclass(frozen=True)
class Run:
    """How a function is run.

    Attributes:
        calls: One after the other.
        reads: Reads past the cache before each call; 0 times all calls as one.
    """

    calls: int
    reads: int


def time_run(clock: Clock, function: Callable[[], object], run: Run) -> float:
    """Return the seconds of one call of ``function`` on the device."""
    if not run.reads:
        start = clock.record()
        for _ in range(run.calls):
            function()
        return clock.seconds(start, clock.record()) / run.calls
    events = []
    for _ in range(run.calls):
        for _ in range(run.reads):
            clock.read_past_cache()
        start = clock.record()
        function()
        events.append((start, clock.record()))
    return sum(clock.seconds(*pair) for pair in events) / run.calls


def plan_run(clock: Clock, function: Callable[[], object], is_kernel: bool) -> Run:
    """Return how to run a function that was called before: see the head of this module."""
    reads = 0
    if is_kernel:
        clock.read_past_cache()
        one_read = time_run(clock, clock.read_past_cache, Run(_WARM_CALLS, 0))
        queueing = _host_seconds(clock, function)
        reads = min(1 + math.ceil(2 * queueing / one_read), _MOST_READS)
    seconds = time_run(clock, function, Run(_WARM_CALLS, reads))
    calls = math.ceil(_LEAST_SECONDS[is_kernel] / max(seconds, 1e-9))
    return Run(min(max(calls, _WARM_CALLS), _MOST_CALLS[is_kernel]), reads)


class DeviceRuns:
    """What a worker has prepared on a device, in place of ``timing.HostRuns``.

    Args:
        clock: Of the library.
        is_kernel: Whether kernels are run, or networks.
        is_recorded: Whether a step is recorded by its first call and repeated by later ones, which
            then take no memory of their own.
    """

    def __init__(self, clock: Clock, is_kernel: bool, is_recorded: bool) -> None:
        self.clock, self.is_kernel, self.is_recorded = clock, is_kernel, is_recorded
        self._runs: dict[str, Run] = {}
        self._peak: dict[str, int] = {}

    def warm_up(self, name: str, function: Callable[[], object]) -> None:
        """Call ``function`` until it is steady and decide how it will be run."""

        def warm() -> None:
            for _ in range(_WARM_CALLS):
                function()

        peak = self.clock.peak_of(warm)
        self._peak[name] = peak if self.is_recorded else self.clock.peak_of(function)
        self._runs[name] = plan_run(self.clock, function, self.is_kernel)

    def measure(self, name: str, function: Callable[[], object]) -> Mapping[str, float]:
        """Return ``seconds`` of a call and ``peak_bytes`` of a prepared function."""
        seconds = time_run(self.clock, function, self._runs[name])
        return {"seconds": seconds, "peak_bytes": self._peak[name]}


def _host_seconds(clock: Clock, function: Callable[[], object]) -> float:
    """Return the time the host takes to queue a call, while the device has nothing else to do."""
    clock.seconds(clock.record(), clock.record())
    start = time.perf_counter()
    for _ in range(_WARM_CALLS):
        function()
    return (time.perf_counter() - start) / _WARM_CALLS
