"""Times of one thing that ran several times."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

try:
    import resource
except ImportError:  # there is none on Windows: page faults then read as zero
    resource = None  # type: ignore[assignment]


_LEAST_SECONDS = 0.005  # of a run: shorter functions are called several times
_MOST_REPEATS = 1000


@dataclass(frozen=True)
class Timing:
    """Measurements of one thing.

    Attributes:
        seconds: Time of each run, in order.
        faults: Minor page faults of each run; none on a CUDA device.
        peak_bytes: Peak resident memory of the process over what its imports need, or on a CUDA
            device peak memory of arrays; 0 if unknown.
    """

    seconds: tuple[float, ...]
    faults: tuple[float, ...] = ()
    peak_bytes: int = 0

    @property
    def median(self) -> float:
        """Median of the times, in seconds."""
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """Slowest less fastest run, as a share of the median."""
        return (max(self.seconds) - min(self.seconds)) / self.median

    @property
    def median_faults(self) -> float:
        """Median of the minor page faults of a run."""
        return statistics.median(self.faults) if self.faults else 0.0

    def as_json(self) -> dict[str, Any]:
        """Return the figures for a JSON file, times in seconds."""
        figures = {
            "median": self.median,
            "min": min(self.seconds),
            "max": max(self.seconds),
            "seconds": list(self.seconds),
            "peak_bytes": self.peak_bytes,
        }
        return {**figures, "page_faults": self.median_faults} if self.faults else figures


class HostRuns:
    """What a worker has prepared on the CPU."""

    def __init__(self) -> None:
        self._repeats: dict[str, int] = {}
        self._imported = peak_bytes()

    def warm_up(self, name: str, function: Callable[[], object]) -> None:
        """Call ``function`` and decide how many calls are a run."""
        function()
        seconds, _ = time_once(function)
        repeats = math.ceil(_LEAST_SECONDS / max(seconds, 1e-9))
        self._repeats[name] = min(max(repeats, 1), _MOST_REPEATS)

    def measure(self, name: str, function: Callable[[], object]) -> Mapping[str, float]:
        """Return ``seconds`` and page ``faults`` of a call, and the process's ``peak_bytes``."""
        seconds, faults = time_once(function, self._repeats[name])
        peak = max(0, peak_bytes() - self._imported)
        return {"seconds": seconds, "faults": faults, "peak_bytes": peak}


def time_once(function: Callable[[], object], repeats: int = 1) -> tuple[float, float]:
    """Call ``function`` ``repeats`` times; return the seconds and the page faults of one call."""
    faults = page_faults()
    start = time.perf_counter()
    for _ in range(repeats):
        function()
    seconds = time.perf_counter() - start
    return seconds / repeats, (page_faults() - faults) / repeats


def interleave(functions: Sequence[Callable[[], object]], runs: int) -> list[Timing]:
    """Time several functions in turns, A B A B ..., after one call of each to warm up."""
    for function in functions:
        function()
    rounds = [[time_once(function) for function in functions] for _ in range(runs)]
    columns = zip(*rounds, strict=True)
    return [Timing(tuple(t for t, _ in column), tuple(f for _, f in column)) for column in columns]


def page_faults() -> int:
    """Return the minor page faults of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt if resource else 0


def peak_bytes() -> int:
    """Return the peak resident memory of this process in bytes; 0 where the system has no /proc.

    Not getrusage's: that starts a new program with the peak of its parent.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return 0
    lines = dict(line.split(":", 1) for line in status.splitlines())
    return int(lines["VmHWM"].split()[0]) * 1024
