"""The emulation of CUDA finds the faults it says it finds, and computes what a device would."""

from __future__ import annotations

import numpy as np
import pytest

from cuda_device import IS_REAL, backend

if IS_REAL:
    pytest.skip("these kernels have faults on purpose", allow_module_level=True)

from cuda_emulation import _cuda_emulation as emulation

FAULTS = {
    "skips_barrier": r"barrier at faulty\.cu:\d+ was reached by 7 of 8 threads; 1 have ended",
    "waits_at_two_barriers": "wait at different barriers",
    "leaves_warp": r"warp function at faulty\.cu:\d+ was not reached by all the threads",
    "not_in_mask": "mask without itself",
    "writes_behind": "write 1 bytes behind an array of 32 bytes",
    "writes_before": "write 1 bytes before an array of 32 bytes",
    "writes_behind_shared": "write behind a shared variable of 32 bytes",
    "writes_behind_dynamic": "write behind the 32 bytes of dynamic shared memory",
    "takes_too_much_shared": "50176 bytes of static shared memory",
    "too_many_threads": "blocks of 2048 x 1 x 1 threads",
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named(name: str) -> None:
    array = backend().zeros((8,))
    with pytest.raises(RuntimeError, match=f"{name}: in block .*{FAULTS[name]}"):
        emulation.run_faulty(name, array.data.ptr)
    emulation.run_faulty("sums", array.data.ptr)  # what follows is not disturbed


def test_unset_shared_memory_is_nan_in_every_block() -> None:
    array = backend().zeros((8,))
    for _ in range(2):
        emulation.run_faulty("reads_unset_shared", array.data.ptr)
        assert np.isnan(array.get()).all()


def test_barriers_and_warp_functions_compute_what_a_device_would() -> None:
    array = backend().zeros((8,))
    emulation.run_faulty("sums", array.data.ptr)
    block, upper_warp = 64 * 65 / 2, 64 * 65 / 2 - 32 * 33 / 2
    expected = [block, upper_warp, upper_warp, upper_warp, 16, 4, 15, 31]
    np.testing.assert_array_equal(array.get(), expected)
