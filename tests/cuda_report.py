"""What only a machine with a GPU can tell: runs all of it and writes the rows of docs/cuda.md.

``python tests/cuda_report.py --out report --data data/lgg``. Steps that are done are kept in
DIR/report.json, so it may be stopped and started again; logs of the commands lie beside it. Exit
status: 0 if every step reached what docs/cuda.md asks for, 1 if not, 2 without a device.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from voxelgrad import backends
from voxelgrad.files import write_atomically

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ("memcheck", "racecheck", "initcheck")
FILES = ("emulation", "convolution", "backend", "graph", "capture", "training")
CASES = [f"tests/test_cuda_{name}.py" for name in FILES]
ON_DEVICE = {"VOXELGRAD_TEST_CUDA": "1"}
# Without a pool every array is an allocation of its own, whose bounds the tools know.
WITHOUT_POOL = {**ON_DEVICE, "VOXELGRAD_TEST_CUDA_POOL": "0"}
VOXELGRAD = [sys.executable, "-m", "voxelgrad"]
LEAST = {"kernels": 0.9, "steps": 1.3, "memory": 0.85}
DICE = 0.01

Run = Callable[[str, Sequence[str], Mapping[str, str]], "Done"]


@dataclass(frozen=True)
class Done:
    """A command that has ended: its exit status and what it printed."""

    status: int
    text: str

    def last_line_with(self, word: str) -> str:
        """Return the last line that has ``word`` in it, or the last line of all."""
        lines = [line.strip(" =") for line in self.text.splitlines() if line.strip()]
        found = [line for line in lines if word in line]
        return (found or lines or ["printed nothing"])[-1]


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        what: What was run.
        said: What it printed, in short.
        reached: Whether that is what docs/cuda.md asks for.
    """

    what: str
    said: str
    reached: bool


@dataclass(frozen=True)
class Options:
    """Where results go, where the patients are, for how many epochs they are trained on."""

    out: Path
    data: Path | None
    epochs: int | None


def info(run: Run, options: Options) -> Row:
    done = run("info", [*VOXELGRAD, "info"], {})
    line = next((line for line in done.text.splitlines() if line.startswith("cuda")), "")
    said = line.removeprefix("cuda").strip()
    return Row("`voxelgrad info`", said, said.startswith("available"))


def cases(run: Run, options: Options) -> Row:
    done = run("cases", [sys.executable, "-m", "pytest", *CASES], ON_DEVICE)
    said = done.last_line_with(" passed")
    return Row("op cases in float32, in bfloat16", said, done.status == 0)


def sanitized(tool: str, run: Run, options: Options) -> Row:
    checked = ["compute-sanitizer", "--tool", tool, "--error-exitcode", "1"]
    tests = [sys.executable, "-m", "pytest", "-x", "-m", "sanitized", *CASES[:2]]
    done = run(tool, [*checked, *tests], WITHOUT_POOL)
    return Row(tool, done.last_line_with("SUMMARY"), done.status == 0)


def training(run: Run, options: Options) -> Row:
    what = "LGG training: Dice on the device and on the CPU"
    if options.data is None:
        return Row(what, "not run: give --data", False)
    dice = {}
    for device in ("cuda", "cpu"):
        folder = options.out / f"lgg-{device}"
        metrics = folder / "metrics.json"
        if not metrics.exists():
            command = [*VOXELGRAD, "train", str(options.data), "--out", str(folder)]
            begun = (folder / "last.ckpt.safetensors").exists()
            command += ["--device", device, *(["--resume"] if begun else [])]
            if options.epochs and not begun:
                command += ["--epochs", str(options.epochs)]
            if run(f"training-{device}", command, {}).status:
                return Row(what, f"the training on {device} failed", False)
        dice[device] = json.loads(metrics.read_text())["mean"]["mean_dice"]
    said = f"{dice['cuda']:.4f} and {dice['cpu']:.4f}"
    return Row(what, said, abs(dice["cuda"] - dice["cpu"]) <= DICE)


def kernels(run: Run, options: Options) -> Row:
    results = _bench(run, options, "kernels", ["unet2d", "unet3d", "--against", "torch"])
    by_pass: dict[str, list[float]] = {}
    for result in results:
        if result["flops"] and result["best_ratio"] is not None:
            by_pass.setdefault(result["run"], []).append(result["best_ratio"])
    what = "convolutions against cuDNN's best, bfloat16"
    if not by_pass:
        return Row(what, "no figures", False)
    mean = _mean([ratio for ratios in by_pass.values() for ratio in ratios])
    passes = ", ".join(f"{name} {_mean(ratios):.2f}" for name, ratios in by_pass.items())
    return Row(what, f"geometric mean {mean:.2f} ({passes})", mean >= LEAST["kernels"])


def steps(run: Run, options: Options) -> Row:
    arguments = ["--mode", "training", "--only", "unet", "--against", "torch", "--compile"]
    results = _bench(run, options, "models", arguments)
    what = "training steps against PyTorch's best, bfloat16"
    found = {result["name"]: result["best_ratio"] for result in results if result["best_ratio"]}
    if not found:
        return Row(what, "no figures", False)
    has_graph = all("voxelgrad compiled" in result["contenders"] for result in results)
    said = ", ".join(f"{name} {ratio:.2f}" for name, ratio in found.items())
    said += f"; the step {'was' if has_graph else 'was not'} captured"
    return Row(what, said, has_graph and min(found.values()) >= LEAST["steps"])


def memory(run: Run, options: Options) -> Row:
    results = _bench(run, options, "kernels", ["layers"])
    shares = {
        f"{result['name']}, {result['run']}": result["share"]
        for result in results
        if result["limit"] == "bandwidth" and result["share"]
    }
    what = "memory-bound kernels: share of the measured bandwidth, bfloat16"
    if not shares:
        return Row(what, "no figures", False)
    least = min(shares, key=lambda name: shares[name])
    said = f"geometric mean {_mean(list(shares.values())):.0%}, least {shares[least]:.0%} ({least})"
    return Row(what, said, shares[least] >= LEAST["memory"])


STEPS: dict[str, Callable[[Run, Options], Row]] = {
    "info": info,
    "cases": cases,
    **{tool: partial(sanitized, tool) for tool in TOOLS},
    "training": training,
    "kernels": kernels,
    "steps": steps,
    "memory": memory,
}


def _bench(run: Run, options: Options, kind: str, arguments: Sequence[str]) -> list[Any]:
    path = options.out / f"{kind}-{arguments[0].strip('-')}.json"
    command = [*VOXELGRAD, "bench", kind, *arguments, "--device", "cuda", "--dtype", "bfloat16"]
    done = run(path.stem, [*command, "--json", str(path)], {})
    results: list[Any] = [] if done.status else json.loads(path.read_text())["results"]
    return results


def _mean(values: Sequence[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))


def runner(folder: Path) -> Run:
    """Return what runs a command in the checkout and keeps its output in ``folder``."""

    def run(name: str, command: Sequence[str], variables: Mapping[str, str]) -> Done:
        shown = " ".join([*(f"{k}={v}" for k, v in variables.items()), *command])
        print(f"{name}: {shown}", file=sys.stderr, flush=True)
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "python"), **variables}
        try:
            done = subprocess.run(
                command,
                cwd=ROOT,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        except OSError as error:
            return Done(127, f"cannot run {command[0]}: {error.strerror}")
        (folder / f"{name}.log").write_text(f"$ {shown}\n{done.stdout}")
        return Done(done.returncode, done.stdout)

    return run


def table(rows: Sequence[Row]) -> str:
    """Return the rows for docs/cuda.md."""
    lines = ["| | what it printed | reached |", "|---|---|---|"]
    lines += [f"| {r.what} | {r.said} | {'yes' if r.reached else 'no'} |" for r in rows]
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None, run: Run | None = None) -> int:
    """Run the steps; see the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="for the results")
    parser.add_argument("--data", type=Path, metavar="DIR", help="patients, for the training")
    parser.add_argument("--epochs", type=int, metavar="N", help="of the trainings")
    parser.add_argument(
        "--only", choices=STEPS, action="append", help="run this step, done or not; may be repeated"
    )
    args = parser.parse_args(argv)
    problem = backends.cuda_problem()
    if problem:
        print(f"cuda_report: CUDA is not available: {problem}", file=sys.stderr)
        return 2
    out = args.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    data = args.data.resolve() if args.data else None
    options = Options(out, data, args.epochs)
    state = out / "report.json"
    rows = (
        {name: Row(**row) for name, row in json.loads(state.read_text()).items()}
        if state.exists()
        else {}
    )
    for name in args.only or [name for name in STEPS if name not in rows]:
        rows[name] = STEPS[name](run or runner(out), options)
        print(f"{name}: {rows[name].said}", file=sys.stderr, flush=True)
        kept = {name: asdict(row) for name, row in rows.items()}
        write_atomically(state, json.dumps(kept, indent=2).encode())
    shown = [rows[name] for name in STEPS if name in rows]
    print(table(shown), end="")
    return 0 if all(row.reached for row in shown) else 1


if __name__ == "__main__":
    sys.exit(main())
