"""Damaged, foreign and wrong ONNX files: one error that says where and why, and nothing worse."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import voxelgrad as vg
from voxelgrad.cli import main
from voxelgrad.serialization import read_arrays, write_arrays

pytest.importorskip("onnx", reason="reads ONNX files, and onnx is not installed")

from onnx import TensorProto, helper

from onnx_files import make_model

interop = vg.interop.onnx
W = np.ones((2, 3, 3, 3), np.float32)


def conv(**attributes: Any) -> Any:
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], name="first", **attributes)]
    return make_model(nodes, ["N", 3, "H", "W"], {"w": W}, output_rank=4)


def with_attribute(op: str, inputs: list[str], rank: int = 2, **attributes: Any) -> Any:
    nodes = [helper.make_node(op, inputs, ["y"], name="only", **attributes)]
    shape = ["N", 3, "H", "W"][:rank]
    return make_model(nodes, shape, {"w": W.transpose(1, 0, 2, 3)}, output_rank=rank)


def with_claimed_size() -> Any:
    """A weight of 2^50 numbers of which the file holds four bytes."""
    model = conv()
    weight = model.graph.initializer[0]
    del weight.dims[:]
    weight.dims.extend([2**20, 2**20, 2**10, 1])
    weight.raw_data = b"\0\0\0\0"
    return model


def with_outside_weights() -> Any:
    model = conv()
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    entry = weight.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"
    return model


def with_set(version: int) -> Any:
    model = conv()
    model.opset_import[0].version = version
    return model


def with_subgraph() -> Any:
    branch = conv().graph
    del branch.input[:]
    condition = helper.make_node("Constant", [], ["c"], value_int=1)
    choose = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    return make_model([condition, choose], ["N", 3, "H", "W"], output_rank=4)


def with_sparse_weight() -> Any:
    model = conv()
    values = helper.make_tensor("s", TensorProto.FLOAT, [1], [1.0])
    places = helper.make_tensor("i", TensorProto.INT64, [1], [0])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [2**40]))
    return model


def with_unsorted_nodes() -> Any:
    nodes = [helper.make_node("Relu", ["a"], ["y"]), helper.make_node("Relu", ["x"], ["a"])]
    return make_model(nodes, ["N", 3])


def with_half_a_conv() -> Any:
    return make_model([helper.make_node("Conv", ["x"], ["y"])], ["N", 3, 4, 4], output_rank=4)


# name: (what makes the model, what the error says)
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "unknown operator": (
        lambda: with_attribute("Einsum", ["x"], equation="ij->ji"),
        r"operators that are not understood: Einsum \(first at node 'only'\)",
    ),
    "foreign operator": (
        lambda: with_attribute("FancyOp", ["x"], domain="com.other"),
        r"com\.other",
    ),
    "subgraph": (with_subgraph, "not understood: If"),
    "sparse weight": (with_sparse_weight, "sparse weights"),
    "text": (lambda: with_attribute("StringNormalizer", ["x"]), "StringNormalizer"),
    "too old": (lambda: with_set(5), "operator set 5; 6 to"),
    "claimed size": (with_claimed_size, "w"),
    "weights elsewhere": (with_outside_weights, "breaks a rule"),
    "nodes out of order": (with_unsorted_nodes, "breaks a rule"),
    "input missing": (with_half_a_conv, "breaks a rule"),
}

# name: (what makes the model, shape of the input, what the error says)
FAILS: dict[str, tuple[Callable[[], Any], tuple[int, ...], str]] = {
    "other channels": (conv, (1, 5, 5, 4), r"node 'first' \(Conv\): .*4 channels"),
    "pads": (lambda: conv(pads=[1, 1]), (1, 5, 5, 3), r"\(Conv\): pads is \[1, 1\]; it must be 4"),
    "strides": (lambda: conv(strides=[0, 1]), (1, 5, 5, 3), r"strides is \[0, 1\]"),
    "auto_pad": (lambda: conv(auto_pad="SAME"), (1, 5, 5, 3), "auto_pad is 'SAME'"),
    "kernel": (lambda: conv(kernel_shape=[5, 5]), (1, 5, 5, 3), r"kernel_shape is \[5, 5\]"),
    "group": (lambda: conv(group=0), (1, 5, 5, 3), "groups is 0"),
    "huge pads": (lambda: conv(pads=[0, 0, 2**40, 2**40]), (1, 5, 5, 3), "sizes look damaged"),
    "huge stride": (
        lambda: with_attribute("ConvTranspose", ["x", "w"], 4, strides=[2**30, 2**30]),
        (1, 5, 5, 3),
        "sizes look damaged",
    ),
    "axis": (lambda: with_attribute("Softmax", ["x"], axis=7), (1, 3), "axis is 7"),
    "perm": (lambda: with_attribute("Transpose", ["x"], perm=[0, 0]), (1, 3), "perm is"),
    "number of inputs": (conv, (), "0 inputs were given; it takes x: float32"),
}


def write(path: Path, model: Any) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_breaks_a_rule_is_refused(name: str, tmp_path: Path) -> None:
    make, message = REFUSED[name]
    path = write(tmp_path / "broken.onnx", make())
    with pytest.raises(ValueError, match=message) as caught:
        interop.load(path)
    assert str(caught.value).startswith(f"cannot import {path}: ")


@pytest.mark.parametrize("name", FAILS)
def test_a_node_that_cannot_run_names_file_node_and_rule(name: str, tmp_path: Path) -> None:
    make, shape, message = FAILS[name]
    inputs = [np.ones(shape, np.float32)] if shape else []
    with pytest.raises(ValueError, match=message) as caught:
        interop.load(write(tmp_path / "broken.onnx", make()))(*inputs)
    assert "broken.onnx" in str(caught.value)


@pytest.mark.parametrize("content", (b"", b"x", b"PK\x03\x04" + bytes(99), b"\x08\x07" * 50))
def test_a_foreign_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(ValueError, match=r"m\.onnx: it (is no ONNX file|breaks a rule)"):
        interop.load(tmp_path / "m.onnx")


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "onnx"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "onnx", None)
    for room in ("reader", "exporters", "exporters.writer"):
        monkeypatch.delitem(sys.modules, f"voxelgrad.interop.onnx.{room}", raising=False)
    with pytest.raises(ImportError, match=r"pip install 'voxelgrad\[onnx\]'"):
        interop.load(tmp_path / "m.onnx")
    with pytest.raises(ImportError, match=r"pip install 'voxelgrad\[onnx\]'"):
        interop.export(vg.nn.ReLU(), tmp_path / "m.onnx", (1, 2))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere\.onnx.*check the path"):
        interop.load(tmp_path / "nowhere.onnx")


def test_damage_anywhere_gives_an_error_or_a_model_and_takes_no_memory(tmp_path: Path) -> None:
    """Every byte of a small file is changed, and the file cut everywhere."""
    whole = conv(pads=[1, 1, 1, 1]).SerializeToString()
    damaged = [whole[:end] for end in range(0, len(whole), 5)]
    for place in range(len(whole)):
        for flip in (0x01, 0x80, 0xFF):
            damaged.append(whole[:place] + bytes([whole[place] ^ flip]) + whole[place + 1 :])
    x, path = np.ones((1, 5, 5, 3), np.float32), tmp_path / "m.onnx"
    tracemalloc.start()
    for content in damaged:
        path.write_bytes(content)
        try:
            interop.load(path)(x)
        except ValueError as error:
            assert "m.onnx" in str(error)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50 * 2**20


def test_commands_convert_both_ways(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = vg.models.UNet(3, 2, features=(4, 8)).eval()
    names = [str(tmp_path / name) for name in ("a.safetensors", "a.onnx", "b.safetensors")]
    vg.save(names[0], model)
    assert main(["export", names[0], "--out", names[1]]) == 0
    assert main(["import", names[1], "--out", names[2]]) == 0
    printed = capsys.readouterr().out
    assert "input input: float32 (batch, height, width, 3)" in printed
    x = np.random.default_rng(0).standard_normal((2, 6, 8, 3)).astype(np.float32)
    again = vg.load(names[2])
    np.testing.assert_allclose(again(x).numpy(), model(vg.Tensor(x)).numpy(), rtol=1e-5, atol=1e-6)
    assert main(["export", names[2], "--out", names[1]]) == 2
    assert main(["export", names[2], "--out", names[1], "--input-shape", "1,4,4,3"]) == 0


def test_a_broken_file_ends_the_command_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(conv().SerializeToString()[:-50])
    assert main(["import", str(path), "--out", str(tmp_path / "m.safetensors")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "broken.onnx" in error
    assert not (tmp_path / "m.safetensors").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda graph: graph["nodes"].pop(0), "which nothing gives"),
        (lambda graph: graph["nodes"].reverse(), "which nothing gives"),
        (lambda graph: graph["nodes"][0].update(op="Exec"), "is not understood"),
        (lambda graph: graph["nodes"][0].update(attributes=[]), "has no attributes"),
        (lambda graph: graph["outputs"][0].update(name="x y"), "an output needs 'x y'"),
        (lambda graph: graph["inputs"][0].update(shape=[]), "it is no image"),
        (lambda graph: graph["nodes"][0].update(extra=1), "extra"),
        (lambda graph: graph.pop("stored"), "stored"),
    ],
)
def test_a_saved_import_with_a_damaged_graph_is_refused(
    change: Any, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "saved.safetensors"
    vg.interop.onnx.export(vg.models.CNN(1, 2, features=(2,)), tmp_path / "m.onnx", (1, 4, 4, 1))
    vg.save(path, vg.interop.onnx.load(tmp_path / "m.onnx"))
    arrays, description = read_arrays(path, "model")
    change(description["arguments"]["graph"])
    write_arrays(path, "model", arrays, description)
    with pytest.raises(ValueError, match=rf"saved\.safetensors: .*{message}"):
        vg.load(path)
