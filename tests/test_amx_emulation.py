"""The kernels for AMX on a machine without it, against the bounds that they have to keep.

What the emulation proves and what not: amx_emulation/intrinsics.hpp. The tests of bfloat16 run once
more, in a process whose native module has it; on a machine with AMX they run as they are.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import amx_emulation
from voxelgrad.backends import cpu

TESTS = Path(__file__).parent
FILES = [f"test_{name}.py" for name in ("conv_bf16", "conv_joined", "conv_slope", "degenerate")]

pytestmark = [
    pytest.mark.skipif(
        not amx_emulation.MODULE.exists(), reason="build it with -DVOXELGRAD_AMX_EMULATION=ON"
    ),
    pytest.mark.skipif(
        "avx512_bf16" not in cpu.isa_names(), reason="the kernels around AMX need AVX512-BF16"
    ),
]


def run(*arguments: str) -> str:
    """Run Python with the emulation in the place of the native module; return what it printed."""
    environment = {**os.environ, "VOXELGRAD_TEST_AMX": "emulated"}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=TESTS, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def passed(*arguments: str) -> int:
    """Run tests in the same way; return how many passed."""
    found = re.search(r"(\d+) passed", run("-m", "pytest", "-p", "no:cacheprovider", *arguments))
    assert found is not None
    return int(found[1])


def test_it_stands_in_for_the_native_module() -> None:
    code = "import conftest; from voxelgrad.backends import cpu; print(cpu.isa_name())"
    assert run("-c", code).split() == ["amx"]


def test_kernels_stay_within_the_bounds_of_bfloat16() -> None:
    assert passed("-k", "amx", *FILES) > 200


def test_norms_sum_what_the_tiles_have_written() -> None:
    assert passed("-k", "tile", "test_conv_norm.py") >= 5
