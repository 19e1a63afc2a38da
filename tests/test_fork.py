"""The library still computes in a child that was forked after its threads had started."""

from __future__ import annotations

import os
import signal
import sys

import numpy as np
import pytest

import voxelgrad as vg

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def _convolve() -> bytes:
    rng = np.random.default_rng(0)
    x = vg.Tensor(rng.standard_normal((4, 64, 64, 16)).astype(np.float32), requires_grad=True)
    w = vg.Tensor(rng.standard_normal((32, 3, 3, 16)).astype(np.float32), requires_grad=True)
    vg.ops.relu(vg.ops.conv2d(x, w, padding=1)).sum().backward()
    return x.grad.numpy().tobytes() + w.grad.numpy().tobytes()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_use_fork_use_in_the_child_and_in_the_parent() -> None:
    vg.set_num_threads(2)
    before = _convolve()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # a child that hangs is killed, and the parent sees the signal
        os._exit(0 if _convolve() == before else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert _convolve() == before
