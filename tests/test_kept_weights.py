"""Compiled predictions keep packed weights; whatever changes them is noticed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

import voxelgrad as vg
from instruction_sets import ALL, forced
from voxelgrad import nn
from voxelgrad.backends import cpu

LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "winograd": (lambda: nn.Conv2d(40, 48, 3, padding=1), (1, 9, 10, 40)),
    "winograd in 3D": (lambda: nn.Conv3d(20, 33, 3, padding=1), (1, 5, 9, 8, 20)),
    "direct": (lambda: nn.Conv2d(20, 40, 3, stride=2), (2, 9, 10, 20)),
    "many tasks compare": (lambda: nn.Conv2d(300, 70, 3), (1, 4, 4, 300)),
    "planar": (lambda: nn.Conv2d(20, 3, 1), (2, 5, 6, 20)),
    "groups": (lambda: nn.Conv2d(16, 32, 3, groups=4), (1, 8, 9, 16)),
    "transposed": (lambda: nn.ConvTranspose2d(20, 40, 2, 2), (2, 5, 4, 20)),
    "linear": (lambda: nn.Linear(70, 33), (5, 70)),
    "a linear layer of one row": (lambda: nn.Linear(70, 33), (1, 70)),
}


@contextmanager
def precision(name: str) -> Iterator[None]:
    if name == "float32":
        yield
    else:
        with vg.autocast(name):
            yield


def build(name: str) -> tuple[nn.Module, np.ndarray]:
    vg.manual_seed(0)
    layer, shape = LAYERS[name]
    return layer(), np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def predict_anew(model: nn.Module, image: np.ndarray) -> bytes:
    return vg.compile(model)(image).numpy().tobytes()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", LAYERS)
def test_a_change_of_any_number_in_place_is_noticed(name: str, dtype: str) -> None:
    model, image = build(name)
    predict, weight = vg.compile(model), model.weight.data.reshape(-1)
    with precision(dtype):
        first = predict(image).numpy().tobytes()
        assert predict(image).numpy().tobytes() == first
        for place in (0, weight.size // 2, weight.size - 1):
            before = weight[place]
            weight[place] = 50.0
            changed = predict(image).numpy().tobytes()
            assert changed != first
            assert changed == predict_anew(model, image)
            assert predict(image).numpy().tobytes() == changed
            weight[place] = before
            assert predict(image).numpy().tobytes() == first


def test_folded_layers_notice_a_change_of_their_norm() -> None:
    vg.manual_seed(0)
    model = vg.models.CNN(2, 3, features=(16, 32))
    image = np.random.default_rng(0).standard_normal((2, 16, 16, 2), dtype=np.float32)
    predict = vg.compile(model)
    first = [predict(image).numpy().tobytes() for _ in range(3)]
    assert len(set(first)) == 1
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm)]
    norms[-1].running_var[3] *= 2
    assert predict(image).numpy().tobytes() == predict_anew(model, image) != first[0]


def test_another_algorithm_or_instruction_set_packs_anew() -> None:
    model, image = build("winograd")
    predict = vg.compile(model)
    for isa in (*ALL, *reversed(ALL)):
        for algorithm in ("winograd", "direct"):
            with forced(algorithm, isa):
                kept = predict(image).numpy().tobytes()
                assert kept == predict_anew(model, image)


def test_weights_that_are_not_numbers_are_kept_as_well() -> None:
    model, image = build("direct")
    model.weight.data[...] = np.nan
    predict = vg.compile(model)
    assert all(np.isnan(predict(image).numpy()).all() for _ in range(3))


def kept_bytes() -> tuple[int, int]:
    """Return the bytes of a weight, and those that a plan keeps because of it."""
    model, image = build("winograd")
    predict = vg.compile(model)
    predict(image)
    (record,) = predict._records.values()
    plan = record.recorder.plan
    recorded = plan.bytes
    predict(image)
    return model.weight.numpy().nbytes, plan.bytes - recorded


def test_kept_weights_count_as_memory_of_the_plan_and_go_with_it() -> None:
    before = cpu.memory_statistics()["in_use"]
    for _ in range(6):
        weight, kept = kept_bytes()
    # A copy, and 36 or 64 frequencies in place of 9 taps, by panels.
    assert weight * (1 + 36 / 9) <= kept <= weight * (1 + 2 * 64 / 9)
    # Threads keep a few workspaces, but six plans would have left six times as much.
    assert cpu.memory_statistics()["in_use"] <= before + 3 * kept


def test_training_keeps_no_packed_weights() -> None:
    model, image = build("winograd")
    step = vg.compile(model, lambda output, _: (output * output).mean())
    sizes = []
    for _ in range(4):
        step(image, np.zeros(1, np.float32))
        (record,) = step._records.values()
        sizes.append(record.recorder.plan.bytes)
    # The second call lays out the arrays. Frequencies of this weight would not fit beside them.
    assert len(set(sizes[1:])) == 1
    assert sizes[1] < model.weight.numpy().nbytes * 36 / 9
