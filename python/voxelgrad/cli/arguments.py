"""Types and options that several commands share."""

from __future__ import annotations

import argparse
import math
from typing import Any

import voxelgrad
from voxelgrad import backends

Commands = Any
"""What ``ArgumentParser.add_subparsers`` returns; argparse keeps the class private."""


def add_command(
    commands: Commands, name: str, summary: str, description: str, examples: str
) -> argparse.ArgumentParser:
    """Add a command with its help: summary in the list, description above, examples below."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Add ``--threads``."""
    parser.add_argument(
        "--threads",
        type=at_least(1),
        metavar="N",
        help="threads of the kernels; results do not depend on it "
        "(default: VOXELGRAD_NUM_THREADS, or the CPUs this process may use)",
    )


def add_prediction(parser: Any, default: Any, mirror: str, largest: str, precision: str) -> None:
    """Add ``--mirror``, ``--largest-component`` and ``--precision``; the texts say the usual."""
    parser.add_argument(
        "--mirror",
        action=argparse.BooleanOptionalAction,
        default=default,
        help="predict every mirror image too and average: steadier, four times the work in 2D, "
        f"eight times in 3D (default: {mirror})",
    )
    parser.add_argument(
        "--largest-component",
        action=argparse.BooleanOptionalAction,
        default=default,
        help="keep only the largest connected piece of each predicted volume: fewer false alarms "
        f"where there is one tumour, a loss where there are several (default: {largest})",
    )
    parser.add_argument(
        "--precision",
        choices=("float32", "bf16"),
        default=default,
        help="format of the images inside the network; bf16 halves their bytes and is several "
        f"times as fast on processors with AMX (default: {precision})",
    )


def add_inference(parser: argparse.ArgumentParser) -> None:
    """Add what ``evaluate`` and ``predict`` share: ``--batch-size`` and the prediction options."""
    parser.add_argument(
        "--batch-size",
        type=at_least(1),
        default=8,
        metavar="N",
        help="images at a time; changes memory, not results (default: 8)",
    )
    usual = "as in the training"
    add_prediction(parser, None, usual, usual, usual)


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add ``--device``."""
    parser.add_argument(
        "--device",
        choices=backends.DEVICES,
        default="cpu",
        help="where to compute; cuda needs an NVIDIA GPU and voxelgrad[cuda] (default: cpu)",
    )


def use_device(args: argparse.Namespace) -> str:
    """Return what ``--device`` says.

    Raises:
        ValueError: If it is cuda and that is not available here, and why.
    """
    problem = backends.cuda_problem() if args.device == "cuda" else ""
    if problem:
        raise ValueError(f"--device cuda: CUDA is not available: {problem}")
    return str(args.device)


def use_threads(args: argparse.Namespace) -> None:
    """Do what ``--threads`` says."""
    if args.threads is not None:
        voxelgrad.set_num_threads(args.threads)


def at_least(least: int) -> Any:
    """Return a type for whole numbers from ``least`` on."""

    def whole(text: str) -> int:
        value = _number(text, int, "a whole number")
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is too small; give {least} or more")
        return int(value)

    return whole


def positive(text: str) -> float:
    """Type for finite numbers above 0."""
    value = float(_number(text, float, "a number"))
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text} is not allowed; give a finite number above 0")
    return value


def widths(text: str) -> tuple[int, ...]:
    """Type for numbers of channels such as ``16,32,64``."""
    return tuple(at_least(1)(part.strip()) for part in text.split(","))


def _number(text: str, kind: type[int] | type[float], name: str) -> float:
    try:
        return kind(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not {name}") from None
