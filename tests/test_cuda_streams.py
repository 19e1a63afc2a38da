"""The emulated streams capture as those of a device do, and refuse what those refuse."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from cuda_device import IS_REAL, backend

if IS_REAL:
    pytest.skip("these tests are of the emulation", allow_module_level=True)

from cuda_emulation import _cuda_emulation as emulation
from cuda_emulation import fake_cupy as cupy


@pytest.fixture
def stream() -> Iterator[cupy.Stream]:
    """A stream that captures, and is the current one."""
    backend()
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        yield stream
        if stream.is_capturing():
            stream.end_capture()


def test_captured_work_runs_at_each_launch_in_its_order(stream: cupy.Stream) -> None:
    array = cupy.empty((3,))
    array.fill(2)
    backend().scale_inplace([array], 3.0)
    other = cupy.empty((3,))
    other.data.copy_from_device_async(array.data, array.nbytes)
    array.fill(7)
    graph = stream.end_capture()
    assert len(graph.captured) == 4
    assert np.isnan(array.get()).all() and np.isnan(other.get()).all()
    for _ in range(2):
        graph.launch()
        assert array.get().tolist() == [7] * 3 and other.get().tolist() == [6] * 3
        other.fill(0)


def test_arguments_are_taken_by_value_when_captured(stream: cupy.Stream) -> None:
    array, seeds = cupy.empty((2,)), cupy.empty((4,), np.int64)
    values = [5, -(2**62), 2**62 + 1]
    backend().write_seeds(seeds, values)
    backend().fill(array, 1.5)
    graph = stream.end_capture()
    values[:] = [0, 0, 0]
    seeds.fill(0)
    graph.launch()
    assert seeds.get().tolist() == [5, -(2**62), 2**62 + 1, 0]
    assert array.get().tolist() == [1.5, 1.5]


REFUSED: dict[str, Callable[[Any], object]] = {
    "synchronising": lambda array: cupy.cuda.get_current_stream().synchronize(),
    "a copy to the host": lambda array: cupy.asnumpy(array),
    "a copy from the host": lambda array: array.set(np.zeros(3, np.float32)),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_waits_spoils_the_capture(stream: cupy.Stream, what: str) -> None:
    array = cupy.empty((3,))
    array.fill(1)
    with pytest.raises(RuntimeError, match=f"StreamCaptureUnsupported: .*{what}"):
        REFUSED[what](array)
    with pytest.raises(RuntimeError, match="StreamCaptureInvalidated"):
        array.fill(1)
    with pytest.raises(RuntimeError, match="StreamCaptureInvalidated"):
        stream.end_capture()
    assert not stream.is_capturing()
    array.fill(4)
    assert array.get().tolist() == [4] * 3


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_freeing_spoils_the_capture_and_giving_to_a_pool_does_not(stream: cupy.Stream) -> None:
    before = emulation.bytes_in_use()
    array = cupy.empty((3,))
    del array
    assert emulation.bytes_in_use() == before + 12
    cupy.get_default_memory_pool().free_all_blocks()
    with pytest.raises(RuntimeError, match="StreamCaptureInvalidated"):
        stream.end_capture()


def test_work_of_other_streams_is_refused_meanwhile(stream: cupy.Stream) -> None:
    with (
        cupy.cuda.Stream(null=True),
        pytest.raises(RuntimeError, match="StreamCaptureIsolation"),
    ):
        cupy.zeros((3,))


def test_captures_begin_and_end_in_pairs(stream: cupy.Stream) -> None:
    other = cupy.cuda.Stream(non_blocking=True)
    for begin in (stream, other):
        with pytest.raises(RuntimeError, match="IllegalState: a stream captures already"):
            begin.begin_capture()
    with pytest.raises(RuntimeError, match="IllegalState: the stream does not capture"):
        other.end_capture()
    stream.end_capture()
    with pytest.raises(RuntimeError, match="the default stream cannot capture"):
        cupy.cuda.Stream(null=True).begin_capture()


def test_memory_of_a_pool_dies_with_it() -> None:
    backend()
    before = emulation.bytes_in_use()
    pool = cupy.cuda.MemoryPool()
    with cupy.cuda.using_allocator(pool.malloc):
        first, second = cupy.empty((5,)), cupy.empty((5,))
    address = first.data.ptr
    del first
    with cupy.cuda.using_allocator(pool.malloc):
        third = cupy.empty((5,))
    assert third.data.ptr == address
    assert (pool.used_bytes(), pool.total_bytes()) == (40, 40)
    del third
    assert (pool.used_bytes(), pool.total_bytes()) == (20, 40)
    del pool  # although `second` is in use
    assert emulation.bytes_in_use() == before
    del second
