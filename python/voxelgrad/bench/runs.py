"""Running the cases and the networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict

from voxelgrad.bench.cases import Case, matches
from voxelgrad.bench.networks import MODES, NETWORKS, Network
from voxelgrad.bench.processes import Contender, measure, started
from voxelgrad.bench.results import Result

Tell = Callable[[str], None]


def run_kernels(
    cases: Sequence[Case], chosen: Sequence[Contender], runs: int, element: int, tell: Tell
) -> Iterator[Result]:
    """Measure every pass of the cases.

    Args:
        cases: In this order.
        chosen: Who takes part.
        runs: Of each pass and contender.
        element: Bytes of a number of an image.
        tell: Takes progress, a line at a time.
    """
    with started(chosen) as workers:
        for number, case in enumerate(cases, 1):
            tell(f"{number}/{len(cases)}: {case.name}")
            timings = measure(workers, {"case": asdict(case)}, runs, tell)
            for name in case.passes:
                if name in timings:
                    moved = case.bytes_moved(name, element)
                    yield Result(case.name, name, case.flops, moved, timings[name])


def run_models(
    networks: Sequence[Network],
    modes: Sequence[str],
    chosen: Sequence[Contender],
    runs: int,
    tell: Tell,
) -> Iterator[Result]:
    """Measure the networks, each in fresh processes, so that peak memory is its own.

    Args:
        networks: In this order.
        modes: training, inference or both.
        chosen: Who takes part.
        runs: Of each mode and contender.
        tell: Takes progress, a line at a time.
    """
    for network in networks:
        for mode in modes:
            tell(f"{network.name}, {mode}")
            with started(chosen) as workers:
                task = {"network": network.as_json(), "mode": mode}
                timings = measure(workers, task, runs, tell).get(mode)
            if timings:
                yield Result(network.name, mode, network.flops(mode), 0, timings)


def choose_networks(only: str | None, batch: int | None, size: int | None) -> list[Network]:
    """Return the networks whose name matches ``only``, resized.

    Raises:
        ValueError: If none matches.
    """
    found = [n.resized(batch, size) for n in NETWORKS if only is None or matches(n.name, only)]
    if not found:
        names = ", ".join(network.name for network in NETWORKS)
        raise ValueError(f"bench models: no network matches {only!r}; there are {names}")
    return found


__all__ = ["MODES", "choose_networks", "run_kernels", "run_models"]
