"""The CUDA backend's Python half: devices, moves, memory, and errors that say what to do."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import voxelgrad as vg
from cuda_device import IS_REAL, backend
from test_augmentation import random_case
from test_backends_agree import _parameters
from voxelgrad import backends, nn, optim
from voxelgrad.backends import cuda as cuda_module
from voxelgrad.backends import reference

if not IS_REAL:
    from cuda_emulation import _cuda_emulation, fake_cupy

only_emulated = pytest.mark.skipif(IS_REAL, reason="needs the emulated device")


@pytest.fixture(autouse=True)
def device() -> Iterator[None]:
    """The backend of the tests is the one in force, and nothing is left of it afterwards."""
    backend()
    yield
    backends._loaded.pop("cuda", None)


class Scale(nn.Module):
    """A model of what every backend has: a factor, a shift and a buffer."""

    def __init__(self) -> None:
        self.factor = nn.Parameter(np.linspace(0.5, 1.5, 5, dtype=np.float32))
        self.shift = nn.Parameter(np.linspace(-1.0, 1.0, 5, dtype=np.float32))
        self.register_buffer("calls", np.zeros(2, np.float32))

    def forward(self, x: vg.Tensor) -> vg.Tensor:
        return vg.ops.tanh(x * self.factor + self.shift)


def test_a_tensor_goes_there_and_back_with_its_gradient() -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    start = vg.Tensor(values, requires_grad=True)
    there = start.to("cuda")
    assert (start.device, there.device) == ("cpu", "cuda")
    assert there.to("cuda") is there
    total = (there * there).to("cpu").sum()
    total.backward()
    assert start.grad is not None and start.grad.device == "cpu"
    np.testing.assert_array_equal(start.grad.numpy(), 2 * values)
    assert "device='cuda'" in repr(there)


def test_a_device_array_is_wrapped_without_a_copy_and_integers_too() -> None:
    array = backend().from_host(np.arange(4, dtype=np.float32))
    tensor = vg.Tensor(array)
    assert tensor.data is array
    labels = vg.Tensor(np.arange(3)).to("cuda")
    assert labels.dtype == np.int64 and labels.numpy().tolist() == [0, 1, 2]


def test_numbers_beside_a_device_tensor_go_there() -> None:
    there = vg.Tensor(np.float32([1, 2, 3])).to("cuda")
    result = 2.0 / (there + 1.0)
    assert result.device == "cuda"
    np.testing.assert_allclose(result.numpy(), [1.0, 2 / 3, 0.5], rtol=1e-6)


def test_a_device_tensor_is_no_numpy_array_unasked() -> None:
    there = vg.Tensor(np.ones(3, np.float32)).to("cuda")
    with pytest.raises(TypeError, match=r"call \.numpy\(\), which copies it"):
        np.asarray(there)


def test_a_mix_of_devices_names_both() -> None:
    here = vg.Tensor(np.ones(3, np.float32), requires_grad=True)
    there = here.to("cuda")
    with pytest.raises(TypeError, match=r"add: .* is on 'cuda' but .* on 'cpu'.*\.to\(\"cuda\"\)"):
        there + here
    with pytest.raises(TypeError, match=r"add: .* is on 'cpu' but .* on 'cuda'"):
        here + there
    with pytest.raises(TypeError, match="grad is on 'cpu' but the tensor is on 'cuda'"):
        there.backward(np.ones(3, np.float32))
    logits = vg.Tensor(np.zeros((2, 3), np.float32)).to("cuda")
    with pytest.raises(TypeError, match="logits are on 'cuda' but labels on 'cpu'"):
        vg.ops.cross_entropy(logits, np.array([0, 1]))


def test_float64_on_the_device_is_refused_with_the_way_out() -> None:
    there = vg.Tensor(np.ones(3)).to("cuda")
    with pytest.raises(TypeError, match=r"float64 arrays of a CUDA device.*\.to\(\"cpu\"\)"):
        there + there


def test_a_function_without_a_kernel_is_named() -> None:
    with pytest.raises(NotImplementedError, match="no_such_op: the CUDA backend does not have"):
        backend().no_such_op()


def test_a_numpy_array_is_no_argument_of_a_kernel() -> None:
    array = np.ones(3, np.float32)
    with pytest.raises(TypeError, match="incompatible function arguments"):
        backend().fill(array, 1.0)


@only_emulated
def test_out_of_memory_names_op_size_and_what_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    there = vg.Tensor(np.ones((10, 100), np.float32), requires_grad=True).to("cuda")
    held = _cuda_emulation.bytes_in_use()
    monkeypatch.setattr(fake_cupy, "capacity", held + 100)
    with pytest.raises(MemoryError) as caught:
        vg.ops.relu(there)
    message = str(caught.value)
    assert message.startswith("relu: the device has no memory for an array of shape (10, 100)")
    assert "dtype float32 (4,000 bytes)" in message
    assert f"{held:,} bytes are in use" in message
    monkeypatch.setattr(fake_cupy, "capacity", 1 << 40)
    output = vg.ops.sigmoid(there)
    start = vg.Tensor(np.ones((10, 100), np.float32)).to("cuda")
    monkeypatch.setattr(fake_cupy, "capacity", _cuda_emulation.bytes_in_use())
    with pytest.raises(MemoryError, match="sigmoid, backward: the device has no memory"):
        output.backward(start)


@only_emulated
def test_everything_is_given_back() -> None:
    gc.collect()  # what earlier tests left in cycles
    before = _cuda_emulation.bytes_in_use()
    there = vg.Tensor(np.ones((300, 70), np.float32), requires_grad=True).to("cuda")
    (there * 2.0).sum().backward()
    del there
    assert _cuda_emulation.bytes_in_use() == before


@pytest.mark.parametrize("kind", ["sgd", "nesterov", "adam", "adamw"])
def test_training_follows_the_cpu(kind: str) -> None:
    make: Any = {
        "sgd": lambda p: optim.SGD(p, 0.1, weight_decay=0.01),
        "nesterov": lambda p: optim.SGD(p, 0.1, momentum=0.9, nesterov=True),
        "adam": lambda p: optim.Adam(p, 0.05, weight_decay=0.01),
        "adamw": lambda p: optim.AdamW(p, 0.05),
    }[kind]
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((7, 5)).astype(np.float32) for _ in range(2))
    states = []
    for place in ("cpu", "cuda"):
        model = Scale().to(place)
        optimizer = make(model.parameters())
        for _ in range(5):
            optimizer.zero_grad()
            loss = vg.ops.mse_loss(model(vg.Tensor(x).to(place)), vg.Tensor(y).to(place))
            loss.backward()
            norm = optim.clip_grad_norm(model.parameters(), 0.3)
            optimizer.step()
        states.append({**model.state_dict(), "norm": norm, "loss": loss.item()})
    for name, expected in states[0].items():
        np.testing.assert_allclose(states[1][name], expected, rtol=2e-5, atol=1e-6, err_msg=name)


def test_many_arrays_take_one_step_each() -> None:
    rng = np.random.default_rng(1)
    host = [rng.standard_normal(n).astype(np.float32) for n in (3, 0, 1024, 1025, *[5] * 60, 4000)]
    cuda = backend()
    params = [cuda.from_host(a) for a in host]
    cuda.sgd_step(params, [cuda.from_host(a) for a in host], [], 0.25, 0.0, False, 0.0)
    for param, start in zip(params, host, strict=True):
        np.testing.assert_array_equal(cuda.to_host(param), start - np.float32(0.25) * start)
    squares = sum(float((a.astype(np.float64) ** 2).sum()) for a in host)
    assert cuda.squared_norm([cuda.from_host(a) for a in host]) == pytest.approx(squares, rel=1e-12)
    bad = host[3].copy()
    bad[700] = np.inf
    assert [cuda.all_finite(cuda.from_host(a)) for a in (host[3], bad)] == [True, False]


def test_state_goes_between_devices() -> None:
    here, there = Scale(), Scale().to("cuda")
    there.load_state_dict({name: array + 1 for name, array in here.state_dict().items()})
    state = there.state_dict()
    assert {type(array) for array in state.values()} == {np.ndarray}
    np.testing.assert_array_equal(state["calls"], [1, 1])
    back = there.to("cpu")
    assert back.factor.device == "cpu" and type(back.calls) is np.ndarray
    optimizer = optim.SGD(there.to("cuda").parameters(), 0.1, momentum=0.9)
    arrays = optimizer.state_dict()["arrays"]
    assert {type(array) for array in arrays.values()} == {np.ndarray}
    optimizer.load_state_dict(optimizer.state_dict())


def test_an_optimizer_made_before_the_move_says_so() -> None:
    model = Scale()
    optimizer = optim.Adam(model.parameters(), 0.1)
    model.to("cuda")
    model(vg.Tensor(np.ones((2, 5), np.float32)).to("cuda")).sum().backward()
    with pytest.raises(TypeError, match=r"Adam: .* on 'cuda' but its state on 'cpu'.*after"):
        optimizer.step()


FAULTS = {
    "label": r"cross_entropy: label 7 \(element 1\) is outside \[0, 3\)",
    "nothing": "cross_entropy: nothing is counted",
    "target": r"with_logits: targets hold 1.5 \(element 4\)",
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_in_the_numbers_is_raised_when_the_result_is_read(kind: str) -> None:
    logits = vg.Tensor(np.zeros((2, 3), np.float32)).to("cuda")
    if kind == "target":
        targets = np.zeros((2, 3), np.float32)
        targets[1, 1] = 1.5
        loss = vg.ops.binary_cross_entropy_with_logits(logits, vg.Tensor(targets).to("cuda"))
    else:
        labels = np.array([0, 7] if kind == "label" else [-100, -100])
        loss = vg.ops.cross_entropy(logits, vg.Tensor(labels).to("cuda"))
    with pytest.raises(ValueError, match=FAULTS[kind]):
        loss.item()
    assert vg.ops.cross_entropy(logits, vg.Tensor(np.array([0, 1])).to("cuda")).item() > 0


def test_the_functions_take_what_those_of_the_reference_take() -> None:
    own = {"squared_norm", "all_finite"}
    native = backend()._native
    names = [name for name in reference.__all__ if backend().offers(name) and name not in own]
    assert len(names) > 30
    for name in names:
        expected = _parameters(getattr(reference, name))
        assert _parameters(getattr(native, name)) == ["stream", *expected], name


def _module(**attributes: Any) -> ModuleType:
    module = ModuleType("fake")
    vars(module).update(attributes)
    return module


@pytest.mark.parametrize(
    ("extension", "cupy", "expected"),
    [
        (None, None, "no CUDA extension: pip install 'voxelgrad[cuda]'"),
        ({"_version": "0.0.1"}, None, "of version 0.0.1, voxelgrad of"),
        (
            {"_device_problem": lambda: "no NVIDIA driver is installed"},
            None,
            "no device: no NVIDIA",
        ),
        ({}, None, "no cupy"),
        ({}, {}, ""),
    ],
)
def test_it_is_said_why_cuda_is_not_available(
    monkeypatch: pytest.MonkeyPatch, extension: Any, cupy: Any, expected: str
) -> None:
    backends._loaded.pop("cuda", None)
    usual = {"_version": vg.__version__, "_device_problem": lambda: ""}
    found = None if extension is None else _module(**{**usual, **extension})
    monkeypatch.setitem(sys.modules, "voxelgrad._cuda", found)
    monkeypatch.setitem(sys.modules, "cupy", None if cupy is None else _module(**cupy))
    assert expected in cuda_module.problem()
    if expected:
        with pytest.raises(RuntimeError, match="CUDA is not available: "):
            vg.Tensor(np.ones(2, np.float32)).to("cuda")
    else:
        assert cuda_module.problem() == ""


@pytest.mark.parametrize(
    "loss",
    ["cross_entropy", "focal_loss", "dice_loss", "binary_cross_entropy_with_logits", "mse_loss"],
)
def test_nan_among_the_scores_is_nan_in_the_loss(loss: str) -> None:
    scores = np.zeros((4, 3), np.float32)
    scores[2, 1] = np.nan
    wide = loss in ("binary_cross_entropy_with_logits", "mse_loss")
    target = np.zeros((4, 3), np.float32) if wide else np.array([0, 1, 1, 2])
    result = getattr(vg.ops, loss)(vg.Tensor(scores).to("cuda"), vg.Tensor(target).to("cuda"))
    assert np.isnan(result.item())


@pytest.mark.parametrize("shape", [(6, 5), (4, 5, 3)])
@pytest.mark.parametrize("bends", [False, True])
def test_augmentation_does_what_the_cpu_does(shape: tuple[int, ...], bends: bool) -> None:
    cuda, cpu = backend(), backends.load("cpu")
    image, matrix, offset, field = random_case(shape)
    mask = (image[..., 0] * 3).astype(np.int64)
    fill = np.float32([-1.0, 2.0])
    results = []
    for engine in (cpu, cuda):
        move = cuda.from_host if engine is cuda else np.copy
        bent = move(field) if bends else None
        output, labels = move(np.zeros_like(image)), move(np.zeros_like(mask))
        engine.resample_linear(move(image), output, matrix, offset, bent, move(fill))
        engine.resample_nearest(move(mask), labels, matrix, offset, bent, -7)
        noisy = move(np.zeros_like(image))
        engine.add_gaussian_noise(move(image), noisy, 0.5, 11)
        settings = [move(np.float32(v)) for v in ([-1, 0], [1, 0], [1.5, 2], [2, 3], [0.5, 1])]
        bright = move(np.zeros_like(image))
        engine.adjust_intensity(move(image), bright, *settings)
        results.append([backends.move("test", a, "cpu") for a in (output, noisy, bright, labels)])
    for mine, expected in zip(results[1], results[0], strict=True):
        np.testing.assert_allclose(mine, expected, rtol=2e-6, atol=2e-6)
    np.testing.assert_array_equal(results[1][3], results[0][3])
