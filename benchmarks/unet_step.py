"""One U-Net training step, voxelgrad against PyTorch eager with its default settings.

Each library runs in a process of its own; the steps are interleaved (A B A B ...), so that both see
the same state of the machine. Prints medians, the ratio and the peak resident memory.

python benchmarks/unet_step.py [--runs 7] [--batch 8] [--size 240] [--features 32 64 128 256 512]
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

LIBRARIES = ("voxelgrad", "torch")


def make_batch(args: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    image = rng.standard_normal((args.batch, args.size, args.size, 4), dtype=np.float32)
    return image, rng.integers(0, 4, image.shape[:3])


def voxelgrad_step(args: argparse.Namespace) -> Callable[[], float]:
    import voxelgrad as vg

    image, label = make_batch(args)
    model = vg.models.UNet(4, 4, features=args.features)
    optimizer = vg.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def step() -> float:
        optimizer.zero_grad()
        loss = vg.ops.cross_entropy(model(vg.Tensor(image)), label)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def torch_step(args: argparse.Namespace) -> Callable[[], float]:
    import torch
    from torch_unet import TorchUNet

    image, label = make_batch(args)
    x = torch.from_numpy(image).permute(0, 3, 1, 2).contiguous()
    y = torch.from_numpy(label)
    model = TorchUNet(4, 4, tuple(args.features))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def step() -> float:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def page_faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def serve(library: str, args: argparse.Namespace) -> None:
    """Run one step for every line on standard input; answer with its time and the peak memory."""
    step = {"voxelgrad": voxelgrad_step, "torch": torch_step}[library](args)
    imported = peak_megabytes()
    for _ in sys.stdin:
        faults = page_faults()
        start = time.perf_counter()
        loss = step()
        answer = {
            "seconds": time.perf_counter() - start,
            "loss": loss,
            "faults": page_faults() - faults,
            "peak": peak_megabytes(),
            "over_import": peak_megabytes() - imported,
        }
        print(json.dumps(answer), flush=True)


def measure(args: argparse.Namespace) -> dict[str, list[dict[str, float]]]:
    workers = {
        library: subprocess.Popen(
            [sys.executable, __file__, "--serve", library, *sys.argv[1:]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for library in LIBRARIES
    }
    answers: dict[str, list[dict[str, float]]] = {library: [] for library in LIBRARIES}
    for run in range(args.runs + args.warmup):
        for library, worker in workers.items():
            assert worker.stdin is not None and worker.stdout is not None
            print("step", file=worker.stdin, flush=True)
            answer = json.loads(worker.stdout.readline())
            if run >= args.warmup:
                answers[library].append(answer)
    for worker in workers.values():
        worker.communicate()
    return answers


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=240)
    parser.add_argument("--features", type=int, nargs="+", default=[32, 64, 128, 256, 512])
    parser.add_argument("--serve", choices=LIBRARIES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve, args)
        return
    answers = measure(args)
    print("library     median s    min s    max s  page faults  peak MB  over import MB")
    medians = {}
    for library, rows in answers.items():
        times = [row["seconds"] for row in rows]
        medians[library] = statistics.median(times)
        faults = statistics.median(row["faults"] for row in rows)
        print(
            f"{library:10s}  {medians[library]:8.3f} {min(times):8.3f} {max(times):8.3f} "
            f"{faults:12.0f} {rows[-1]['peak']:8.0f} {rows[-1]['over_import']:15.0f}"
        )
    print(f"ratio of medians, torch / voxelgrad: {medians['torch'] / medians['voxelgrad']:.2f}")


if __name__ == "__main__":
    main()
