"""The tape: which gradients arrive where, what is freed when, what the errors say."""

from __future__ import annotations

import threading
import weakref
from typing import Any

import numpy as np
import pytest

import voxelgrad as vg
from voxelgrad import ops
from voxelgrad.autograd import Function


def leaf(*values: float) -> vg.Tensor:
    return vg.Tensor(np.array(values), requires_grad=True)


def grad(tensor: vg.Tensor) -> list[float]:
    assert tensor.grad is not None
    gradient: list[float] = tensor.grad.numpy().tolist()
    return gradient


def test_gradient_of_a_chain() -> None:
    x = leaf(1.0, 2.0)
    ops.sum(x * x * 3).backward()
    assert grad(x) == [6.0, 12.0]


def test_gradients_of_all_uses_are_added() -> None:
    x = leaf(3.0)
    y = x * x
    (y * x + y + x).sum().backward()
    assert grad(x) == [3 * 9.0 + 2 * 3.0 + 1.0]


def test_addition_of_a_tensor_to_itself() -> None:
    x = leaf(3.0, 4.0)
    y = x * 1.0
    (y + y).sum().backward()
    assert grad(x) == [2.0, 2.0]


def test_gradient_shared_by_two_branches_is_not_overwritten() -> None:
    # add hands the same gradient to both sides; relu works in place where it may.
    x, y = leaf(1.0, -1.0), leaf(5.0, 6.0)
    a, b = x * 1.0, y * 1.0
    (ops.relu(a) + b).backward(np.array([2.0, 3.0]))
    assert grad(x) == [2.0, 0.0]
    assert grad(y) == [2.0, 3.0]


def test_gradient_given_by_the_user_is_not_overwritten() -> None:
    x, start = leaf(1.0, -1.0), np.array([2.0, 3.0])
    ops.relu(x * 1.0).backward(start)
    x.backward(start)
    x.backward(start)
    assert start.tolist() == [2.0, 3.0]
    assert grad(x) == [6.0, 6.0]


def test_backward_adds_to_what_is_there() -> None:
    x = leaf(2.0)
    for _ in range(3):
        (x * 5).sum().backward()
    assert grad(x) == [15.0]
    x.grad = None
    (x * 5).sum().backward()
    assert grad(x) == [5.0]


def test_accumulation_happens_in_place() -> None:
    x = leaf(2.0)
    (x * 5).sum().backward()
    assert x.grad is not None
    buffer = x.grad.numpy()
    (x * 5).sum().backward()
    assert x.grad.numpy() is buffer


def test_two_leaves_never_share_a_gradient() -> None:
    x, y = leaf(1.0), leaf(2.0)
    (x + y).backward(np.array([1.0]))
    assert x.grad is not None
    assert y.grad is not None
    assert not np.shares_memory(x.grad.numpy(), y.grad.numpy())


def test_only_leaves_that_ask_get_gradients() -> None:
    x, constant = leaf(1.0), vg.Tensor(np.array([2.0]))
    y = x * constant
    y.sum().backward()
    assert constant.grad is None
    assert y.grad is None
    assert grad(x) == [2.0]


def test_backward_computes_only_what_is_asked_for() -> None:
    asked: list[list[bool]] = []

    class Product(Function):
        op = "product"
        input_names = ("a", "b")

        def forward(self, a: Any, b: Any) -> Any:
            return a * b

        def backward(self, grad_output: Any) -> Any:
            asked.append(list(self.needs_grad))
            return grad_output, None

    Product().apply(leaf(1.0), vg.Tensor(np.array([3.0]))).sum().backward()
    assert asked == [[True, False]]


def test_second_backward_says_what_to_do() -> None:
    x = leaf(2.0)
    loss = (x * x).sum()
    loss.backward()
    with pytest.raises(RuntimeError, match=r"freed by an earlier backward .* run the forward pass"):
        loss.backward()
    assert grad(x) == [4.0]


def test_half_freed_graph_leaves_gradients_alone() -> None:
    x, z = leaf(2.0), leaf(1.0)
    shared = x * x
    shared.sum().backward()
    other = shared * 2 + z
    with pytest.raises(RuntimeError, match="freed by an earlier backward"):
        other.sum().backward()
    assert grad(x) == [4.0]
    assert z.grad is None


def test_backward_of_several_numbers_needs_a_gradient() -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match=r"shape \(2,\).*\.sum\(\) or \.mean\(\)"):
        (x * 2).backward()
    (x * 2).backward(np.array([1.0, 10.0]))
    assert grad(x) == [2.0, 20.0]


@pytest.mark.parametrize(
    ("start", "error", "message"),
    [
        (np.ones(3), ValueError, r"grad has shape \(3,\) but the tensor has shape \(2,\)"),
        (np.ones(2, np.float32), TypeError, "grad is float32 but the tensor is float64"),
    ],
    ids=["shape", "dtype"],
)
def test_backward_refuses_a_gradient_that_does_not_fit(
    start: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        (leaf(1.0, 2.0) * 2).backward(start)


def test_backward_without_a_graph_is_refused() -> None:
    with pytest.raises(RuntimeError, match="does not require gradients"):
        vg.Tensor(np.ones(())).backward()
    with vg.no_grad():
        y = (leaf(1.0) * 2).sum()
    with pytest.raises(RuntimeError, match="no_grad"):
        y.backward()


def test_no_grad_as_context_and_decorator() -> None:
    x = leaf(1.0)

    @vg.no_grad()
    def double(t: vg.Tensor) -> vg.Tensor:
        return t * 2

    assert not double(x).requires_grad
    with vg.no_grad():
        assert not (x * 2).requires_grad
        with vg.enable_grad():
            assert (x * 2).requires_grad
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad


def test_no_grad_ends_with_an_exception() -> None:
    with pytest.raises(KeyError), vg.no_grad():
        raise KeyError
    assert (leaf(1.0) * 2).requires_grad


def test_no_grad_holds_for_one_thread() -> None:
    seen: list[bool] = []
    with vg.no_grad():
        thread = threading.Thread(target=lambda: seen.append((leaf(1.0) * 2).requires_grad))
        thread.start()
        thread.join()
    assert seen == [True]


def test_hooks_see_the_complete_gradient_once() -> None:
    x, seen = leaf(2.0), []
    y = x * 3
    x.register_hook(lambda g: seen.append(("x", g.item())))
    y.register_hook(lambda g: seen.append(("y", g.item())))
    (y * y + y + x).sum().backward()
    assert seen == [("y", 13.0), ("x", 40.0)]


def test_hook_replaces_the_gradient_until_removed() -> None:
    x = leaf(2.0)
    handle = x.register_hook(lambda g: g * 10)
    (x * 3).sum().backward()
    handle.remove()
    handle.remove()
    (x * 3).sum().backward()
    assert grad(x) == [33.0]


def test_gradient_a_hook_keeps_is_not_changed_later() -> None:
    x, kept = leaf(1.0, -1.0), []
    y = x * 2
    z = ops.relu(y)
    z.register_hook(kept.append)
    x.register_hook(kept.append)
    z.sum().backward()
    (x * 5).sum().backward()
    assert [k.numpy().tolist() for k in kept[:2]] == [[1.0, 1.0], [2.0, 0.0]]


def test_hook_must_keep_the_shape() -> None:
    x = leaf(2.0)
    x.register_hook(lambda g: vg.Tensor(np.ones(3)))
    with pytest.raises(ValueError, match=r"hook returned .* shape \(3,\)"):
        (x * 3).sum().backward()


def test_hook_on_a_constant_is_refused() -> None:
    with pytest.raises(RuntimeError, match="does not require gradients"):
        vg.Tensor(np.ones(1)).register_hook(lambda g: None)


def test_graph_holds_no_tensors_that_nobody_needs() -> None:
    x = leaf(1.0, 2.0)
    y = x + 1.0
    z = y + 2.0
    gone = weakref.ref(y)
    array = weakref.ref(y.data)
    del y
    assert gone() is None
    assert array() is None
    z.sum().backward()
    assert grad(x) == [1.0, 1.0]


def test_saved_arrays_are_freed_by_backward() -> None:
    x = leaf(1.0, 2.0)
    y = x * 1.0
    z = ops.square(y)
    loss = z.sum()
    saved = weakref.ref(y.data)
    del y, z
    assert saved() is not None
    loss.backward()
    assert saved() is None


def test_no_grad_saves_nothing() -> None:
    x = leaf(1.0, 2.0)
    with vg.no_grad():
        y = ops.square(x * 1.0)
    assert y.node is None


def test_long_chains_need_no_recursion() -> None:
    x = leaf(1.0)
    y = x
    for _ in range(20_000):
        y = y + 1.0
    y.sum().backward()
    assert grad(x) == [1.0]
    for _ in range(20_000):
        y = y * x
    del y


def test_the_same_graph_gives_the_same_bits() -> None:
    def run() -> bytes:
        x = vg.Tensor(np.random.default_rng(0).standard_normal(100), requires_grad=True)
        branches = [ops.tanh(x * float(i)) for i in range(5)]
        total = branches[0]
        for branch in branches[1:]:
            total = total * branch + branch
        total.sum().backward()
        assert x.grad is not None
        return x.grad.numpy().tobytes()

    assert run() == run()


def test_an_op_that_forgets_a_gradient_is_named() -> None:
    class Forgetful(Function):
        op = "forgetful"

        def forward(self, input: Any) -> Any:
            return input * 2

        def backward(self, grad_output: Any) -> Any:
            return (None,)

    with pytest.raises(RuntimeError, match="forgetful: backward returned no gradient for input"):
        Forgetful().apply(leaf(1.0)).sum().backward()


def test_an_op_whose_gradient_has_another_shape_is_refused() -> None:
    class Wrong(Function):
        op = "wrong"

        def forward(self, input: Any) -> Any:
            return input * 2

        def backward(self, grad_output: Any) -> Any:
            return (np.ones(5),)

    with pytest.raises(RuntimeError, match=r"shape \(5,\) arrived at a tensor of shape \(1,\)"):
        Wrong().apply(leaf(1.0)).sum().backward()


class TestGradcheck:
    def test_accepts_right_gradients(self) -> None:
        assert vg.gradcheck(lambda a, b: a * b / (b * b + 1.0), [leaf(1.0, 2.0), leaf(3.0, 4.0)])

    def test_names_input_index_and_both_values(self) -> None:
        class Wrong(Function):
            op = "wrong"

            def forward(self, input: Any) -> Any:
                return input * 2

            def backward(self, grad_output: Any) -> Any:
                return (grad_output * np.array([2.0, 3.0]),)

        with pytest.raises(vg.GradientError, match=r"input 1 at index \(1,\): backward gives"):
            vg.gradcheck(lambda a, b: a + Wrong().apply(b), [leaf(1.0, 2.0), leaf(3.0, 4.0)])

    def test_detects_a_missing_gradient(self) -> None:
        with pytest.raises(vg.GradientError, match="input 1 got no gradient"):
            vg.gradcheck(lambda a, b: a * 2, [leaf(1.0), leaf(2.0)])

    def test_takes_arrays_of_float32_in_float64(self) -> None:
        assert vg.gradcheck(ops.tanh, np.array([0.5, 1.0], np.float32))

    def test_random_numbers_are_the_same_in_every_call(self) -> None:
        x = np.random.default_rng(0).standard_normal((4, 5))
        assert vg.gradcheck(lambda t: ops.dropout(t, 0.4), x)

    def test_leaves_inputs_as_they_were(self) -> None:
        x = leaf(1.0, 2.0)
        vg.gradcheck(ops.square, x)
        assert x.grad is None
        assert x.numpy().tolist() == [1.0, 2.0]

    def test_needs_something_to_check(self) -> None:
        with pytest.raises(TypeError, match="no floating tensor"):
            vg.gradcheck(lambda t: t, [np.arange(3)])


def test_dropout_keeps_the_same_elements_in_backward() -> None:
    vg.manual_seed(5)
    x = vg.Tensor(np.ones(1000), requires_grad=True)
    y = ops.dropout(x, 0.25)
    y.sum().backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), y.numpy())
    # 1000 draws with probability 0.75: five standard deviations are 68.
    assert abs(np.count_nonzero(y.numpy()) - 750) < 68
    vg.manual_seed(5)
    np.testing.assert_array_equal(ops.dropout(x, 0.25).numpy(), y.numpy())
    assert ops.dropout(x, 0.25, training=False) is x


def test_forced_backend_takes_float32() -> None:
    with vg.backends.use("reference"):
        x = vg.Tensor(np.ones((1, 4, 4, 2), np.float32), requires_grad=True)
        w = vg.Tensor(np.ones((3, 3, 3, 2), np.float32), requires_grad=True)
        loss = ops.relu(ops.conv2d(x, w)).sum()
    loss.backward()
    assert w.grad is not None
    assert w.grad.dtype == np.float32
    assert w.grad.numpy().max() == 4.0
