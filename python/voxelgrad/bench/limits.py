"""The machine's limits: multiply-adds in registers, bytes from memory, fresh pages."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from voxelgrad import backends
from voxelgrad.bench.timing import Timing, interleave, time_once

_THROUGH_CACHE = ("read", "write", "copy", "triad")
_PAST_CACHE = ("copy_past_cache", "triad_past_cache", "spread_past_cache", "gather_past_cache")
_LOPSIDED = ("memory spread past cache", "memory gather past cache")  # limits of few layers
_VECTOR_SETS = ("baseline", "avx2", "avx512")  # the others differ in bfloat16 alone
_SECOND_LEVEL_BYTES = 1 << 19  # a thread: half of the second-level cache of recent processors


@dataclass(frozen=True)
class Limit:
    """One limit.

    Attributes:
        name: What was measured, such as "fma avx512" or "memory triad".
        threads: With how many threads; 0 on a CUDA device, which decides itself.
        unit: "GFLOP/s" or "GB/s".
        work: Floating-point operations or bytes of one run.
        timing: The runs.
    """

    name: str
    threads: int
    unit: str
    work: int
    timing: Timing

    @property
    def rate(self) -> float:
        """The limit in ``unit``."""
        return self.work / self.timing.median / 1e9

    def as_json(self) -> dict[str, Any]:
        """Return the figures for a JSON file."""
        return {
            "name": self.name,
            "threads": self.threads,
            "unit": self.unit,
            "rate": self.rate,
            **self.timing.as_json(),
        }


@dataclass(frozen=True)
class Roof:
    """What kernels are measured against: the best of this machine or device.

    Attributes:
        peak: GFLOP/s of multiply-adds with the active instruction set, float32 or bfloat16; on a
            device by its tensor cores where the kernels may use them.
        bandwidth: GB/s from memory, the best of reading, copying and triad past the cache.
    """

    peak: float
    bandwidth: float


def fma_limits(runs: int, rounds: int = 2_000_000) -> list[Limit]:
    """Measure float32 multiply-adds for each instruction set of this processor.

    Args:
        runs: Runs of each, interleaved.
        rounds: Length of a run; a round is 12 vector instructions.
    """
    cpu = backends.load("cpu")
    names = [name for name in cpu.isa_names() if name in _VECTOR_SETS]
    return _product_limits("fma", names, runs, lambda isa: cpu.run_fma(rounds))


def tile_limits(runs: int, rounds: int = 20_000) -> list[Limit]:
    """Measure products of bfloat16 in blocks of 32 x 32, operands in the first-level cache.

    Args:
        runs: Runs of each instruction set, interleaved.
        rounds: Length of a run; a round is 262144 multiply-adds.
    """
    cpu = backends.load("cpu")
    shorter = rounds // 10  # without tiles a round takes longer
    return _product_limits(
        "bfloat16",
        cpu.isa_names(),
        runs,
        lambda isa: cpu.run_tiles(rounds if isa == "amx" else shorter),
    )


def memory_limits(runs: int, megabytes: int) -> list[Limit]:
    """Measure traffic with the memory.

    Args:
        runs: Runs of each kind, interleaved.
        megabytes: Size of each of the three arrays; they must exceed all caches together.
    """
    kinds = (*_THROUGH_CACHE, *_PAST_CACHE)
    limits = _traffic_limits("memory", kinds, runs, megabytes * 2**20, 1)
    backends.load("cpu").memory_trim()  # the workers that follow shall not lack it
    return limits


def cache_limits(runs: int, rounds: int = 200) -> list[Limit]:
    """Measure traffic with the second-level cache, ``rounds`` passes a run."""
    total = _SECOND_LEVEL_BYTES * backends.load("cpu").num_threads()
    return _traffic_limits("cache", _THROUGH_CACHE, runs, total // 3, rounds)


def first_touch_limits(runs: int, megabytes: int) -> list[Limit]:
    """Measure the first write to fresh memory, in small and in huge pages where the system can."""
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        return []
    size = megabytes * 2**20
    kinds = {"small pages": mmap.MADV_NOHUGEPAGE, "huge pages": mmap.MADV_HUGEPAGE}
    rounds = [[_touch_fresh(size, advice) for advice in kinds.values()] for _ in range(runs)]
    threads = backends.load("cpu").num_threads()
    columns = zip(*rounds, strict=True)
    timings = [
        Timing(tuple(t for t, _ in column), tuple(f for _, f in column)) for column in columns
    ]
    return [
        Limit(f"first touch {name}", threads, "GB/s", size, timing)
        for name, timing in zip(kinds, timings, strict=True)
    ]


def all_limits(
    runs: int, threads: int, megabytes: int, tell: Callable[[str], None], rounds: int = 2_000_000
) -> Iterator[Limit]:
    """Measure everything with one thread, and with all of them.

    Args:
        runs: Runs of each.
        threads: The larger number of threads.
        megabytes: Size of an array for the memory.
        tell: Takes progress, a line at a time.
        rounds: Length of a run of multiply-adds.
    """
    for count in sorted({1, threads}):
        tell(f"measuring the limits with {count} thread{'s' if count > 1 else ''}")
        with thread_count(count):
            yield from fma_limits(runs, rounds)
            yield from tile_limits(runs, rounds // 100)
            yield from memory_limits(runs, megabytes)
            yield from cache_limits(runs)
            yield from first_touch_limits(runs, megabytes)


def roof(runs: int, threads: int, megabytes: int, dtype: str = "float32") -> Roof:
    """Measure what the shares of the kernels' table refer to, for images of ``dtype``."""
    isa = backends.load("cpu").isa_name()
    with thread_count(threads):
        if dtype == "bfloat16":
            limits, name = tile_limits(runs), f"bfloat16 {isa}"
        else:
            vector = isa if isa in _VECTOR_SETS else _VECTOR_SETS[-1]
            limits, name = fma_limits(runs), f"fma {vector}"
        peak = next(limit.rate for limit in limits if limit.name == name)
        memory = memory_limits(runs, megabytes)
        return Roof(peak, max(limit.rate for limit in memory if limit.name not in _LOPSIDED))


@contextmanager
def thread_count(count: int) -> Iterator[None]:
    """Run the kernels with ``count`` threads inside the ``with`` block."""
    cpu = backends.load("cpu")
    before = cpu.num_threads()
    cpu.set_num_threads(count)
    try:
        yield
    finally:
        cpu.set_num_threads(before)


def _product_limits(
    name: str, isas: Sequence[str], runs: int, measured: Callable[[str], int]
) -> list[Limit]:
    """Time ``measured``, which returns its operations, on each instruction set in turns."""
    cpu = backends.load("cpu")
    before = cpu.isa_name()

    def run(isa: str) -> int:
        cpu.set_isa(isa)
        return measured(isa)

    try:
        work = [run(isa) for isa in isas]
        timings = interleave([partial(run, isa) for isa in isas], runs)
    finally:
        cpu.set_isa(before)
    return [
        Limit(f"{name} {isa}", cpu.num_threads(), "GFLOP/s", operations, timing)
        for isa, operations, timing in zip(isas, work, timings, strict=True)
    ]


def _traffic_limits(
    level: str, kinds: Sequence[str], runs: int, array_bytes: int, rounds: int
) -> list[Limit]:
    cpu = backends.load("cpu")
    a, b, output = (cpu.empty((array_bytes // 4,)) for _ in range(3))
    for array in (a, b, output):
        array.fill(0.5)  # some processors move zeros faster

    def run(kind: str) -> int:
        return int(cpu.run_bandwidth(kind, a, b, output, rounds))

    work = [run(kind) for kind in kinds]
    timings = interleave([partial(run, kind) for kind in kinds], runs)
    return [
        Limit(f"{level} {kind.replace('_', ' ')}", cpu.num_threads(), "GB/s", moved, timing)
        for kind, moved, timing in zip(kinds, work, timings, strict=True)
    ]


def _touch_fresh(size: int, advice: int) -> tuple[float, float]:
    cpu = backends.load("cpu")
    with mmap.mmap(-1, size) as memory:
        memory.madvise(advice)
        fresh = np.frombuffer(memory, np.float32)
        measured = time_once(partial(cpu.run_bandwidth, "write", fresh, fresh, fresh, 1))
        # The map can be closed only when nothing refers to it any more.
        del fresh
    return measured
