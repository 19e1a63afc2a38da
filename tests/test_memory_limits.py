"""No kernel reads or writes behind the end of an array, and none leaves elements unset."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from voxelgrad.backends import cpu


@pytest.mark.skipif(sys.platform != "linux", reason="needs mprotect")
@pytest.mark.parametrize("isa", cpu.isa_names())
def test_arrays_that_end_at_a_forbidden_page(isa: str) -> None:
    script = Path(__file__).parent / "guarded_run.py"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    run = subprocess.run(
        [sys.executable, str(script), isa],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
        check=False,
    )
    last = (run.stdout.strip() or "nothing").splitlines()[-1]
    assert run.returncode == 0, f"ended with {run.returncode} at {last}: {run.stderr[-500:]}"
    assert last == "done"
