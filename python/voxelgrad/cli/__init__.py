"""The command line: ``voxelgrad <command>``; each command is a module of this package.

Results go to standard output, progress to standard error. Exit codes: 0 done, 1 internal failure,
2 a mistake in the input or its use, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence

import voxelgrad
from voxelgrad.cli import bench, convert, demo, evaluate, info, predict, train

OK, INTERNAL, MISTAKE, INTERRUPTED = 0, 1, 2, 130
_COMMANDS = (info, demo, train, evaluate, predict, bench, convert)
_EPILOG = """\
examples:
  voxelgrad demo                                       see it work, without any data
  voxelgrad train data/lgg --out runs/lgg              train, and test on held-out patients
  voxelgrad predict runs/lgg/model.safetensors data/new --out masks

environment:
  VOXELGRAD_NUM_THREADS   threads of the kernels (default: the CPUs this process may use)
  VOXELGRAD_ISA           highest instruction set to use: baseline, avx2 or avx512
  VOXELGRAD_TRACEBACK=1   show where an error comes from
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    Args:
        argv: The arguments without the program's name; those of the process by default.
    """
    args = build_parser().parse_args(argv)
    try:
        args.run(args)
        # A closed pipe (`| head`) shows only when the buffer is emptied.
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _fail("stopped", INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except (ValueError, TypeError, OSError, ImportError) as error:
        return _fail(f"error: {_one_line(error)}", MISTAKE)
    except MemoryError as error:
        message = f"error: not enough memory ({_one_line(error)}); lower --batch-size or --features"
        return _fail(message, MISTAKE)
    except Exception as error:
        message = f"internal failure: {type(error).__name__}: {_one_line(error)}"
        return _fail(f"{message}; set VOXELGRAD_TRACEBACK=1 to see where", INTERNAL)
    return OK


def build_parser() -> argparse.ArgumentParser:
    """Return the parser with all commands."""
    parser = argparse.ArgumentParser(
        prog="voxelgrad",
        description="Trains, tests and runs convolutional networks on medical images.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=voxelgrad.__version__)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in _COMMANDS:
        module.add_parser(commands)
    return parser


def _fail(message: str, code: int) -> int:
    if os.environ.get("VOXELGRAD_TRACEBACK") == "1":
        traceback.print_exc()
    print(f"voxelgrad: {message}", file=sys.stderr)
    return code


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
