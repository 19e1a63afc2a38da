"""The limits of a CUDA device, by kernels that do nothing else (``cuda/ops/probes.cuh``)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from voxelgrad import backends
from voxelgrad.bench.device_timing import Run, time_run
from voxelgrad.bench.limits import Limit, Roof
from voxelgrad.bench.own_device import BLOCK, OwnClock
from voxelgrad.bench.timing import Timing

# On a multiprocessor: as many as all that are supported hold at once, with their registers.
_THREADS, _WARPGROUP_THREADS = 1024, 512
_TRAFFIC = ("read", "copy", "triad")
_LEAST_SECONDS = 0.005
_MOST_ROUNDS = 1 << 22
_PRODUCTS = {
    "float32": "fma float32",
    "bfloat16": "products bfloat16",
    "tf32": "products tf32",
    "warpgroups": "products bfloat16 wgmma",
}

Probe = Callable[[int], int]


def device_limits(runs: int, megabytes: int, tell: Callable[[str], None]) -> Iterator[Limit]:
    """Measure everything.

    Args:
        runs: Runs of each, interleaved.
        megabytes: Size of each of the three arrays for the memory; they must exceed the cache.
        tell: Takes progress, a line at a time.
    """
    tell("measuring the limits of the device")
    yield from product_limits(runs)
    yield from traffic_limits(runs, megabytes)


def device_roof(runs: int, megabytes: int, dtype: str, tf32: bool) -> Roof:
    """Measure what the shares refer to: multiply-adds as the kernels of ``dtype`` may do them."""
    kind = "tf32" if tf32 and dtype == "float32" else dtype
    if kind == "bfloat16" and backends.load("cuda").has_warpgroups():
        kind = "warpgroups"
    (peak,) = product_limits(runs, [kind])
    return Roof(peak.rate, max(limit.rate for limit in traffic_limits(runs, megabytes)))


def product_limits(runs: int, kinds: Sequence[str] = tuple(_PRODUCTS)) -> list[Limit]:
    """Measure multiply-adds: float32, and on tensor cores by ``mma.sync`` bfloat16 and TF32.

    Where the device has them, products of bfloat16 by warpgroups (``wgmma``), too.
    """
    cuda = backends.load("cuda")
    kinds = [kind for kind in kinds if kind != "warpgroups" or cuda.has_warpgroups()]
    count = cuda.device().describe().multiprocessors
    probes: dict[str, Probe] = {}
    for kind in kinds:
        output = cuda.empty((count * (_WARPGROUP_THREADS if kind == "warpgroups" else _THREADS),))
        probes[_PRODUCTS[kind]] = partial(_multiply, kind, output)
    return _measure(probes, "GFLOP/s", runs)


def traffic_limits(runs: int, megabytes: int) -> list[Limit]:
    """Measure traffic with the device's memory."""
    cuda = backends.load("cuda")
    size = megabytes * 2**18 // BLOCK * BLOCK
    arrays = [cuda.zeros((size,)) for _ in range(3)]
    probes: dict[str, Probe] = {
        f"memory {kind}": partial(_traffic, kind, arrays) for kind in _TRAFFIC
    }
    limits = _measure(probes, "GB/s", runs)
    del arrays, probes
    cuda.device().free()  # the workers that follow shall not lack it
    return limits


def _multiply(kind: str, output: object, rounds: int) -> int:
    cuda = backends.load("cuda")
    if kind == "float32":
        return int(cuda.run_fma(rounds, output))
    return int(cuda.run_products(kind, rounds, output))


def _traffic(kind: str, arrays: list[object], rounds: int) -> int:
    return int(backends.load("cuda").run_bandwidth(kind, *arrays, rounds))


def _measure(probes: dict[str, Probe], unit: str, runs: int) -> list[Limit]:
    """Time probes in turns, each with rounds enough for a run."""
    clock = OwnClock()
    rounds = {name: _rounds(clock, probe) for name, probe in probes.items()}
    work = {name: probe(rounds[name]) for name, probe in probes.items()}
    seconds: dict[str, list[float]] = {name: [] for name in probes}
    for _ in range(runs):
        for name, probe in probes.items():
            once = time_run(clock, partial(probe, rounds[name]), Run(1, 0))
            seconds[name].append(once)
    return [Limit(name, 0, unit, work[name], Timing(tuple(seconds[name]))) for name in probes]


def _rounds(clock: OwnClock, probe: Probe) -> int:
    """Return how many rounds a run of a probe takes: doubled until it is long enough."""
    rounds = 1
    probe(rounds)
    while rounds < _MOST_ROUNDS:
        if time_run(clock, partial(probe, rounds), Run(1, 0)) >= _LEAST_SECONDS:
            break
        rounds *= 2
    return rounds
