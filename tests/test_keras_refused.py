"""Descriptions of Keras that are refused: by name, in one line, before anything is built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import voxelgrad as vg

pytest.importorskip("h5py", reason="writes HDF5 files")

from keras_files import (
    DENSE,
    entry,
    functional,
    layer,
    named,
    node,
    numbered,
    sequential,
    small,
    tensor,
    zipped,
)

load = vg.interop.keras.load


def dense_after(kind: str, **settings: Any) -> dict[str, Any]:
    return sequential(entry(4, 4, 3), layer(kind, "bad", **settings), DENSE)


def own(**changes: Any) -> dict[str, Any]:
    return sequential(entry(3), {**DENSE, **changes})


# name: (description, what the error says)
REFUSED: dict[str, tuple[Any, str]] = {
    "lambda": (
        dense_after("Lambda", function={"class_name": "__lambda__", "config": {"code": "4wEA"}}),
        "layer 'bad' is a Lambda, which holds code; nothing in a file is executed: build",
    ),
    "unknown": (
        dense_after("MultiHeadAttention"),
        r"uses layers that are not understood: MultiHeadAttention \(layer 'bad'\); build the",
    ),
    "two unknown": (
        sequential(layer("LSTM", "a"), layer("GRU", "b"), DENSE),
        r"not understood: LSTM \(layer 'a'\), GRU \(layer 'b'\);",
    ),
    "operator": (dense_after("TFOpLambda", function="math.add"), "not understood: TFOpLambda"),
    "module": (
        own(module="os"),
        "layer 'dense' is a Dense of 'os'; only Keras's own layers are understood",
    ),
    "module that begins so": (own(module="keras_extra.layers"), "a Dense of 'keras_extra.layers'"),
    "registered": (
        own(registered_name="mine>Dense", module=None),
        "layer 'dense' is a Dense of 'mine>Dense'",
    ),
    "registered class": (own(class_name="mine>Dense", module=None), "not understood: mine>Dense"),
    "model of somebody": (
        {**small(), "class_name": "MyModel"},
        "its network is of class 'MyModel'; understood are Sequential and Functional",
    ),
    "activation": (
        sequential(
            entry(3),
            layer(
                "Dense",
                "dense",
                units=3,
                use_bias=False,
                activation={"class_name": "function", "config": "my_function", "module": "mine"},
            ),
        ),
        r"layer 'dense' \(Dense\): its activation is 'my_function'; understood are elu, expon",
    ),
    "activation of code": (
        own(config={"name": "dense", "activation": {"class_name": "__lambda__"}}),
        "its activation is '__lambda__'",
    ),
    "channels first": (
        dense_after("MaxPooling2D", data_format="channels_first"),
        r"layer 'bad' \(MaxPooling2D\): data_format is 'channels_first', and voxelgrad computes",
    ),
    "padding": (dense_after("MaxPooling2D", padding="reflect"), "padding is 'reflect'; it must be"),
    "causal in 2D": (dense_after("Conv2D", padding="causal"), "one of valid, same"),
    "stride": (dense_after("MaxPooling2D", strides=[0, 1]), r"strides is \[0, 1\]; it must be 2"),
    "window": (dense_after("MaxPooling2D", pool_size=[2]), r"pool_size is \[2\]; it must be 2 int"),
    "truth as a number": (dense_after("MaxPooling2D", pool_size=[True, 2]), "must be 2 integers"),
    "rate": (dense_after("Dropout", rate=1.5), "rate is 1.5; it must lie from 0 to below 1"),
    "not a number": (dense_after("Dropout", rate="0.5"), "rate is '0.5'; it must be a number"),
    "infinite": (dense_after("LeakyReLU", negative_slope=1e39), r"is 1e\+39; it must be finite"),
    "epsilon": (dense_after("LayerNormalization", epsilon=0.0), "epsilon is 0.0; it must be above"),
    "renorm": (
        dense_after("BatchNormalization", renorm=True),
        "renorm is True; renormalisation is not understood",
    ),
    "missing arrays": (dense_after("Conv2D"), r"layer 'bad' \(Conv2D\): the file has no kernel"),
    "arrays missing": (
        sequential(entry(3), layer("PReLU", "p_re_lu"), DENSE),
        r"layer 'p_re_lu' \(PReLU\): the file has no alpha for it",
    ),
    "same names": (
        sequential(entry(3), DENSE, layer("ReLU", "dense")),
        "the network has two layers of one name",
    ),
    "interpolation": (
        dense_after("UpSampling2D", interpolation="lanczos3"),
        "interpolation is 'lanczos3'; it must be one of nearest, bilinear",
    ),
    "flag": (dense_after("GlobalMaxPooling2D", keepdims="no"), "keepdims is 'no'; it must be true"),
    "shape": (dense_after("Reshape", target_shape=[0, 3]), "one length may be -1, none 0"),
    "no name": (sequential(layer("Dense", "")), "has a layer without a name"),
    "no layers": ({"class_name": "Sequential", "config": {}}, "lists no layers"),
    "no class": ({"config": {"layers": []}}, "its network is of class 'None'"),
    "entry": ({"class_name": "Sequential", "config": [7]}, "has an entry that is no layer"),
    "its own output": (
        functional(
            [
                entry(3),
                {**DENSE, "inbound_nodes": node("a")},
                {**layer("ReLU", "a"), "inbound_nodes": node("dense")},
            ],
            [["in", 0, 0]],
            [["dense", 0, 0]],
        ),
        "needs its own output",
    ),
    "nowhere": (
        functional(
            [entry(3), {**DENSE, "inbound_nodes": node("x")}], [["in", 0, 0]], [["dense", 0, 0]]
        ),
        "layer 'dense' takes its input from 'x', which does not give it",
    ),
    "no output": (small(output="nowhere"), "does not compute what it gives out"),
    "no input": (
        functional([{**DENSE, "inbound_nodes": node("in")}], [["in", 0, 0]], [["dense", 0, 0]]),
        "its input 'in' is none of its layers",
    ),
    "two arguments": (
        functional(
            [entry(3), {**DENSE, "inbound_nodes": [{"args": [tensor("in"), 3], "kwargs": {}}]}],
            [["in", 0, 0]],
            [["dense", 0, 0]],
        ),
        "layer 'dense' is applied to more than its input",
    ),
    "keyword": (
        functional(
            [entry(3), {**DENSE, "inbound_nodes": node("in", mask=tensor("in"))}],
            [["in", 0, 0]],
            [["dense", 0, 0]],
        ),
        "layer 'dense' is applied with mask",
    ),
    "number": (
        functional(
            [entry(3), {**DENSE, "inbound_nodes": [{"args": [3], "kwargs": {}}]}],
            [["in", 0, 0]],
            [["dense", 0, 0]],
        ),
        "applied to something that is no layer's output",
    ),
    "two of a name": (
        functional([entry(3), DENSE, DENSE], [["in", 0, 0]], [["dense", 0, 0]]),
        "has two layers of one name",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_understood_is_refused_by_name(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, message = REFUSED[name]
    path = tmp_path / "bad.keras"
    path.write_bytes(zipped(config, numbered({"layers/dense": [np.eye(3)]})))
    with pytest.raises(ValueError, match=message) as caught:
        load(path)
    assert str(caught.value).startswith(f"cannot import {path}: ")
    assert len(str(caught.value).splitlines()) == 1
    assert capsys.readouterr().out == ""


def test_weights_alone_are_no_network(tmp_path: Path) -> None:
    path = tmp_path / "x.weights.h5"
    path.write_bytes(numbered({"layers/dense": [np.eye(3)]}))
    with pytest.raises(ValueError, match="it holds weights only; build the network with voxelgrad"):
        load(path)


def test_arrays_that_no_layer_takes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    arrays = {"dense/kernel:0": np.eye(3), "dense/scale:0": np.eye(3)}
    path.write_bytes(named({"dense": arrays}, own()))
    with pytest.raises(ValueError, match=r"layer 'dense' \(Dense\): the file has arrays .*: scale"):
        load(path)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.keras"
    path.write_bytes(zipped(own(), numbered({"layers/conv2d": [np.eye(3)]})))
    with pytest.raises(ValueError, match="has weights of 'conv2d', which the network does not"):
        load(path)
    path.write_bytes(named({"other": {"other/kernel:0": np.eye(3)}}, own()))
    with pytest.raises(ValueError, match=r"belong to a layer 'other', of which .* has 0"):
        load(path)


def test_networks_that_multiply_are_refused(tmp_path: Path) -> None:
    """Each applies the one inside it eight times: a short description of endless work."""
    inner: dict[str, Any] = {**DENSE, "inbound_nodes": node("in")}
    last = "dense"
    for depth in range(7):
        nodes: list[Any] = []
        inside = functional([entry(3), inner], [["in", 0, 0]], [[last, 0, 0]])
        inside["config"]["name"] = last = f"level{depth}"
        nodes = node("in") + [
            {"args": [{**tensor(last), "config": {"keras_history": [last, k, 0]}}], "kwargs": {}}
            for k in range(7)
        ]
        inner = {**inside, "inbound_nodes": nodes}
    config = functional([entry(3), inner], [["in", 0, 0]], [[last, 0, 0]])
    path = tmp_path / "x.keras"
    path.write_bytes(zipped(config, numbered({"layers/dense": [np.eye(3)]})))
    with pytest.raises(ValueError, match="it applies more than 10,000 layers"):
        load(path)
