"""``voxelgrad info``: what is installed and what this machine offers."""

from __future__ import annotations

import argparse
import os
import platform
from importlib import metadata
from importlib.util import find_spec

import numpy as np

import voxelgrad
from voxelgrad import backends
from voxelgrad.bench import machine
from voxelgrad.cli.arguments import Commands, add_command

_EXTRAS = (
    ("nibabel", "medical"),
    ("PIL", "medical"),
    ("matplotlib", "plots"),
    ("onnx", "onnx"),
)
_DISTRIBUTIONS = {"PIL": "pillow"}


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "info",
        "show versions, instruction set, threads and extras",
        "Shows what is installed and what of this machine is used. Send it with every bug report.",
        "  voxelgrad info\n  VOXELGRAD_ISA=avx2 voxelgrad info",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Print the table."""
    rows = [
        ("voxelgrad", voxelgrad.__version__),
        ("python", f"{platform.python_version()} ({platform.system()} {platform.machine()})"),
        ("numpy", np.__version__),
        *_native(),
        ("cuda", _cuda()),
        *_extras(),
    ]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {value}")


def _native() -> list[tuple[str, str]]:
    try:
        config = voxelgrad.show_config()
    except ImportError as error:
        return [("native kernels", f"missing ({error})")]
    pool = backends.load("cpu").memory_statistics()
    used = config["instruction_set"]
    return [
        ("instruction set", f"{used} (of {', '.join(config['instruction_sets'])})"),
        ("threads", f"{config['threads']} (of {_cpus()} CPUs)"),
        ("memory pool", ", ".join(f"{k.replace('_', ' ')} {v:,} bytes" for k, v in pool.items())),
    ]


def _cuda() -> str:
    problem = backends.cuda_problem()
    if problem:
        return f"not available: {problem}"
    memory = backends.load("cuda").memory_statistics()
    held = ", ".join(f"{k.replace('_', ' ')} {v:,} bytes" for k, v in memory.items())
    return f"available: {machine.device_line(machine.device())}; {held}"


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _extras() -> list[tuple[str, str]]:
    rows = []
    for module, extra in _EXTRAS:
        name = _DISTRIBUTIONS.get(module, module)
        missing = f"missing: pip install 'voxelgrad[{extra}]'"
        rows.append((name, metadata.version(name) if find_spec(module) else missing))
    return rows
