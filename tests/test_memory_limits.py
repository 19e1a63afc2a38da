"""No call of a native function, right or wrong, touches memory that is not its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from instruction_sets import VECTOR

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs mprotect")


def _run(script: str, *arguments: str) -> None:
    """Run a script of this folder; the last line it printed says what it was doing."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    run = subprocess.run(
        [sys.executable, str(Path(__file__).parent / script), *arguments],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
        check=False,
    )
    last = (run.stdout.strip() or "nothing").splitlines()[-1]
    assert run.returncode == 0, f"ended with {run.returncode} at {last}: {run.stderr[-500:]}"
    assert last == "done"


@pytest.mark.parametrize("isa", VECTOR)
def test_arrays_that_end_at_a_forbidden_page(isa: str) -> None:
    _run("guarded_run.py", isa)


def test_arguments_that_do_not_fit_are_refused_or_harmless() -> None:
    _run("wrong_calls.py")
