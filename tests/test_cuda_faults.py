"""The emulation of CUDA finds the faults it says it finds, and computes what a device would."""

from __future__ import annotations

import numpy as np
import pytest

from cuda_device import IS_REAL, backend
from voxelgrad.dtypes import BFLOAT16

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


WARPGROUP_FAULTS = {
    "copies_not_awaited": "reads shared memory .* written without a fence",
    "not_shown": "reads shared memory .* written without a fence",
    "not_fenced": "product was begun without a fence",
    "overwritten": "what a product reads was written while it was under way",
    "sums_touched": "sums of a product were written while it was under way",
    "one_warp_less": r"what is waited for at faulty_warpgroups\.cu:\d+ never comes",
    "another_operand": "threads of a warpgroup begin different products",
    "off_pattern": "operand that does not begin with its pattern",
    "landing_not_started": "barrier is used that was not started",
    "nothing_lands": r"what is waited for at faulty_warpgroups\.cu:\d+ never comes",
}


def _run_product(fault: str) -> np.ndarray:
    """Return the sums of a product whose factors are 1, 2, ..., 8 in each half of 16 steps."""
    factors = np.arange(1, 9).astype(BFLOAT16)
    array = backend().from_host(np.concatenate([factors, factors]).view(np.float32))
    emulation.run_faulty_warpgroup(fault, array.data.ptr)
    return array.get()


@pytest.mark.parametrize("name", WARPGROUP_FAULTS)
def test_a_fault_of_a_product_is_named(name: str) -> None:
    with pytest.raises(RuntimeError, match=f"{name}: in block .*{WARPGROUP_FAULTS[name]}"):
        _run_product(name)
    np.testing.assert_array_equal(_run_product("none"), 2 * sum(i * i for i in range(1, 9)))


@pytest.mark.parametrize("name", ["not_awaited", "no_batch"])
def test_sums_that_are_not_waited_for_are_nan(name: str) -> None:
    assert np.isnan(_run_product(name)).all()


@pytest.mark.parametrize(
    ("mode", "leading", "stride", "shape", "strides"),
    [
        (0, 128, 64, (8, 1, 2, 8, 2), (1, 8, 64, 8, 128)),
        (3, 128, 256, (8, 2, 2, 8, 2), (1, 8, 128, 16, 256)),
        (2, 256, 512, (8, 4, 2, 8, 2), (1, 8, 256, 32, 512)),
        (1, 512, 1024, (8, 8, 2, 8, 2), (1, 8, 512, 64, 1024)),
    ],
)
def test_operands_across_the_steps_lie_as_the_manual_says(
    mode: int, leading: int, stride: int, shape: tuple[int, ...], strides: tuple[int, ...]
) -> None:
    """PTX ISA, "Canonical Layouts": the examples of bfloat16, and the mode that has none."""
    descriptor = mode << 62 | (stride * 2 >> 4) << 32 | (leading * 2 >> 4) << 16
    lanes = shape[0] * shape[1] * shape[2]
    for lane, step in np.ndindex(lanes, 16):
        if lane % 8 == 0:
            index = [*np.unravel_index(lane, shape[2::-1])[::-1], step % 8, step // 8]
            place = 2 * int(np.dot(index, strides))
            place ^= (place >> 7 & (0, 7, 3, 1)[mode]) << 4
            assert emulation.operand_address(descriptor, True, lane, step) == place


@pytest.mark.parametrize(("mode", "runs"), [(0, 1), (3, 2), (2, 4), (1, 8)])
def test_operands_along_the_steps_lie_as_the_manual_says(mode: int, runs: int) -> None:
    """PTX ISA, "Canonical Layouts": ((8, m), (T, 2k)) with T = 8, rows of ``runs`` runs."""
    leading, stride = 4096, 16384
    descriptor = mode << 62 | (stride >> 4) << 32 | (leading >> 4) << 16
    for lane, step in np.ndindex(64, 16):
        if step % 8 == 0:
            place = lane % 8 * runs * 16 + lane // 8 * stride
            place += step // 8 * (leading if mode == 0 else 16)
            place ^= (place >> 7 & (runs - 1)) << 4
            assert emulation.operand_address(descriptor, False, lane, step) == place
