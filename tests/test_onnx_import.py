"""Imported graphs: layout, sizes that vary, training on, saving."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import voxelgrad as vg
from voxelgrad import ops
from voxelgrad.grad_mode import observe

pytest.importorskip("onnx", reason="reads ONNX files, and onnx is not installed")

from onnx import helper

from onnx_files import write_model

interop = vg.interop.onnx
rng = np.random.default_rng(8)


def normal(*shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


def small_network(path: Path) -> Path:
    """Conv, batch norm, ReLU, pool, flatten, linear: the first and last weights are named."""
    nodes = [
        helper.make_node("Conv", ["x", "conv.weight", "conv.bias"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["a", "s", "b", "mean", "var"], ["c"]),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("Concat", ["d", "x"], ["e"], axis=1),
        helper.make_node("GlobalAveragePool", ["e"], ["f"]),
        helper.make_node("Flatten", ["f"], ["g"]),
        helper.make_node("Gemm", ["g", "fc.weight", "fc.bias"], ["y"], transB=1),
    ]
    weights = {
        "conv.weight": normal(4, 3, 3, 3),
        "conv.bias": normal(4),
        "s": np.ones(4, np.float32),
        "b": np.zeros(4, np.float32),
        "mean": np.zeros(4, np.float32),
        "var": np.ones(4, np.float32),
        "fc.weight": normal(2, 7),
        "fc.bias": normal(2),
    }
    return write_model(path, nodes, ["N", 3, "H", "W"], weights)


def test_no_image_is_turned_between_the_edges(tmp_path: Path) -> None:
    model = interop.load(small_network(tmp_path / "m.onnx"))
    seen: list[str] = []
    with observe(lambda function, arrays, output: seen.append(function.op)):
        model(normal(2, 6, 5, 3))
    assert "transpose" not in seen
    assert "conv2d" in seen


def test_batch_and_image_size_may_vary(tmp_path: Path) -> None:
    model = interop.load(small_network(tmp_path / "m.onnx"))
    assert [str(port) for port in model.inputs] == ["x: float32 (N, H, W, 3)"]
    for shape in ((1, 4, 4, 3), (3, 9, 7, 3)):
        assert model(normal(*shape)).shape == (shape[0], 2)


def test_an_imported_network_trains_on(tmp_path: Path) -> None:
    model = interop.load(small_network(tmp_path / "m.onnx")).train()
    optimizer = vg.optim.SGD(model.parameters(), lr=0.1)
    images, labels = normal(8, 6, 6, 3), np.arange(8) % 2
    images[labels == 1] += 0.5  # what there is to learn
    before = model.weights.mean.copy()
    losses = []
    for _ in range(20):
        loss = ops.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    assert not np.array_equal(model.weights.mean, before)


def test_weights_are_parameters_and_statistics_are_not(tmp_path: Path) -> None:
    model = interop.load(small_network(tmp_path / "m.onnx"))
    assert {name for name, _ in model.named_parameters()} == {
        f"weights.{name}" for name in ("conv_weight", "conv_bias", "s", "b", "fc_weight", "fc_bias")
    }
    assert {name for name, _ in model.named_buffers()} == {"weights.mean", "weights.var"}


def test_a_saved_import_is_loaded_without_the_onnx_file(tmp_path: Path) -> None:
    model = interop.load(small_network(tmp_path / "m.onnx"))
    vg.save(tmp_path / "m.safetensors", model)
    again = vg.load(tmp_path / "m.safetensors")
    x = normal(2, 5, 5, 3)
    np.testing.assert_array_equal(again(x).numpy(), model(x).numpy())


def test_a_tied_weight_stays_one_parameter(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["a"], transB=1),
        helper.make_node("Gemm", ["a", "w"], ["y"]),
    ]
    w = normal(3, 3)
    model = interop.load(write_model(tmp_path / "m.onnx", nodes, ["N", 3], {"w": w}))
    x = normal(2, 3)
    model(x).backward(np.ones((2, 3), np.float32))
    (parameter,) = model.parameters()
    assert parameter.grad is not None
    np.testing.assert_allclose(model(x).numpy(), x @ w.T @ w, rtol=1e-5, atol=1e-5)


def test_awkward_weight_names_do_not_clash(tmp_path: Path) -> None:
    names = ["training", "a.b", "a_b", "0", "forward"]
    nodes, before = [], "x"
    for index, name in enumerate(names):
        after = "y" if index == len(names) - 1 else f"v{index}"
        nodes.append(helper.make_node("Add", [before, name], [after]))
        before = after
    weights = {name: np.full(3, 10.0**i, np.float32) for i, name in enumerate(names)}
    model = interop.load(write_model(tmp_path / "m.onnx", nodes, ["N", 3], weights))
    np.testing.assert_array_equal(model(np.zeros((1, 3), np.float32)).numpy(), [[11111.0] * 3])


def test_channels_last_graphs_are_not_copied(tmp_path: Path) -> None:
    """A network from TensorFlow turns its images itself; here these nodes cost nothing."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["a"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["a", "w"], ["b"]),
        helper.make_node("Transpose", ["b"], ["y"], perm=[0, 2, 3, 1]),
    ]
    model = interop.load(
        write_model(
            tmp_path / "m.onnx", nodes, ["N", "H", "W", 2], {"w": normal(3, 2, 1, 1)}, output_rank=4
        )
    )
    seen: list[str] = []
    with observe(lambda function, arrays, output: seen.append(function.op)):
        assert model(normal(1, 4, 5, 2)).shape == (1, 4, 5, 3)
    assert seen == ["conv2d"]


def test_dropout_drops_in_training_only(tmp_path: Path) -> None:
    nodes = [helper.make_node("Dropout", ["x"], ["y"])]
    model = interop.load(write_model(tmp_path / "m.onnx", nodes, ["N", 50]))
    x = np.ones((2, 50), np.float32)
    np.testing.assert_array_equal(model(x).numpy(), x)
    assert set(np.unique(model.train()(x).numpy())) == {0.0, 2.0}


def test_an_infinite_limit_survives_saving(tmp_path: Path) -> None:
    node = helper.make_node("Clip", ["x"], ["y"], min=0.0, max=float("inf"))
    model = interop.load(write_model(tmp_path / "m.onnx", [node], ["N", 3], opset=6))
    vg.save(tmp_path / "m.safetensors", model)
    found = vg.load(tmp_path / "m.safetensors")(np.asarray([[-1, 0, 1e30]], np.float32))
    np.testing.assert_array_equal(found.numpy(), np.asarray([[0, 0, 1e30]], np.float32))


def test_a_norm_takes_the_relu_after_it_into_its_pass(tmp_path: Path) -> None:
    model = interop.load(small_network(tmp_path / "m.onnx"))
    seen: list[str] = []
    with observe(lambda function, arrays, output: seen.append(function.op)):
        model(normal(1, 4, 4, 3))
    assert seen[:3] == ["conv2d", "batch_norm", "concat"]


def test_a_norm_whose_result_is_used_twice_keeps_it(tmp_path: Path) -> None:
    scale = {
        name: np.full(3, value, np.float32)
        for name, value in zip("sbmv", (2, 1, 0, 1), strict=True)
    }
    nodes = [
        helper.make_node("BatchNormalization", ["x", *scale], ["a"]),
        helper.make_node("Relu", ["a"], ["c"]),
        helper.make_node("Add", ["a", "c"], ["y"]),
    ]
    path = write_model(tmp_path / "m.onnx", nodes, ["N", 3, "H"], scale, output_rank=3)
    x = np.asarray([[[-1.0, 0.0, 2.0]]], np.float32)
    found = interop.load(path)(x).numpy()
    np.testing.assert_allclose(found, [[[-1.0, 2.0, 10.0]]], rtol=1e-4)


def test_an_imported_network_runs_and_trains_in_bfloat16(tmp_path: Path) -> None:
    model = interop.load(small_network(tmp_path / "m.onnx")).train()
    images, labels = normal(8, 6, 6, 3), np.arange(8) % 2
    expected = ops.cross_entropy(model(images), labels).item()
    with vg.autocast("bfloat16"):
        loss = ops.cross_entropy(model(images), labels)
    loss.backward()
    assert abs(loss.item() - expected) < 0.02 * expected + 0.02
    assert all(parameter.grad is not None for parameter in model.parameters())
