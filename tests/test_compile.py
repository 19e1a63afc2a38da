"""Compiled steps: the numbers of the eager path, bit for bit, or a refusal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import voxelgrad as vg
from voxelgrad import nn, ops, optim
from voxelgrad.backends import cpu

STEPS = 4

LABEL_LOSSES = [
    nn.CrossEntropyLoss(class_weight=[0.5, 1.0, 2.0], ignore_index=0),
    nn.DiceLoss(batch=False, include_background=False),
    nn.DiceCELoss(),
    nn.FocalLoss(),
    lambda logits, labels: ops.cross_entropy(logits, labels) * 0.5 + logits.mean(),
]


def unet(spatial_dims: int, norm: str) -> Callable[[], nn.Module]:
    return lambda: vg.models.UNet(2, 3, spatial_dims, features=(4, 8, 12), norm=norm)


def small_cnn() -> nn.Module:
    """Return convolutions, activations and pools as LeNet has them."""
    return nn.Sequential(
        *(nn.Conv2d(1, 3, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1)),
        *(nn.Flatten(), nn.Linear(20, 7), nn.ReLU(), nn.Linear(7, 3)),
    )


# Builder of a model, shape of its input, number of classes, whether every pixel has a label.
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int, bool]] = {
    "mlp": (lambda: vg.models.MLP(6, 3, hidden=(16, 8), dropout=0.3), (5, 6), 3, False),
    "cnn": (lambda: vg.models.CNN(2, 3, features=(4, 8), dropout=0.2), (3, 8, 8, 2), 3, False),
    "small cnn": (small_cnn, (9, 10, 11, 1), 3, False),
    "unet 2d": (unet(2, "batch"), (2, 8, 12, 2), 3, True),
    "unet 3d": (unet(3, "instance"), (1, 8, 8, 4, 2), 3, True),
}
OPTIMIZERS: dict[str, Callable[[Any], optim.Optimizer]] = {
    "sgd": lambda p: optim.SGD(p, 0.05, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "adam": lambda p: optim.Adam(p, 0.01),
    "adamw": lambda p: optim.AdamW(p, 0.01),
}


def batches(network: str, count: int = STEPS) -> list[tuple[np.ndarray, np.ndarray]]:
    _, shape, classes, dense = NETWORKS[network]
    rng = np.random.default_rng(3)
    labels = shape[:-1] if dense else shape[:1]
    return [
        (rng.standard_normal(shape, dtype=np.float32), rng.integers(0, classes, labels))
        for _ in range(count)
    ]


def build(network: str) -> nn.Module:
    vg.manual_seed(0)
    return NETWORKS[network][0]()


def eager_step(
    model: nn.Module, loss: Callable[..., vg.Tensor], image: np.ndarray, label: np.ndarray
) -> float:
    model.zero_grad()
    result = loss(model(vg.Tensor(image)), label)
    result.backward()
    return result.item()


def state_of(model: nn.Module) -> dict[str, bytes]:
    state = {name: array.tobytes() for name, array in model.state_dict().items()}
    grads = {
        f"{name}.grad": parameter.grad.numpy().tobytes()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    return {**state, **grads}


def predict_eagerly(model: nn.Module, image: np.ndarray) -> np.ndarray:
    model.eval()
    with vg.no_grad():
        return model(vg.Tensor(image)).numpy()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("network", NETWORKS)
def test_training_equals_the_eager_one(network: str, optimizer: str) -> None:
    runs = []
    for compiled in (False, True):
        model = build(network)
        update = OPTIMIZERS[optimizer](model.parameters())
        schedule = optim.CosineLR(update, total_steps=STEPS)
        step = vg.compile(model, ops.cross_entropy)
        losses = []
        for image, label in batches(network):
            losses.append(
                step(image, label)
                if compiled
                else eager_step(model, ops.cross_entropy, image, label)
            )
            optim.clip_grad_norm(model.parameters(), 0.5)
            update.step()
            schedule.step()
        runs.append((losses, state_of(model)))
    assert runs[0] == runs[1]


@pytest.mark.parametrize("loss", LABEL_LOSSES)
def test_every_loss_of_labels_trains(loss: Any) -> None:
    model, twin = build("unet 2d"), build("unet 2d")
    update, twin_update = (optim.SGD(m.parameters(), 0.1) for m in (model, twin))
    step = vg.compile(model, loss, update)
    for image, label in batches("unet 2d"):
        expected = eager_step(twin, loss, image, label)
        twin_update.step()
        assert step(image, label) == expected
    assert state_of(model) == state_of(twin)


@pytest.mark.parametrize("loss", [nn.BCEWithLogitsLoss(2.0), nn.MSELoss(), nn.L1Loss()])
def test_every_loss_of_numbers_trains(loss: Any) -> None:
    vg.manual_seed(0)
    model, twin = nn.Linear(4, 3), nn.Linear(4, 3)
    twin.load_state_dict(model.state_dict())
    step, rng = vg.compile(model, loss), np.random.default_rng(0)
    for _ in range(STEPS):
        image, target = (rng.random(shape, np.float32) for shape in ((5, 4), (5, 3)))
        assert step(image, vg.Tensor(target)) == eager_step(twin, loss, image, target)
        assert state_of(model) == state_of(twin)


def test_mixed_precision_is_recorded_apart() -> None:
    vg.manual_seed(0)
    model, twin = nn.Linear(6, 3), nn.Linear(6, 3)
    twin.load_state_dict(model.state_dict())
    step, losses = vg.compile(model, ops.cross_entropy), []
    for dtype in ("float32", "bfloat16", "float32", "bfloat16"):
        for image, label in batches("mlp", 2):
            with vg.autocast(dtype):
                losses.append(step(image, label))
                assert losses[-1] == eager_step(twin, ops.cross_entropy, image, label)
            assert state_of(model) == state_of(twin)
    assert losses[:2] == losses[4:6] and losses[0] != losses[2]


@pytest.mark.parametrize("network", ["mlp", "unet 3d"])
def test_prediction_without_batch_norm_equals_the_eager_one(network: str) -> None:
    model = build(network)
    predict = vg.compile(model)
    results = [predict(image).numpy() for image, _ in batches(network)]
    for (image, _), result in zip(batches(network), results, strict=True):
        assert result.tobytes() == predict_eagerly(model, image).tobytes()


def test_prediction_leaves_the_modes_and_earlier_results_alone() -> None:
    model = build("cnn")
    model.dropout.eval()
    predict, ((first, _), (second, _)) = vg.compile(model), batches("cnn", 2)
    result = predict(first)
    kept = result.numpy().copy()
    assert predict(second).numpy().tobytes() != kept.tobytes()
    assert result.numpy().tobytes() == kept.tobytes()
    assert model.training and not model.dropout.training


def test_shapes_modes_and_frozen_parameters_are_recorded_apart() -> None:
    model, twin = build("cnn"), build("cnn")
    step = vg.compile(model, ops.cross_entropy)

    def agree(size: int) -> None:
        vg.manual_seed(1)
        image = np.random.default_rng(size).standard_normal((size, 8, 8, 2), dtype=np.float32)
        label = np.arange(size) % 3
        result = step(image, label)
        vg.manual_seed(1)
        assert result == eager_step(twin, ops.cross_entropy, image, label)
        assert state_of(model) == state_of(twin)

    for size in (3, 4, 3, 4):
        agree(size)
    for net in (model, twin):
        net.eval()
    agree(3)
    for net in (model, twin):
        net.train()
        for parameter in net.levels.parameters():
            parameter.requires_grad = False
    agree(3)
    assert model.levels[0].conv1.weight.grad is None


def test_replaced_arrays_are_noticed() -> None:
    model, twin = build("mlp").eval(), build("mlp").eval()
    step, (image, label) = vg.compile(model, ops.cross_entropy), batches("mlp", 1)[0]
    step(image, label)
    for net in (model, twin):
        for parameter in net.parameters():
            parameter.data = parameter.data * np.float32(0.5)
    assert step(image, label) == eager_step(twin, ops.cross_entropy, image, label)
    assert state_of(model) == state_of(twin)


def test_labels_of_any_integers_are_checked_in_every_run() -> None:
    model, twin = build("mlp").eval(), build("mlp").eval()
    step, (image, label) = vg.compile(model, ops.cross_entropy), batches("mlp", 1)[0]
    for dtype in (np.int64, np.uint8, np.int32):
        expected = eager_step(twin, ops.cross_entropy, image, label)
        assert step(image, label.astype(dtype)) == expected
    with pytest.raises(ValueError, match="label 9 at index"):
        step(image, np.full_like(label, 9))
    with pytest.raises(ValueError, match="nothing is counted"):
        step(image, np.full_like(label, -100))
    assert step(image, label) == eager_step(twin, ops.cross_entropy, image, label)


def test_a_plan_holds_no_more_memory_than_is_in_use_at_the_peak_of_an_eager_step() -> None:
    model = vg.models.UNet(2, 3, features=(8, 16, 32))
    image = np.zeros((2, 64, 64, 2), np.float32)
    label = np.zeros((2, 64, 64), np.int64)
    cpu.memory_trim()
    before = cpu.memory_statistics()["in_use"]
    cpu.memory_reset_peak()
    eager_step(model, ops.cross_entropy, image, label)
    peak = cpu.memory_statistics()["peak_in_use"] - before
    model.zero_grad()
    step = vg.compile(model, ops.cross_entropy)
    for _ in range(2):
        step(image, label)
    (record,) = step._records.values()
    assert peak / 3 < record.recorder.plan.bytes <= peak  # workspaces may be half of the peak


def test_gradients_of_the_first_run_that_somebody_keeps_stay_as_they_are() -> None:
    model, (first, second) = build("cnn"), batches("cnn", 2)
    step = vg.compile(model, ops.cross_entropy)
    step(*first)
    kept = [parameter.grad.data for parameter in model.parameters()]
    numbers = [array.copy() for array in kept]
    step(*second)
    assert all(map(np.array_equal, kept, numbers))
    now = [parameter.grad.data for parameter in model.parameters()]
    assert not all(map(np.array_equal, kept, now))


class Freely(nn.Module):
    """A layer, then whatever a test says."""

    def __init__(self, then: Callable[[vg.Tensor], Any]) -> None:
        self.layer = nn.Linear(3, 2)
        self.then = then

    def forward(self, input: vg.Tensor) -> vg.Tensor:
        return self.then(self.layer(input))


def observed(hidden: vg.Tensor) -> vg.Tensor:
    if hidden.requires_grad:
        hidden.register_hook(lambda gradient: None)
    return hidden


@pytest.mark.parametrize(
    ("then", "error", "message"),
    [
        (lambda h: h * float(h.item()), RuntimeError, r"item\(\) cannot be part"),
        (lambda h: h * np.mean(np.asarray(h)), RuntimeError, "a numpy array of a tensor"),
        (lambda h: h + np.ones(2, np.float32), ValueError, "binary_forward reads an array"),
        (lambda h: vg.Tensor(h.numpy() * 2), RuntimeError, r"numpy\(\) cannot be part"),
        (lambda h: vg.Tensor(h.data * 2) + h, ValueError, "register_buffer"),
        (lambda h: h if h.sum() else -h, RuntimeError, "truth"),
        (observed, RuntimeError, "a hook cannot be part"),
    ],
)
def test_what_python_computes_in_between_is_refused(
    then: Callable[[vg.Tensor], Any], error: type[Exception], message: str
) -> None:
    step = vg.compile(Freely(then), ops.cross_entropy)
    with pytest.raises(error, match=message):
        step(np.ones((4, 3), np.float32), np.zeros(4, np.int64))


def test_forward_hooks_are_refused() -> None:
    model = build("mlp")
    model.layers.register_forward_hook(lambda module, inputs, output: None)
    with pytest.raises(RuntimeError, match="forward hooks"):
        vg.compile(model)(batches("mlp", 1)[0][0])


def test_buffers_and_numbers_may_take_part() -> None:
    class Shifted(nn.Module):
        def __init__(self) -> None:
            self.layer = nn.Linear(3, 2)
            self.register_buffer("shift", np.ones(2, np.float32))

        def forward(self, input: vg.Tensor) -> vg.Tensor:
            return 2.0 * self.layer(input) + self.shift

    model, image = Shifted(), np.ones((4, 3), np.float32)
    predict = vg.compile(model)
    predict(image)
    model.shift += 1.0
    assert predict(image).numpy().tobytes() == predict_eagerly(model, image).tobytes()


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(TypeError, match="model is function"):
        vg.compile(ops.relu)  # type: ignore[call-overload]
    model = build("mlp")
    with pytest.raises(ValueError, match="an optimizer needs a loss"):
        vg.compile(model, optimizer=optim.SGD(model.parameters(), 0.1))  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="in_features = 6"):
        vg.compile(model)(np.ones((2, 5), np.float32))
