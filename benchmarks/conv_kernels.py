"""The U-Net's 3x3 convolutions: GFLOP/s of each pass and its share of the measured FMA peak.

python benchmarks/conv_kernels.py [--runs 7] [--against torch]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from voxelgrad.backends import cpu

# Batch, input channels, size, output channels.
SHAPES = [
    (8, 4, 240, 32),
    (8, 32, 240, 32),
    (8, 64, 240, 32),
    (8, 64, 120, 64),
    (8, 128, 60, 128),
    (8, 256, 30, 256),
    (8, 512, 15, 512),
]
PASSES = ("forward", "backward data", "backward weight")
Passes = list[Callable[[], Any]]


def median_seconds(functions: Passes, runs: int) -> list[float]:
    """Medians of several functions whose runs are interleaved."""
    times: list[list[float]] = [[] for _ in functions]
    for function in functions:
        function()
    for _ in range(runs):
        for function, samples in zip(functions, times, strict=True):
            start = time.perf_counter()
            function()
            samples.append(time.perf_counter() - start)
    return [statistics.median(samples) for samples in times]


def fma_peak(runs: int) -> float:
    """GFLOP/s of multiply-adds in registers, all threads."""
    rounds = 2_000_000
    operations = cpu.run_fma(rounds)
    return operations / median_seconds([lambda: cpu.run_fma(rounds)], runs)[0] / 1e9


def our_passes(n: int, ic: int, size: int, oc: int) -> Passes:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, size, size, ic), dtype=np.float32)
    w = rng.standard_normal((oc, 3, 3, ic), dtype=np.float32)
    y = rng.standard_normal((n, size, size, oc), dtype=np.float32)
    output, grad_x, grad_w = cpu.empty(y.shape), cpu.empty(x.shape), cpu.empty(w.shape)
    one = (1, 1)
    return [
        lambda: cpu.conv_forward(x, w, None, output, one, one, one, 1),
        lambda: cpu.conv_backward_data(y, w, grad_x, one, one, one, 1),
        lambda: cpu.conv_backward_weight(y, x, grad_w, None, one, one, one, 1),
    ]


def torch_passes(n: int, ic: int, size: int, oc: int) -> Passes:
    import torch

    last = torch.channels_last
    x = torch.randn(n, ic, size, size).contiguous(memory_format=last)
    w = torch.randn(oc, ic, 3, 3).contiguous(memory_format=last)
    y = torch.randn(n, oc, size, size).contiguous(memory_format=last)
    backward = torch.ops.aten.convolution_backward
    settings = ([0], [1, 1], [1, 1], [1, 1], False, [0, 0], 1)
    return [
        lambda: torch.nn.functional.conv2d(x, w, padding=1),
        lambda: backward(y, x, w, *settings, [True, False, False]),
        lambda: backward(y, x, w, *settings, [False, True, False]),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--against", choices=["torch"])
    args = parser.parse_args()
    peak = fma_peak(args.runs)
    print(f"{cpu.isa_name()}, {cpu.num_threads()} threads, FMA peak {peak:.0f} GFLOP/s")
    for shape in SHAPES:
        n, ic, size, oc = shape
        work = 2 * n * size * size * ic * oc * 9 / 1e9
        ours = our_passes(*shape)
        theirs = torch_passes(*shape) if args.against else []
        for index, name in enumerate(PASSES):
            seconds = median_seconds([side[index] for side in (ours, theirs) if side], args.runs)
            rate = work / seconds[0]
            line = f"{n}x{ic}x{size}x{size} -> {oc} {name}".ljust(36)
            line += f"{rate:5.0f} GFLOP/s {rate / peak:4.0%} of the peak"
            if theirs:
                line += f"  torch {work / seconds[1]:5.0f}  ratio {seconds[1] / seconds[0]:.2f}"
            print(line, flush=True)


if __name__ == "__main__":
    main()
