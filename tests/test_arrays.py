"""Arrays of other libraries in and out: shared where the layout allows, else said or copied."""

from __future__ import annotations

import array
from typing import Any

import numpy as np
import pytest

import voxelgrad as vg


class Foreign:
    """An array of some library, on a device."""

    def __init__(self, data: np.ndarray[Any, Any], device: int = 1) -> None:
        self.data, self.device = data, device

    def __dlpack__(self, **request: Any) -> Any:
        return self.data.__dlpack__(**request)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (self.device, 0)


@pytest.mark.parametrize("take", [vg.Tensor, vg.from_dlpack])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8", "bool"])
def test_dlpack_shares_memory_and_keeps_the_dtype(take: Any, dtype: str) -> None:
    data = np.zeros((2, 3), dtype)
    tensor = take(Foreign(data))
    assert tensor.dtype == dtype
    assert np.shares_memory(tensor.numpy(), data)


def test_what_is_not_contiguous_is_copied_once_or_refused() -> None:
    data = np.arange(6.0).reshape(2, 3).T
    tensor = vg.from_dlpack(Foreign(data))
    assert tensor.numpy().flags.c_contiguous
    np.testing.assert_array_equal(tensor.numpy(), data)
    with pytest.raises(ValueError, match=r"from_dlpack: .*\(3, 2\).*not C-contiguous.*copy=False"):
        vg.from_dlpack(Foreign(data), copy=False)


def test_a_copy_is_made_when_asked_for() -> None:
    data = np.zeros(3)
    assert np.shares_memory(vg.from_dlpack(data, copy=False).numpy(), data)
    assert not np.shares_memory(vg.from_dlpack(data, copy=True).numpy(), data)
    tensor = vg.Tensor(data)
    assert not np.shares_memory(vg.from_dlpack(tensor, copy=True).numpy(), data)
    with pytest.raises(ValueError, match="list is no array"):
        vg.from_dlpack([1.0], copy=False)


def test_another_device_is_named() -> None:
    with pytest.raises(TypeError, match=r"device type 10\); move it to the CPU"):
        vg.Tensor(Foreign(np.zeros(3), device=10))


def test_a_tensor_goes_out_through_dlpack() -> None:
    tensor = vg.Tensor(np.zeros((2, 3), np.float32))
    assert tensor.__dlpack_device__() == (1, 0)
    assert np.shares_memory(np.from_dlpack(tensor), tensor.numpy())


def test_bfloat16_cannot_go_through_dlpack_and_says_so() -> None:
    with pytest.raises(BufferError, match=r'bfloat16.*\.astype\("float32"\)'):
        np.from_dlpack(vg.Tensor(np.ones(3, np.float32)).astype("bfloat16"))


@pytest.mark.parametrize("code", "fdbBhHiIqQ")
def test_buffers_share_memory_and_keep_their_dtype(code: str) -> None:
    data = array.array(code, [1, 2, 3])
    tensor = vg.Tensor(data)
    assert tensor.dtype == np.dtype(code)
    data[0] = 7
    np.testing.assert_array_equal(vg.Tensor(memoryview(data)).numpy(), [7, 2, 3])
    np.testing.assert_array_equal(tensor.numpy(), [7, 2, 3])


def test_a_buffer_that_is_not_aligned_is_copied() -> None:
    data = memoryview(bytearray(9))[1:].cast("f")
    assert vg.Tensor(data).numpy().flags.aligned
    with pytest.raises(ValueError, match="not aligned"):
        vg.from_dlpack(data, copy=False)


@pytest.mark.parametrize("data", [memoryview(b"ab").cast("c"), np.array(["a"]), b"ab"])
def test_what_is_no_number_is_refused(data: object) -> None:
    with pytest.raises(TypeError, match=r"^from_dlpack: data"):
        vg.from_dlpack(data)


def test_numpy_decides_about_copies() -> None:
    tensor = vg.Tensor(np.array([1.0, 4.0]))
    assert np.shares_memory(tensor.__array__(copy=False), tensor.numpy())
    assert not np.shares_memory(tensor.__array__(copy=True), tensor.numpy())
    assert tensor.__array__(np.float32).dtype == np.float32
    with pytest.raises(ValueError, match="float64 data has to be copied to become float32"):
        tensor.__array__(np.float32, copy=False)


def test_torch_tensors_are_shared_both_ways() -> None:
    torch = pytest.importorskip("torch")
    theirs = torch.zeros(2, 3)
    ours = vg.Tensor(theirs)
    theirs[0, 0] = 5
    assert ours.numpy()[0, 0] == 5
    torch.from_dlpack(ours)[1, 2] = 7
    assert theirs[1, 2] == 7
    with pytest.raises(TypeError, match="detach"):
        vg.Tensor(torch.zeros(3, requires_grad=True))
    with pytest.raises(TypeError, match=r"bfloat16.*to float32"):
        vg.Tensor(torch.zeros(3, dtype=torch.bfloat16))
    with pytest.raises(TypeError, match="complex64, which is not a real number"):
        vg.Tensor(torch.zeros(3, dtype=torch.complex64))


def test_jax_arrays_are_shared() -> None:
    jax = pytest.importorskip("jax")
    theirs = jax.numpy.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(vg.Tensor(theirs).numpy(), np.arange(6.0).reshape(2, 3))
