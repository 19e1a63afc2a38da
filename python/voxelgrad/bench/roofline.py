"""The roofline: GFLOP/s against operations for each byte (Williams, Waterman, Patterson 2009)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from io import BytesIO

import numpy as np

from voxelgrad.bench.limits import Roof
from voxelgrad.bench.results import Result
from voxelgrad.files import write_atomically


def write_roofline(path: str | os.PathLike[str], results: Sequence[Result], roof: Roof) -> None:
    """Draw all results that have operations below the machine's roof, as a PNG file.

    Args:
        path: Where to write it.
        results: Those without operations (pools, norms, ...) are left out.
        roof: The machine's limits.

    Raises:
        ValueError: If no result has operations.
        ImportError: If matplotlib is missing.
    """
    drawn = [result for result in results if result.flops and result.bytes]
    if not drawn:
        raise ValueError(
            "bench: --plot draws convolutions and linear layers only; choose some with --only"
        )
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    intensity = np.array([result.flops / result.bytes for result in drawn])
    span = np.geomspace(min(intensity.min() / 2, 1), max(intensity.max() * 2, 100), 200)
    limit = np.minimum(roof.peak, span * roof.bandwidth)
    label = f"direct limit: {roof.peak:.0f} GFLOP/s, {roof.bandwidth:.0f} GB/s"
    axes.loglog(span, limit, color="black", label=label)
    names = list(dict.fromkeys(name for result in drawn for name in result.timings))
    for name, marker in zip(names, "osD^v<>pP" * len(names), strict=False):
        shown = [result for result in drawn if name in result.timings]
        x = [result.flops / result.bytes for result in shown]
        y = [result.rate(name) for result in shown]
        axes.scatter(x, y, marker=marker, s=28, alpha=0.8, label=name)
    axes.set_xlabel("operations of direct convolution for each byte that must move")
    axes.set_ylabel("GFLOP/s of direct convolution")
    axes.grid(True, which="both", alpha=0.25)
    axes.legend(loc="lower right")
    picture = BytesIO()
    figure.savefig(picture, format="png")
    write_atomically(path, picture.getvalue())
