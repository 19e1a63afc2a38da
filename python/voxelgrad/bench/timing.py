"""Times of one thing that ran several times."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

try:
    import resource
except ImportError:  # there is none on Windows: page faults then read as zero
    resource = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Timing:
    """Measurements of one thing.

    Attributes:
        seconds: Time of each run, in order.
        faults: Minor page faults of each run.
        peak_bytes: Peak resident memory of the process over what its imports need; 0 if unknown.
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
        return {
            "median": self.median,
            "min": min(self.seconds),
            "max": max(self.seconds),
            "seconds": list(self.seconds),
            "page_faults": self.median_faults,
            "peak_bytes": self.peak_bytes,
        }


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
