"""What a figure was measured on: the sources and the device."""

from __future__ import annotations

import subprocess
from pathlib import Path

import voxelgrad
from voxelgrad import backends
from voxelgrad.backends.cuda_device import Description

_PACKAGE = Path(__file__).resolve().parents[1]


def commit() -> str:
    """Return the commit of the checkout that the package lies in, with "+" if files differ from it.

    "" for an installed package, or without git.
    """
    checkout = _PACKAGE.parents[1]
    if not (checkout / ".git").exists():
        return ""
    head = _git(checkout, "rev-parse", "--short=12", "HEAD")
    return head + ("+" if head and _git(checkout, "status", "--porcelain") else "")


def version_line() -> str:
    """Return version and commit, as the heads of tables show them."""
    found = commit()
    return f"voxelgrad {voxelgrad.__version__}" + (f", commit {found}" if found else "")


def device() -> Description:
    """Return the CUDA device."""
    description: Description = backends.load("cuda").device().describe()
    return description


def device_line(found: Description) -> str:
    """Return a device in a line."""
    driver = f"driver {found.driver} " if found.driver else "driver "
    return (
        f"{found.name}, compute capability {found.capability}, {found.multiprocessors} "
        f"multiprocessors, {found.cache_bytes / 2**20:.0f} MB of cache, "
        f"{found.memory_bytes / 2**30:.0f} GB; {driver}for CUDA {found.driver_cuda}, CUDA "
        f"{found.cuda}"
    )


def _git(checkout: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(checkout), *arguments], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
