"""Compiled steps on a CUDA device: graphs that give the numbers of the eager step, bit for bit.

Emulated unless VOXELGRAD_TEST_CUDA=1, as in test_cuda_emulation.py.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import voxelgrad as vg
from cuda_device import IS_REAL, backend
from test_compile import (
    LABEL_LOSSES,
    Freely,
    batches,
    build,
    eager_step,
    observed,
    predict_eagerly,
    state_of,
)
from voxelgrad import backends, nn, ops, optim

if not IS_REAL:
    from cuda_emulation import _cuda_emulation, fake_cupy

only_emulated = pytest.mark.skipif(IS_REAL, reason="needs the emulated device")

STEPS = 5  # one as ever, one that is captured, three launches


@pytest.fixture(autouse=True)
def device() -> Iterator[None]:
    """The backend of the tests is the one in force, and nothing is left of it afterwards."""
    backend()
    yield
    backends._loaded.pop("cuda", None)


def there(*arrays: np.ndarray) -> list[Any]:
    return [backend().from_host(array) for array in arrays]


def device_batches(network: str, count: int = STEPS) -> list[list[Any]]:
    return [there(*batch) for batch in batches(network, count)]


def count_calls(model: nn.Module) -> list[int]:
    """Return a list that gets an entry whenever Python runs the model."""
    calls: list[int] = []
    forward = model.forward

    def counted(*inputs: Any) -> vg.Tensor:
        calls.append(1)
        return forward(*inputs)

    model.forward = counted
    return calls


def train(network: str, loss: Callable[..., vg.Tensor], is_compiled: bool) -> tuple[Any, ...]:
    """Return the losses, the model's arrays and gradients, and how often Python ran the model."""
    model = build(network).to("cuda")
    update = optim.SGD(model.parameters(), 0.05, momentum=0.9)
    schedule = optim.CosineLR(update, total_steps=STEPS)
    calls = count_calls(model)
    step = vg.compile(model, loss, update)
    losses = []
    for image, label in device_batches(network):
        if is_compiled:
            losses.append(step(image, label))
        else:
            losses.append(eager_step(model, loss, image, label))
            update.step()
        schedule.step()
    return losses, state_of(model), len(calls)


@pytest.mark.parametrize("network", ["mlp", "cnn", "unet 2d", "unet 3d"])
def test_training_equals_the_eager_one(network: str) -> None:
    """With dropout, running statistics and a learning rate that falls."""
    expected, compiled = (train(network, ops.cross_entropy, how) for how in (False, True))
    assert compiled[:2] == expected[:2]
    assert len(set(compiled[0])) == STEPS
    assert (expected[2], compiled[2]) == (STEPS, 2)


@pytest.mark.parametrize("loss", LABEL_LOSSES)
def test_every_loss_of_labels_trains(loss: Any) -> None:
    expected, compiled = (train("mlp", loss, how) for how in (False, True))
    assert compiled == (*expected[:2], 2)


@pytest.mark.parametrize("loss", [nn.BCEWithLogitsLoss(2.0), nn.MSELoss(), nn.L1Loss()])
def test_every_loss_of_numbers_trains(loss: Any) -> None:
    vg.manual_seed(0)
    model, twin = nn.Linear(4, 3), nn.Linear(4, 3)
    twin.load_state_dict(model.state_dict())
    step, rng = vg.compile(model.to("cuda"), loss), np.random.default_rng(0)
    twin.to("cuda")
    for _ in range(STEPS):
        image, target = there(*(rng.random(shape, np.float32) for shape in ((5, 4), (5, 3))))
        assert step(image, vg.Tensor(target)) == eager_step(twin, loss, image, vg.Tensor(target))
        assert state_of(model) == state_of(twin)


def test_checkpointed_parts_draw_the_same_masks_again() -> None:
    class Checkpointed(nn.Module):
        def __init__(self) -> None:
            self.part = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.4))
            self.head = nn.Linear(8, 3)

        def forward(self, input: vg.Tensor) -> vg.Tensor:
            return self.head(vg.checkpoint(self.part, input))

    results = []
    for is_compiled in (False, True):
        vg.manual_seed(0)
        model = Checkpointed().to("cuda")
        step = vg.compile(model, ops.cross_entropy)
        run = step if is_compiled else lambda *b, m=model: eager_step(m, ops.cross_entropy, *b)
        results.append(([run(*batch) for batch in device_batches("mlp")], state_of(model)))
    assert results[0] == results[1]


def test_mixed_precision_is_captured_apart() -> None:
    vg.manual_seed(0)
    model, twin = nn.Linear(8, 3), nn.Linear(8, 3)
    twin.load_state_dict(model.state_dict())
    step = vg.compile(model.to("cuda"), ops.cross_entropy)
    twin.to("cuda")
    image, label = there(np.random.default_rng(0).random((4, 8), np.float32), np.arange(4) % 3)
    losses = []
    for dtype in ("float32", "bfloat16") * 3:
        with vg.autocast(dtype):
            losses.append(step(image, label))
            assert losses[-1] == eager_step(twin, ops.cross_entropy, image, label)
        assert state_of(model) == state_of(twin)
    assert losses[0] != losses[1]


@pytest.mark.parametrize("network", ["mlp", "unet 3d"])
def test_prediction_without_batch_norm_equals_the_eager_one(network: str) -> None:
    model = build(network).to("cuda")
    calls, predict = count_calls(model), vg.compile(model)
    results = [predict(image) for image, _ in device_batches(network)]
    assert len(calls) == 2
    assert {result.device for result in results} == {"cuda"}
    for (image, _), result in zip(device_batches(network), results, strict=True):
        assert result.numpy().tobytes() == predict_eagerly(model, image).tobytes()


@pytest.mark.parametrize("network", ["cnn", "unet 2d"])
def test_prediction_folds_batch_norm_as_on_the_cpu(network: str) -> None:
    model = build(network)
    for image, label in batches(network, 2):
        eager_step(model, ops.cross_entropy, image, label)  # other statistics than the first ones
    inputs = batches(network, STEPS)
    expected = [vg.compile(model)(image).numpy() for image, _ in inputs]
    model.to("cuda")
    predict = vg.compile(model)
    results = [predict(*there(image)).numpy() for image, _ in inputs]
    again = [predict(*there(image)).numpy() for image, _ in inputs]
    eagers = [predict_eagerly(model, image) for image, _ in device_batches(network)]
    # Another order of roundings, not other arithmetic.
    assert [r.tobytes() for r in results] != [e.tobytes() for e in eagers]
    assert [r.tobytes() for r in results] == [a.tobytes() for a in again]
    for result, eager, on_cpu in zip(results, eagers, expected, strict=True):
        scale = np.abs(eager).max()
        np.testing.assert_allclose(result, eager, rtol=0, atol=1e-5 * scale)
        np.testing.assert_allclose(result, on_cpu, rtol=0, atol=1e-5 * scale)


def test_a_layer_with_two_readers_is_not_folded() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            self.layer, self.norm = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm(4)

        def forward(self, input: vg.Tensor) -> vg.Tensor:
            hidden = self.layer(input)
            return self.norm(hidden) + hidden

    vg.manual_seed(0)
    model = Residual().to("cuda")
    predict = vg.compile(model)
    for image, _ in device_batches("cnn", 3):
        assert predict(image).numpy().tobytes() == predict_eagerly(model, image).tobytes()


def test_predictions_stay_when_the_next_one_is_made() -> None:
    model = build("mlp").to("cuda")
    predict, images = vg.compile(model), [image for image, _ in device_batches("mlp")]
    results = [predict(image) for image in images]
    kept = [result.numpy() for result in results]
    predict(images[0])
    assert [r.numpy().tobytes() for r in results] == [k.tobytes() for k in kept]
    assert len({k.tobytes() for k in kept}) == STEPS


def test_shapes_and_frozen_parameters_are_captured_apart() -> None:
    model, twin = build("mlp").to("cuda"), build("mlp").to("cuda")
    step = vg.compile(model, ops.cross_entropy)

    def agree(size: int) -> None:
        vg.manual_seed(1)
        rng = np.random.default_rng(size)
        image, label = there(rng.standard_normal((size, 6), dtype=np.float32), np.arange(size) % 3)
        result = step(image, label)
        vg.manual_seed(1)
        assert result == eager_step(twin, ops.cross_entropy, image, label)
        assert state_of(model) == state_of(twin)

    for size in (3, 4, 3, 4, 3, 4):
        agree(size)
    for net in (model, twin):
        net.eval()
    for _ in range(3):
        agree(3)
    for net in (model, twin):
        next(iter(net.parameters())).requires_grad = False
    for _ in range(3):
        agree(3)
    assert next(iter(model.parameters())).grad is None


def test_changed_and_replaced_arrays_are_noticed() -> None:
    model, twin = build("mlp").eval().to("cuda"), build("mlp").eval().to("cuda")
    step, (image, label) = vg.compile(model, ops.cross_entropy), device_batches("mlp", 1)[0]

    def agree() -> None:
        for _ in range(3):
            assert step(image, label) == eager_step(twin, ops.cross_entropy, image, label)
            assert state_of(model) == state_of(twin)

    agree()
    for net in (model, twin):
        net.load_state_dict({k: v * np.float32(0.9) for k, v in net.state_dict().items()})
    agree()
    for net in (model, twin):
        for parameter in net.parameters():
            parameter.data = parameter.data * np.float32(0.5)
    agree()
    for net in (model, twin):
        net.to("cpu").to("cuda")
    agree()


def test_a_label_that_is_no_class_is_named_before_parameters_change() -> None:
    model = build("mlp").eval().to("cuda")
    step = vg.compile(model, ops.cross_entropy, optim.SGD(model.parameters(), 0.1))
    image, label = device_batches("mlp", 1)[0]
    (wrong,) = there(np.full(5, 9))
    for _ in range(4):
        before = model.state_dict()
        with pytest.raises(ValueError, match=r"label 9 \(element 0\) is outside \[0, 3\)"):
            step(image, wrong)
        after = model.state_dict()
        assert all(before[name].tobytes() == after[name].tobytes() for name in before)
        assert np.isfinite(step(image, label))


def test_what_is_computed_in_between_does_not_disturb() -> None:
    """The memory of a graph is given to nobody else."""
    model = build("mlp").to("cuda")
    predict, (image, _) = vg.compile(model), device_batches("mlp", 1)[0]
    results, kept = [], []
    for _ in range(STEPS):
        results.append(predict(image).numpy().tobytes())
        kept += [backend().zeros((n,)) for n in (5 * 16, 5 * 8, 5 * 3, 16 * 6, 8 * 16, 3 * 8)]
    assert len(set(results)) == 1
    assert all(not array.get().any() for array in kept)


@pytest.mark.parametrize(
    ("then", "error", "message"),
    [
        (lambda h: h * float(h.item()), RuntimeError, r"item\(\) cannot be part"),
        (lambda h: h + np.ones(2, np.float32), TypeError, "on 'cuda' but .* on 'cpu'"),
        (lambda h: vg.Tensor(h.numpy() * 2), RuntimeError, r"numpy\(\) cannot be part"),
        (lambda h: vg.Tensor(h.data * 2) + h, ValueError, "register_buffer"),
        (lambda h: h if h.sum() else -h, RuntimeError, "truth"),
        (lambda h: h.to("cpu").to("cuda"), RuntimeError, "a copy to 'cpu' cannot be part"),
        (lambda h: h * backends.backend_of(h.data).squared_norm([h.data]), RuntimeError, "waits"),
        (observed, RuntimeError, "a hook cannot be part"),
    ],
)
def test_what_python_computes_in_between_is_refused(
    then: Callable[[vg.Tensor], Any], error: type[Exception], message: str
) -> None:
    step = vg.compile(Freely(then).to("cuda"), ops.cross_entropy)
    with pytest.raises(error, match=message):
        step(*there(np.ones((4, 3), np.float32), np.zeros(4, np.int64)))


def test_a_mix_of_devices_is_a_type_error() -> None:
    image, label = batches("mlp", 1)[0]
    step = vg.compile(build("mlp").to("cuda"), ops.cross_entropy)
    for inputs in ((image, *there(label)), (*there(image), label), (image, label)):
        with pytest.raises(TypeError, match=r"on 'cuda' but .* on 'cpu'|on 'cpu' but .* on 'cuda'"):
            step(*inputs)
    with pytest.raises(TypeError, match=r"on 'cuda' but .* on 'cpu'"):
        vg.compile(build("mlp"))(*there(image))


def test_an_error_in_the_capture_ends_it_and_the_next_call_works() -> None:
    """What reads the device behind voxelgrad's back is found by the capture."""
    reads = [False]

    def then(hidden: vg.Tensor) -> vg.Tensor:
        if reads[0]:
            hidden.data.get()
        return hidden

    model = Freely(then).to("cuda")
    step = vg.compile(model, ops.cross_entropy)
    batch = there(np.ones((4, 3), np.float32), np.zeros(4, np.int64))
    expected = step(*batch)
    for what, message in ((True, "cannot capture this step"), (None, "not this time")):
        reads[0] = bool(what)
        if what is None:
            model.then = _raise
        with pytest.raises(RuntimeError, match=message):
            step(*batch)
        assert model.layer.weight.grad is None
        reads[0], model.then = False, then
        assert [step(*batch) for _ in range(3)] == [expected] * 3
        step._records.clear()
        step(*batch)


def _raise(hidden: vg.Tensor) -> vg.Tensor:
    raise RuntimeError("not this time")


def test_constants_that_change_are_refused() -> None:
    model, weights = build("mlp").to("cuda"), np.ones(3, np.float32)
    step = vg.compile(model, nn.CrossEntropyLoss(class_weight=weights))
    image, label = device_batches("mlp", 1)[0]
    step(image, label)
    weights[0] = 2.0
    with pytest.raises(RuntimeError, match=r"a constant that changes, \[2. 1. 1.\], cannot be"):
        step(image, label)
    assert np.isfinite([step(image, label) for _ in range(3)]).all()


@only_emulated
def test_memory_is_held_by_the_steps_and_returned_with_them() -> None:
    model = build("cnn").to("cuda")
    batch = device_batches("cnn", 1)[0]
    eager_step(model, ops.cross_entropy, *batch)  # makes room for faults
    model.zero_grad()
    gc.collect()
    before = _cuda_emulation.bytes_in_use()
    step, predict = vg.compile(model, ops.cross_entropy), vg.compile(model)
    for _ in range(3):
        step(*batch)
        predict(batch[0])
    held = backend().memory_statistics()["graphs"]
    assert 0 < held < _cuda_emulation.bytes_in_use() - before
    gradients = state_of(model)
    del step, predict
    gc.collect()
    assert backend().memory_statistics()["graphs"] == 0
    assert state_of(model) == gradients  # whose memory is still there
    model.zero_grad()
    assert _cuda_emulation.bytes_in_use() == before


@only_emulated
def test_out_of_memory_in_the_capture_names_the_op(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build("mlp").to("cuda")
    step, batch = vg.compile(model, ops.cross_entropy), device_batches("mlp", 1)[0]
    step(*batch)
    monkeypatch.setattr(fake_cupy, "capacity", _cuda_emulation.bytes_in_use() + 300)
    with pytest.raises(MemoryError, match="linear: the device has no memory for an array"):
        step(*batch)
    monkeypatch.setattr(fake_cupy, "capacity", 1 << 40)
    assert np.isfinite([step(*batch) for _ in range(3)]).all()
