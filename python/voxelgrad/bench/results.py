"""What was measured, its ratios, and the lines of the tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from voxelgrad.bench.limits import Limit, Roof
from voxelgrad.bench.processes import OWN, OWN_COMPILED
from voxelgrad.bench.timing import Timing


@dataclass(frozen=True)
class Result:
    """One pass of a case or a mode of a network, by all contenders that can do it.

    Attributes:
        name: Of the case or the network.
        run: The pass or the mode.
        flops: Operations of direct convolution; 0 for layers that only move bytes.
        bytes: Least traffic with the memory; 0 where it is not known.
        timings: Of every contender, by name.
    """

    name: str
    run: str
    flops: int
    bytes: int
    timings: dict[str, Timing]

    @property
    def own(self) -> Timing | None:
        """voxelgrad's timing; None if it could not do it."""
        return self.timings.get(OWN)

    def rate(self, contender: str = OWN) -> float:
        """Return GFLOP/s, or GB/s for layers that only move bytes."""
        return (self.flops or self.bytes) / self.timings[contender].median / 1e9

    def limit(self, roof: Roof) -> str:
        """Return what bounds the work at best: ``"peak"`` or ``"bandwidth"`` (the roofline)."""
        bound_by_bytes = self.bytes / roof.bandwidth > self.flops / roof.peak
        return "bandwidth" if bound_by_bytes else "peak"

    def share(self, roof: Roof) -> float:
        """Return voxelgrad's rate as a share of what bounds it."""
        least = max(self.bytes / roof.bandwidth, self.flops / roof.peak) / 1e9
        return least / self.timings[OWN].median

    def ratios(self) -> dict[str, float]:
        """Return each peer's median over voxelgrad's best: above 1, voxelgrad is faster."""
        medians = {name: timing.median for name, timing in self.timings.items()}
        own = [medians.pop(name) for name in (OWN, OWN_COMPILED) if name in medians]
        return {name: median / min(own) for name, median in medians.items()} if own else {}

    def as_json(self, roof: Roof) -> dict[str, Any]:
        """Return everything for a JSON file."""
        ratios = self.ratios()
        return {
            "name": self.name,
            "run": self.run,
            "flops": self.flops,
            "bytes": self.bytes,
            "rate": self.rate() if self.own else None,
            "unit": self.unit,
            "share": self.share(roof) if self.own else None,
            "limit": self.limit(roof),
            "ratios": ratios,
            "best_ratio": min(ratios.values()) if ratios else None,
            "contenders": {name: timing.as_json() for name, timing in self.timings.items()},
        }

    @property
    def unit(self) -> str:
        """Unit of the rates."""
        return "GFLOP/s" if self.flops else "GB/s"


def limit_line(limit: Limit) -> str:
    """Return a row of the limits' table."""
    threads = f"{limit.threads} thread{'s' if limit.threads > 1 else ' '}"
    line = f"{limit.name:28}{threads if limit.threads else '':>10}{limit.rate:9.1f} {limit.unit:8}"
    line += f"spread {limit.timing.spread:4.0%}"
    return line + (f"  page faults {limit.timing.median_faults:.0f}" if limit.timing.faults else "")


def roof_line(machine: str, dtype: str, roof: Roof) -> str:
    """Return what the shares refer to."""
    return f"{machine}: {dtype} peak {roof.peak:.0f} GFLOP/s, bandwidth {roof.bandwidth:.1f} GB/s"


def result_lines(result: Result, roof: Roof) -> list[str]:
    """Return the rows of a result, one for each contender, ratios at the end."""
    ratios = result.ratios()
    lines = []
    for name, timing in result.timings.items():
        line = f"{result.name:38} {result.run:16}{name:28}{timing.median * 1e3:10.3f} ms"
        line += f" {timing.spread:5.0%}{result.rate(name):9.1f} {result.unit:8}"
        line += f"{timing.median_faults:9.0f} faults" if timing.faults else ""
        # A process that ran many cases has the peak of all of them: nothing to show.
        line += "" if result.bytes else f"{timing.peak_bytes / 2**20:7.0f} MB"
        if name == OWN:
            line += f"  {result.share(roof):4.0%} of the {result.limit(roof)}"
        elif name in ratios:
            line += f"  {ratios[name]:.2f} x voxelgrad's time"
        lines.append(line)
    return lines


def mean_lines(results: Sequence[Result]) -> list[str]:
    """Return the geometric means, over all results of a pass, of the ratios to the best peer."""
    best: dict[str, list[float]] = {}
    for result in results:
        ratios = result.ratios()
        if ratios:
            best.setdefault(result.run, []).append(min(ratios.values()))
    return [
        f"best peer / voxelgrad, {run}: geometric mean "
        f"{math.exp(sum(map(math.log, found)) / len(found)):.2f}, least {min(found):.2f}, "
        f"{len(found)} cases"
        for run, found in best.items()
    ]
