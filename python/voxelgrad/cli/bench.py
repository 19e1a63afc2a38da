"""``voxelgrad bench``: the speed of kernels and networks, beside the machine's limits and peers."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import voxelgrad
from voxelgrad.backends import load
from voxelgrad.bench import machine
from voxelgrad.cli.arguments import (
    Commands,
    add_command,
    add_device,
    add_threads,
    at_least,
    use_device,
    use_threads,
)
from voxelgrad.cli.results import tell, write_json
from voxelgrad.dtypes import as_dtype
from voxelgrad.train.folder import writable_folder

_SETS = ("table", "layers")


def add_parser(commands: Commands) -> None:
    """Add the command with its three parts."""
    parser = add_command(
        commands,
        "bench",
        "measure kernels, networks and the machine's limits",
        "Measures medians of interleaved runs. Let nothing else run meanwhile.",
        "  voxelgrad bench limits\n"
        "  voxelgrad bench kernels --only 'conv 8x64' --against torch\n"
        "  voxelgrad bench models --only unet2d --against torch --json figures.json\n"
        "  voxelgrad bench kernels --device cuda --dtype bfloat16 --against torch",
    )
    parts = parser.add_subparsers(
        title="what", metavar="WHAT", required=True, help="limits, kernels or models"
    )
    _add_limits(parts)
    _add_kernels(parts)
    _add_models(parts)


def _add_limits(parts: Commands) -> None:
    parser = add_command(
        parts,
        "limits",
        "multiply-adds, bandwidth, fresh pages",
        "Measures float32 and bfloat16 multiply-adds for each instruction set, traffic with the\n"
        "memory and second-level cache, first touch of fresh pages; with one thread and with all.\n"
        "On a CUDA device: multiply-adds, products on tensor cores, traffic with its memory.",
        "  voxelgrad bench limits --runs 15\n  voxelgrad bench limits --device cuda",
    )
    _add_common(parser, "rows")
    parser.set_defaults(run=_limits)


def _add_kernels(parts: Commands) -> None:
    parser = add_command(
        parts,
        "kernels",
        "single layers, all passes",
        "Measures all passes of layers. GFLOP/s are those of direct convolution, whatever the\n"
        "algorithm; GB/s count the least traffic. Shares refer to limits of the same run, that of\n"
        "the arithmetic or that of the memory, whichever takes longer at best; Winograd's\n"
        "algorithm and data in cache may pass 100 %. On a CUDA device events take the times, the\n"
        "cache is emptied before each call, and launches do not count.",
        "  voxelgrad bench kernels --list\n"
        "  voxelgrad bench kernels unet2d --against torch --plot roofline.png\n"
        "  voxelgrad bench kernels my_shapes.json --algorithm direct",
    )
    parser.add_argument(
        "sets",
        nargs="*",
        metavar="SET",
        help=f"sets of cases, or .json files (default: {' '.join(_SETS)})",
    )
    parser.add_argument("--list", action="store_true", help="list the cases and stop")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the roofline as PNG there")
    _add_common(parser, "cases")
    _add_peers(parser)
    parser.set_defaults(run=_kernels)


def _add_models(parts: Commands) -> None:
    parser = add_command(
        parts,
        "models",
        "whole networks, training and inference",
        "Measures training steps and inference of unet2d, unet3d, cnn, mlp and lenet: time, page\n"
        "faults, peak memory over the import. A training step counts as three forward passes.\n"
        "On a CUDA device the loss is not read, steps follow each other, memory is that of arrays.",
        "  voxelgrad bench models --against torch --compile\n"
        "  voxelgrad bench models --device cuda --dtype bfloat16 --against torch --compile\n"
        "  voxelgrad bench models --mode inference --against torch,onnxruntime,openvino",
    )
    parser.add_argument(
        "--mode",
        choices=("training", "inference", "both"),
        default="both",
        help="what to run (default: both)",
    )
    parser.add_argument("--batch", type=at_least(1), metavar="N", help="another batch size")
    parser.add_argument(
        "--size", type=at_least(1), metavar="N", help="another image size for U-Nets and the CNN"
    )
    parser.add_argument(
        "--compile",
        nargs="?",
        type=lambda text: text.split(","),
        const=[],
        metavar="MODE,...",
        help="torch.compile takes part too, in these modes (starts slowly; without a MODE in its "
        "default mode, on a CUDA device also in max-autotune and reduce-overhead)",
    )
    _add_common(parser, "networks")
    _add_peers(parser)
    parser.set_defaults(run=_models)


def _add_common(parser: argparse.ArgumentParser, things: str) -> None:
    parser.add_argument(
        "--runs", type=at_least(1), default=7, metavar="N", help="runs of each (default: 7)"
    )
    parser.add_argument(
        "--only", metavar="PATTERN", help=f"only {things} with this in their name; * and ? allowed"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument(
        "--memory-mb",
        type=at_least(1),
        default=256,
        metavar="MB",
        help="size of each array that measures the memory; must exceed the caches (default: 256)",
    )
    add_device(parser)
    add_threads(parser)


def _add_peers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--against",
        type=lambda text: text.split(","),
        default=[],
        metavar="PEER,...",
        help="run torch (default settings and its best), onnxruntime or openvino (inference) too",
    )
    parser.add_argument(
        "--algorithm", metavar="NAME", help="force a convolution algorithm, such as direct"
    )
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16"),
        default="float32",
        help="format of the images; of networks: autocast (default: float32)",
    )
    parser.add_argument(
        "--tf32",
        action="store_true",
        help="with --device cuda everyone may round float32 to TF32 in products (default: no one)",
    )


def _limits(args: argparse.Namespace) -> None:
    from voxelgrad.bench.cases import matches
    from voxelgrad.bench.device_limits import device_limits
    from voxelgrad.bench.limits import all_limits
    from voxelgrad.bench.results import limit_line

    threads = _start(args)
    limits = all_limits(args.runs, threads, args.memory_mb, tell)
    if args.device == "cuda":
        limits = device_limits(args.runs, args.memory_mb, tell)
    found: list[dict[str, Any]] = []
    for limit in limits:
        if args.only is None or matches(limit.name, args.only):
            if not found:
                print(_machine_line(args))
            print(limit_line(limit), flush=True)
            found.append(limit.as_json())
    if not found:
        raise ValueError(f"bench limits: no row matches {args.only!r}; leave --only out")
    _finish(args, {"limits": found})


def _kernels(args: argparse.Namespace) -> None:
    from voxelgrad.bench.cases import read_cases, set_names
    from voxelgrad.bench.roofline import write_roofline
    from voxelgrad.bench.runs import run_kernels

    cases = read_cases(args.sets or (set_names() if args.list else _SETS), args.only)
    if args.list:
        print("\n".join(case.name for case in cases))
        return
    if args.plot is not None:
        writable_folder(args.plot.parent)
        if find_spec("matplotlib") is None:
            raise ImportError("bench: --plot needs matplotlib; pip install 'voxelgrad[plots]'")
    chosen = _contenders(args, compiled=[], graphs=False)
    if "onnxruntime" in args.against or "openvino" in args.against:
        raise ValueError("bench kernels: only torch runs single layers; give --against torch")
    element = as_dtype("bench", args.dtype).itemsize
    results, roof = _print_results(
        args, lambda: run_kernels(cases, chosen, args.runs, element, tell)
    )
    if args.plot is not None:
        write_roofline(args.plot, results, roof)
        print(args.plot)


def _models(args: argparse.Namespace) -> None:
    from voxelgrad.bench.processes import with_compiled
    from voxelgrad.bench.runs import MODES, choose_networks, run_models

    networks = choose_networks(args.only, args.batch, args.size)
    modes = MODES if args.mode == "both" else (args.mode,)
    chosen = with_compiled(_contenders(args, _compile_modes(args), graphs=True))
    _print_results(args, lambda: run_models(networks, modes, chosen, args.runs, tell))


def _compile_modes(args: argparse.Namespace) -> list[str]:
    from voxelgrad.bench.device_contenders import COMPILE_MODES

    if args.compile is None:
        return []
    for mode in args.compile:
        if mode not in COMPILE_MODES:
            raise ValueError(
                f"bench: --compile {mode!r} is unknown; choose from {', '.join(COMPILE_MODES)}"
            )
    return args.compile or list(COMPILE_MODES if args.device == "cuda" else COMPILE_MODES[:1])


def _contenders(args: argparse.Namespace, compiled: list[str], graphs: bool) -> Any:
    from voxelgrad.bench.device_contenders import device_contenders
    from voxelgrad.bench.processes import contenders

    threads = _start(args)
    if args.device == "cuda":
        if args.algorithm:
            raise ValueError("bench: --algorithm is for the CPU; leave it or --device cuda out")
        settings = {"threads": threads, "dtype": args.dtype, "tf32": args.tf32}
        return device_contenders(args.against, settings, compiled, graphs)
    if args.tf32:
        raise ValueError("bench: --tf32 is for CUDA devices; add --device cuda")
    if args.algorithm:
        cpu = load("cpu")
        cpu.set_conv_algorithm(args.algorithm)  # an unknown name is refused here, before any work
        cpu.set_conv_algorithm("")
    return contenders(args.against, threads, args.algorithm, compiled, args.dtype)


def _print_results(args: argparse.Namespace, run: Any) -> tuple[list[Any], Any]:
    from voxelgrad.bench.results import mean_lines, result_lines, roof_line

    tell("measuring the machine's limits")
    roof = _measured_roof(args)
    kind = "tf32" if args.tf32 and args.dtype == "float32" else args.dtype
    print(roof_line(_machine_line(args), kind, roof), flush=True)
    results = []
    for result in run():
        print("\n".join(result_lines(result, roof)), flush=True)
        results.append(result)
    if not results:
        raise ValueError("bench: nothing could be measured, for the reasons above")
    for line in mean_lines(results):
        print(line)
    limits = {"dtype": kind, "peak_gflops": roof.peak, "bandwidth_gbs": roof.bandwidth}
    _finish(args, {"limits": limits, "results": [r.as_json(roof) for r in results]})
    return results, roof


def _measured_roof(args: argparse.Namespace) -> Any:
    from voxelgrad.bench.device_limits import device_roof
    from voxelgrad.bench.limits import roof

    if args.device == "cuda":
        return device_roof(args.runs, args.memory_mb, args.dtype, args.tf32)
    return roof(args.runs, load("cpu").num_threads(), args.memory_mb, args.dtype)


def _machine_line(args: argparse.Namespace) -> str:
    if args.device == "cuda":
        return f"{machine.version_line()}; {machine.device_line(machine.device())}"
    cpu = load("cpu")
    return f"{machine.version_line()}; {cpu.isa_name()}, {cpu.num_threads()} threads"


def _start(args: argparse.Namespace) -> int:
    use_threads(args)
    use_device(args)
    if args.json is not None:
        writable_folder(args.json.parent)
    return voxelgrad.get_num_threads()


def _finish(args: argparse.Namespace, figures: dict[str, Any]) -> None:
    if args.json is not None:
        about = {**voxelgrad.show_config(), "commit": machine.commit()}
        if args.device == "cuda":
            about["device"] = asdict(machine.device())
        write_json(args.json, {"machine": about, "runs": args.runs, **figures})
