"""The ground floor: memory pool, threads, instruction sets."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from voxelgrad.backends import cpu


def test_pool_hands_the_same_block_out_again() -> None:
    first = cpu.empty((1 << 20,))
    address = first.ctypes.data
    del first
    assert cpu.empty((1 << 20,)).ctypes.data == address


def test_pool_blocks_are_aligned_and_apart() -> None:
    arrays = [cpu.empty((n,)) for n in (1, 15, 16, 17, 1000, 1 << 18, 1 << 22)]
    for value, array in enumerate(arrays):
        assert array.ctypes.data % 64 == 0
        array.fill(value)
    for value, array in enumerate(arrays):
        assert (array == value).all()


@pytest.mark.parametrize("megabytes", [128, 256])
def test_large_blocks_do_not_meet_in_the_same_banks_of_the_memory(megabytes: int) -> None:
    blocks = [cpu.empty((megabytes << 20,), np.dtype(np.uint8)) for _ in range(3)]
    places = [block.ctypes.data % (128 << 20) for block in blocks]
    assert len(set(places)) == len(places)


def test_pool_counts_what_is_held() -> None:
    before = cpu.memory_statistics()["in_use"]
    array = cpu.empty((1 << 20,))
    assert cpu.memory_statistics()["in_use"] >= before + array.nbytes
    del array
    assert cpu.memory_statistics()["in_use"] == before


def test_trim_gives_cached_memory_back() -> None:
    cpu.empty((1 << 20,))
    assert cpu.memory_statistics()["cached"] > 0
    cpu.memory_trim()
    assert cpu.memory_statistics()["cached"] == 0


def test_more_memory_than_there_is_is_a_memory_error() -> None:
    with pytest.raises(MemoryError):
        cpu.empty((1 << 60,))


@pytest.mark.parametrize("count", [0, -1, 100_000])
def test_impossible_thread_counts_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match="set_num_threads"):
        cpu.set_num_threads(count)


def test_unknown_instruction_set_is_refused() -> None:
    with pytest.raises(ValueError, match="baseline, avx2, avx512, avx512_bf16 or amx"):
        cpu.set_isa("sse9")


@pytest.mark.parametrize("name", cpu.isa_names())
def test_environment_caps_the_instruction_set(name: str) -> None:
    program = "from voxelgrad.backends import cpu; print(cpu.isa_name())"
    environment = os.environ | {"VOXELGRAD_ISA": name}
    result = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == name


MERGES = """
import numpy as np
from voxelgrad.backends import cpu

def total():
    statistics = cpu.memory_statistics()
    return statistics["in_use"] + statistics["cached"]

arrays = [cpu.empty((1 << 20,)) for _ in range(5)]  # 4 MiB each
before = total()
del arrays[1:4]
arrays += [cpu.empty((2 << 20,)), cpu.empty((1 << 19,)), cpu.empty((1 << 19,))]
assert total() == before, "12 MiB in three pieces did not hold 8 + 2 + 2"
for value, array in enumerate(arrays):
    array.fill(value)
assert all((array == value).all() for value, array in enumerate(arrays))
arrays.clear()
cpu.memory_trim()
again = cpu.empty((5 << 20,))
again.fill(1)
assert again.sum() == 5 << 20
"""


def _run_alone(program: str) -> None:
    subprocess.run([sys.executable, "-c", program], check=True)


def test_free_neighbours_become_one_block() -> None:
    _run_alone(MERGES)


@pytest.mark.skipif(sys.platform != "linux", reason="needs limits of the address space")
def test_pool_works_where_addresses_are_limited() -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))\n"
    last = "a = cpu.empty((1 << 22,)); p = a.ctypes.data; del a; b = cpu.empty((1 << 22,))\n"
    check = "b.fill(1); assert b.ctypes.data == p"
    _run_alone(f"{limit}from voxelgrad.backends import cpu\n{last}{check}")


def test_python_threads_share_the_native_pool() -> None:
    x = np.random.default_rng(0).standard_normal((8, 64, 64, 16)).astype(np.float32)
    expected = cpu.empty(x.shape)
    cpu.activation_forward("sigmoid", x, expected, 0.0)
    results = [cpu.empty(x.shape) for _ in range(4)]

    def run(output: np.ndarray) -> None:
        for _ in range(20):
            cpu.activation_forward("sigmoid", x, output, 0.0)

    threads = [threading.Thread(target=run, args=(r,)) for r in results]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(r, expected) for r in results)


def test_wrong_arrays_never_reach_the_kernels() -> None:
    x = np.zeros((4, 6), np.float32)
    for output in (np.zeros((4, 6)), np.zeros((6, 4), np.float32).T, None):
        with pytest.raises(TypeError):
            cpu.activation_forward("relu", x, output, 0.0)
    read_only = np.zeros((4, 6), np.float32)
    read_only.flags.writeable = False
    with pytest.raises(TypeError):
        cpu.activation_forward("relu", x, read_only, 0.0)
    with pytest.raises(ValueError, match="same shape"):
        cpu.activation_forward("relu", x, np.zeros((4, 5), np.float32), 0.0)
