"""The tensor: what it is made of, what it shares, what its operators give."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import voxelgrad as vg


def test_array_is_shared_and_keeps_its_dtype() -> None:
    array = np.zeros((2, 3))
    tensor = vg.Tensor(array)
    assert tensor.numpy() is array
    assert (tensor.shape, tensor.ndim, tensor.size) == ((2, 3), 2, 6)
    assert tensor.dtype == np.float64
    assert tensor.device == "cpu"


@pytest.mark.parametrize("data", [3, 2.5, [1.0, 2.0], [[1, 2], [3, 4]], (True, False)])
def test_numbers_become_float32(data: object) -> None:
    assert vg.Tensor(data).dtype == np.float32
    np.testing.assert_array_equal(vg.Tensor(data).numpy(), np.asarray(data, np.float32))


def test_non_contiguous_array_is_copied_once() -> None:
    array = np.arange(6.0).reshape(2, 3).T
    tensor = vg.Tensor(array)
    assert tensor.numpy().flags.c_contiguous
    assert not np.shares_memory(tensor.numpy(), array)
    np.testing.assert_array_equal(tensor.numpy(), array)


def test_foreign_byte_order_is_converted() -> None:
    tensor = vg.Tensor(np.arange(3, dtype=">f4"))
    assert tensor.dtype == np.float32
    np.testing.assert_array_equal(tensor.numpy(), [0, 1, 2])


@pytest.mark.parametrize("data", [None, "text", [1, "a"], [[1], [2, 3]], object(), np.array([1j])])
def test_what_is_no_number_is_refused(data: object) -> None:
    with pytest.raises(TypeError, match=r"^Tensor: data"):
        vg.Tensor(data)


def test_integers_cannot_require_gradients() -> None:
    with pytest.raises(TypeError, match="needs float32, float64 or bfloat16 data"):
        vg.Tensor(np.arange(3), requires_grad=True)


def test_item_needs_one_element() -> None:
    assert vg.Tensor([[2.5]]).item() == 2.5
    assert float(vg.Tensor(2.5)) == 2.5
    with pytest.raises(ValueError, match="2 elements"):
        vg.Tensor([1.0, 2.0]).item()


def test_truth_of_several_elements_is_refused() -> None:
    assert vg.Tensor(1.0)
    assert not vg.Tensor(0.0)
    with pytest.raises(ValueError, match="truth"):
        bool(vg.Tensor([1.0, 2.0]))


def test_becomes_an_array_for_numpy() -> None:
    tensor = vg.Tensor(np.array([1.0, 4.0]))
    assert np.shares_memory(np.asarray(tensor), tensor.numpy())
    assert np.asarray(tensor, np.float32).dtype == np.float32


def test_numpy_array_on_the_left_keeps_the_graph() -> None:
    tensor = vg.Tensor(np.array([1.0, 4.0]), requires_grad=True)
    product = np.array([2.0, 3.0]) * tensor
    assert isinstance(product, vg.Tensor)
    product.sum().backward()
    assert tensor.grad is not None
    np.testing.assert_array_equal(tensor.grad.numpy(), [2.0, 3.0])


def test_numpy_functions_refuse_rather_than_drop_the_graph() -> None:
    with pytest.raises(TypeError, match="does not support ufuncs"):
        np.exp(vg.Tensor(np.ones(2), requires_grad=True))


def test_operators_follow_numpy() -> None:
    a, b = np.array([[1.0], [2.0]]), np.array([4.0, 5.0, 8.0])
    x, y = vg.Tensor(a), vg.Tensor(b)
    np.testing.assert_array_equal((x + y).numpy(), a + b)
    np.testing.assert_array_equal((x - y).numpy(), a - b)
    np.testing.assert_array_equal((x * y).numpy(), a * b)
    np.testing.assert_array_equal((x / y).numpy(), a / b)
    np.testing.assert_array_equal((3 - x).numpy(), 3 - a)
    np.testing.assert_array_equal((1 / x).numpy(), 1 / a)
    np.testing.assert_array_equal((-x).numpy(), -a)
    np.testing.assert_array_equal(abs(-x).numpy(), a)
    np.testing.assert_array_equal((y**2).numpy(), b**2)
    np.testing.assert_array_equal((y**0.5).numpy(), b**0.5)
    with pytest.raises(ValueError, match="exponent is 3"):
        x**3


def test_numbers_do_not_change_the_dtype() -> None:
    with vg.backends.use("reference"):
        assert (vg.Tensor(np.ones(2, np.float32)) * 2.0).dtype == np.float32
        assert (vg.Tensor(np.ones(2, np.float32)) * np.float64(2.0)).dtype == np.float32


@pytest.mark.parametrize(
    "key",
    [
        0,
        -1,
        (1, 2),
        slice(1, None),
        (slice(None), slice(-2, None)),
        (..., 1),
        (0, ..., slice(0, 2)),
        (None, 1, slice(1, 3)),
        (slice(1, 1), 0),
        np.int64(1),
    ],
    ids=str,
)
def test_indexing_follows_numpy(key: object) -> None:
    array = np.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(vg.Tensor(array)[key].numpy(), array[key])  # type: ignore[index]


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        (2, IndexError, "2 is outside axis 0 of length 2"),
        ((0, 0, 0, 0), IndexError, "4 indices for a tensor of 3 axes"),
        (slice(None, None, 2), ValueError, "step 2"),
        (slice(None, None, -1), ValueError, "step -1"),
        ([0, 1], TypeError, "indexed by list"),
        (True, TypeError, "indexed by bool"),
        ((..., ...), IndexError, "only once"),
    ],
    ids=str,
)
def test_indexing_refuses(key: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        vg.Tensor(np.zeros((2, 3, 4)))[key]


def test_iteration_ends() -> None:
    assert [row.item() for row in vg.Tensor(np.array([1.0, 2.0]))] == [1.0, 2.0]
    assert len(vg.Tensor(np.zeros((3, 2)))) == 3


def test_reshape_shares_memory_and_transpose_does_not() -> None:
    x = vg.Tensor(np.arange(6.0))
    assert np.shares_memory(x.reshape(2, -1).numpy(), x.numpy())
    assert x.reshape((3, 2)).transpose().numpy().flags.c_contiguous
    np.testing.assert_array_equal(x.reshape(3, 2).transpose(1, 0).numpy(), [[0, 2, 4], [1, 3, 5]])


def test_detach_shares_data_and_forgets_the_graph() -> None:
    x = vg.Tensor(np.ones(2), requires_grad=True)
    y = (x * 2).detach()
    assert not y.requires_grad
    assert y.node is None


def test_repr_shows_values_shape_and_dtype() -> None:
    text = repr(vg.Tensor(np.array([1.5, 2.0]), requires_grad=True))
    assert text == "Tensor([1.5, 2. ], shape=(2,), dtype=float64, requires_grad=True)"


def test_import_loads_nothing_heavy() -> None:
    code = (
        "import sys, voxelgrad;"
        "heavy = {'scipy', 'torch', 'matplotlib', 'PIL', 'nibabel', 'numpy.random', 'json',"
        " 'voxelgrad._cpu', 'voxelgrad.backends.reference'};"
        "sys.exit(str(sorted(heavy & set(sys.modules))) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
