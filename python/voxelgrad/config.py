"""Threads of the native kernels, and what this build and machine offer."""

from __future__ import annotations

from typing import Any

from voxelgrad import backends


def set_num_threads(count: int) -> None:
    """Set how many threads the native kernels use; results do not depend on it.

    Args:
        count: 1 or more. The default is the number of CPUs this process may run on, or
            ``VOXELGRAD_NUM_THREADS``.

    Raises:
        ValueError: If ``count`` is less than 1.
        TypeError: If it is not an int.
    """
    if not isinstance(count, int) or isinstance(count, bool):
        raise TypeError(f"set_num_threads: count must be an int; got {count!r}")
    if count < 1:
        raise ValueError(f"set_num_threads: count is {count}; it must be 1 or greater")
    backends.load("cpu").set_num_threads(count)


def get_num_threads() -> int:
    """Return how many threads the native kernels use."""
    return int(backends.load("cpu").num_threads())


def show_config() -> dict[str, Any]:
    """Return what is used: version, threads, instruction set, and the ones this CPU has."""
    import voxelgrad

    cpu = backends.load("cpu")
    return {
        "version": voxelgrad.__version__,
        "threads": cpu.num_threads(),
        "instruction_set": cpu.isa_name(),
        "instruction_sets": list(cpu.isa_names()),
    }
