"""A user's mistake in the arguments of an op gives one error that says who, what, and the rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import voxelgrad as vg
from voxelgrad import ops


def t(*shape: int, dtype: Any = np.float64) -> vg.Tensor:
    return vg.Tensor(np.ones(shape, dtype), requires_grad=np.dtype(dtype).kind == "f")


IMAGE, VOLUME = t(8, 12, 12, 3), t(2, 6, 6, 6, 4)
LOGITS, LABELS = t(2, 5, 3), np.zeros((2, 5), np.int64)
BAD_LABELS = np.array([[0, 1, 2, 0, 1], [0, 3, 0, 0, 0]])
MEAN, VAR = np.zeros(3), np.ones(3)

VALUE_ERRORS: dict[str, tuple[Callable[[], Any], str]] = {
    "conv2d channels": (
        lambda: ops.conv2d(IMAGE, t(32, 3, 3, 4)),
        r"conv2d: input has 3 channels \(shape \(8, 12, 12, 3\)\) but weight expects 4 \(weight "
        r"shape \(32, 3, 3, 4\), groups=1\); .*",
    ),
    "conv2d rank": (lambda: ops.conv2d(t(12, 12, 3), t(4, 3, 3, 3)), "3 axes; .*add a batch axis"),
    "conv3d rank": (lambda: ops.conv3d(IMAGE, t(4, 3, 3, 3, 3)), r"\(N, D, H, W, C\)"),
    "conv2d weight rank": (lambda: ops.conv2d(IMAGE, t(4, 3, 3)), r"weight has shape \(4, 3, 3\)"),
    "conv2d empty weight": (lambda: ops.conv2d(IMAGE, t(0, 3, 3, 3)), "length 1 or more"),
    "conv2d bias": (
        lambda: ops.conv2d(IMAGE, t(4, 3, 3, 3), t(5)),
        r"bias has shape \(5,\), but the output has 4 channels",
    ),
    "conv2d groups and input": (
        lambda: ops.conv2d(IMAGE, t(4, 3, 3, 3), groups=2),
        "weight expects 6 .*groups=2",
    ),
    "conv2d groups and output": (
        lambda: ops.conv2d(IMAGE, t(4, 3, 3, 1), groups=3),
        "groups=3 does not divide",
    ),
    "conv2d no groups": (lambda: ops.conv2d(IMAGE, t(4, 3, 3, 3), groups=0), "groups is 0"),
    "conv2d padding": (lambda: ops.conv2d(IMAGE, t(4, 3, 3, 3), padding=-1), "padding is -1"),
    "conv2d stride": (lambda: ops.conv2d(IMAGE, t(4, 3, 3, 3), stride=(1, 0)), r"stride is \(1, 0"),
    "conv2d dilation": (lambda: ops.conv2d(IMAGE, t(4, 3, 3, 3), dilation=0), "dilation is 0"),
    "conv2d stride length": (
        lambda: ops.conv2d(IMAGE, t(4, 3, 3, 3), stride=(1, 1, 1)),
        "stride must be an int or 2 ints; got 3",
    ),
    "conv2d kernel too large": (
        lambda: ops.conv2d(t(1, 4, 4, 3), t(4, 7, 7, 3), padding=1),
        r"kernel is larger than the padded input: kernel \(7, 7\)",
    ),
    "conv2d dilated kernel too large": (
        lambda: ops.conv2d(t(1, 4, 4, 3), t(4, 3, 3, 3), dilation=3),
        "reaches over 7 elements of an axis of 4",
    ),
    "conv2d empty image": (
        lambda: ops.conv2d(t(1, 0, 4, 3), t(4, 3, 3, 3)),
        "only the batch axis",
    ),
    "conv_transpose2d channels": (
        lambda: ops.conv_transpose2d(IMAGE, t(4, 2, 2, 5)),
        "conv_transpose2d: input has 3 channels .* but weight expects 5",
    ),
    "conv_transpose2d output_padding": (
        lambda: ops.conv_transpose2d(IMAGE, t(4, 2, 2, 3), stride=2, output_padding=2),
        "output_padding is .* smaller than stride",
    ),
    "conv_transpose2d negative output_padding": (
        lambda: ops.conv_transpose2d(IMAGE, t(4, 2, 2, 3), output_padding=-1),
        "output_padding is -1",
    ),
    "conv_transpose2d no output": (
        lambda: ops.conv_transpose2d(t(1, 1, 1, 3), t(4, 2, 2, 3), padding=1),
        "output would have length 0",
    ),
    "linear features": (lambda: ops.linear(t(2, 3), t(4, 5)), "weight expects 5 features"),
    "linear weight": (lambda: ops.linear(t(2, 3), t(4)), r"\(out_features, in_features\)"),
    "linear bias": (lambda: ops.linear(t(2, 3), t(4, 3), t(3)), r"bias has shape \(3,\)"),
    "max_pool2d rank": (lambda: ops.max_pool2d(VOLUME, 2), "5 axes"),
    "max_pool2d kernel": (lambda: ops.max_pool2d(IMAGE, 0), "kernel_size is 0"),
    "max_pool2d stride": (lambda: ops.max_pool2d(IMAGE, 2, 0), "stride is 0"),
    "max_pool2d padding": (lambda: ops.max_pool2d(IMAGE, 2, 2, 2), "at most half the kernel"),
    "max_pool2d negative padding": (lambda: ops.max_pool2d(IMAGE, 2, 2, -1), "padding is -1"),
    "max_pool2d too large": (lambda: ops.max_pool2d(IMAGE, 13), "larger than the padded input"),
    "avg_pool3d too large": (lambda: ops.avg_pool3d(VOLUME, 7), "larger than the padded input"),
    "adaptive_avg_pool2d size": (lambda: ops.adaptive_avg_pool2d(IMAGE, 0), "output_size is 0"),
    "adaptive_avg_pool2d rank": (lambda: ops.adaptive_avg_pool2d(VOLUME, 1), "5 axes"),
    "global_avg_pool rank": (lambda: ops.global_avg_pool(t(2, 3)), "2 axes"),
    "batch_norm weight": (
        lambda: ops.batch_norm(IMAGE, MEAN, VAR, t(4)),
        r"weight has shape \(4,\), but input has 3 channels",
    ),
    "batch_norm running_mean": (
        lambda: ops.batch_norm(IMAGE, np.zeros(4), VAR),
        r"running_mean has shape \(4,\)",
    ),
    "batch_norm one value": (
        lambda: ops.batch_norm(t(1, 1, 1, 3), MEAN, VAR, training=True),
        "fewer than two values per channel",
    ),
    "batch_norm empty batch": (
        lambda: ops.batch_norm(t(0, 4, 4, 3), MEAN, VAR, training=True),
        "fewer than two values per channel",
    ),
    "batch_norm no statistics": (lambda: ops.batch_norm(IMAGE, None, None), "they are None"),
    "batch_norm half": (lambda: ops.batch_norm(IMAGE, MEAN, None), "give both"),
    "batch_norm eps": (lambda: ops.batch_norm(IMAGE, MEAN, VAR, eps=0.0), r"eps is 0\.0"),
    "batch_norm momentum": (
        lambda: ops.batch_norm(IMAGE, MEAN, VAR, momentum=1.5),
        r"momentum is 1\.5",
    ),
    "batch_norm activation": (
        lambda: ops.batch_norm(IMAGE, MEAN, VAR, activation="tanh"),
        r"batch_norm: activation is 'tanh'; choose None, relu or leaky_relu",
    ),
    "layer_norm slope": (
        lambda: ops.layer_norm(IMAGE, 3, activation="leaky_relu", negative_slope=np.inf),
        "layer_norm: negative_slope is inf; it must be finite",
    ),
    "instance_norm one position": (lambda: ops.instance_norm(t(2, 1, 1, 3)), "fewer than two"),
    "group_norm groups": (lambda: ops.group_norm(IMAGE, 2), "num_groups is 2, but .* 3 channels"),
    "layer_norm shape": (lambda: ops.layer_norm(IMAGE, 4), r"normalized_shape is \(4,\)"),
    "layer_norm weight": (lambda: ops.layer_norm(IMAGE, (12, 3), t(3)), r"weight has shape \(3,\)"),
    "elu alpha": (lambda: ops.elu(IMAGE, 0.0), r"alpha is 0\.0"),
    "leaky_relu slope": (lambda: ops.leaky_relu(IMAGE, np.nan), "negative_slope is nan"),
    "add shapes": (lambda: t(2, 3) + t(4), r"add: shapes \(2, 3\) and \(4,\) cannot be broadcast"),
    "sum axis": (lambda: t(2, 3).sum(2), r"sum: axis is 2, but the input has 2 axes"),
    "sum axis twice": (lambda: t(2, 3).sum((0, -2)), "names an axis twice"),
    "mean of nothing": (lambda: t(0, 3).mean(), "nothing to average"),
    "reshape": (lambda: t(2, 3).reshape(4, -1), "6 elements"),
    "reshape twice unknown": (lambda: t(2, 3).reshape(-1, -1), "at most one may be -1"),
    "transpose": (lambda: t(2, 3).transpose(0, 0), "name each of 0 to 1 once"),
    "joined images of other sizes": (
        lambda: ops.conv2d([t(2, 8, 8, 3), t(2, 8, 9, 1)], t(4, 3, 3, 4)),
        r"conv2d: input\[0\] has shape \(2, 8, 8, 3\) but input\[1\] has shape \(2, 8, 9, 1\)",
    ),
    "joined channels": (
        lambda: ops.conv2d([t(2, 8, 8, 3), t(2, 8, 8, 2)], t(4, 3, 3, 4)),
        r"conv2d: input has 5 channels .* but weight expects 4",
    ),
    "concat nothing": (lambda: ops.concat([]), "at least one tensor"),
    "concat shapes": (
        lambda: ops.concat([t(2, 3, 4), t(2, 5, 4)]),
        r"tensors\[0\] has shape \(2, 3, 4\) but tensors\[1\] has shape \(2, 5, 4\)",
    ),
    "concat axis": (lambda: ops.concat([t(2, 3)], axis=2), "axis is 2"),
    "pad pairs": (lambda: ops.pad(t(2, 3), [(1, 1)]), "1 pairs, but input has 2 axes"),
    "pad negative": (lambda: ops.pad(t(2, 3), [(0, 0), (-1, 0)]), "use crop"),
    "pad mode": (lambda: ops.pad(t(2, 3), [(0, 0), (1, 0)], "tile"), "mode is 'tile'"),
    "pad wrap nothing": (lambda: ops.pad(t(0, 3), [(1, 0), (0, 0)], "wrap"), "element to repeat"),
    "conv pairs": (lambda: ops.conv2d(IMAGE, t(1, 1, 1, 3), padding=[(0, 1)]), "2 pairs"),
    "conv pairs negative": (
        lambda: ops.conv2d(IMAGE, t(1, 1, 1, 3), padding=[(0, 1), (-1, 0)]),
        "must be 0 or greater",
    ),
    "pool too large": (
        lambda: ops.max_pool2d(IMAGE, 3, dilation=50),
        "longer than the input of spatial size",
    ),
    "pool dilation": (lambda: ops.avg_pool2d(IMAGE, 2, dilation=0), "dilation is 0"),
    "clip turned around": (lambda: ops.clip(t(2), 1.0, 0.0), "low must not be above high"),
    "matmul": (lambda: ops.matmul(t(2, 3), t(2, 3)), "last axis of a"),
    "matmul stacks": (lambda: ops.matmul(t(2, 3, 4), t(3, 4, 5)), "cannot be broadcast"),
    "resample axes": (lambda: ops.resample(IMAGE, []), "one for each of its 2 spatial axes"),
    "global_max_pool": (lambda: ops.global_max_pool(t(2, 3)), "axes"),
    "pad reflect": (lambda: ops.pad(t(2, 3), [(0, 0), (3, 0)], "reflect"), "widths less than that"),
    "crop outside": (lambda: ops.crop(t(2, 3), (0, 2), (2, 2)), "leave axis 1 of length 3"),
    "crop axes": (lambda: ops.crop(t(2, 3), (0,), (2,)), "one number for each of the 2 axes"),
    "softmax axis": (lambda: ops.softmax(t(2, 3), 2), "softmax: axis is 2"),
    "softmax scalar": (lambda: ops.softmax(t()), "axis is -1, but the input has 0 axes"),
    "softmax empty": (lambda: ops.softmax(t(2, 0)), "the axis is empty"),
    "interpolate mode": (lambda: ops.interpolate(IMAGE, 4, mode="area"), "mode is 'area'"),
    "interpolate antialias": (
        lambda: ops.interpolate(IMAGE, 4, mode="nearest", antialias=True),
        "antialias=True needs",
    ),
    "interpolate neither": (lambda: ops.interpolate(IMAGE), "either size or scale_factor"),
    "interpolate both": (lambda: ops.interpolate(IMAGE, 4, 2.0), "and not both"),
    "interpolate factor": (lambda: ops.interpolate(IMAGE, scale_factor=-1), "must be positive"),
    "interpolate to nothing": (
        lambda: ops.interpolate(IMAGE, scale_factor=0.01),
        "the output's size is 0",
    ),
    "interpolate corners": (
        lambda: ops.interpolate(IMAGE, 4, align_corners=True),
        "needs mode='linear'",
    ),
    "interpolate rank": (lambda: ops.interpolate(t(2, 3), 4), "2 axes"),
    "dropout p": (lambda: ops.dropout(IMAGE, 1.0), r"p is 1\.0; it must lie in \[0, 1\)"),
    "cross_entropy label": (
        lambda: ops.cross_entropy(LOGITS, BAD_LABELS),
        r"cross_entropy: label 3 at index \(1, 1\) is outside \[0, 3\)",
    ),
    "cross_entropy shape": (
        lambda: ops.cross_entropy(LOGITS, LABELS.T.copy()),
        r"logits have shape \(2, 5, 3\) but labels have shape \(5, 2\)",
    ),
    "cross_entropy one-hot": (
        lambda: ops.cross_entropy(LOGITS, np.zeros((2, 5, 3), np.int64)),
        r"labels \(N, \*spatial\)",
    ),
    "cross_entropy ignores all": (
        lambda: ops.cross_entropy(LOGITS, np.full((2, 5), -100)),
        "nothing is counted",
    ),
    "cross_entropy empty": (
        lambda: ops.cross_entropy(t(0, 5, 3), np.zeros((0, 5), np.int64)),
        "a loss of nothing",
    ),
    "cross_entropy weights": (
        lambda: ops.cross_entropy(LOGITS, LABELS, [1.0, 2.0]),
        r"class_weight has shape \(2,\)",
    ),
    "cross_entropy negative weight": (
        lambda: ops.cross_entropy(LOGITS, LABELS, [1.0, -2.0, 1.0]),
        "finite and 0 or greater",
    ),
    "focal_loss label": (lambda: ops.focal_loss(LOGITS, BAD_LABELS), "focal_loss: label 3"),
    "focal_loss gamma": (lambda: ops.focal_loss(LOGITS, LABELS, -1.0), r"gamma is -1\.0"),
    "dice_loss label": (lambda: ops.dice_loss(LOGITS, BAD_LABELS), "dice_loss: label 3"),
    "dice_loss smooth": (lambda: ops.dice_loss(LOGITS, LABELS, smooth=-1.0), r"smooth is -1\.0"),
    "dice_loss one class": (
        lambda: ops.dice_loss(t(2, 5, 1), LABELS, include_background=False),
        "single class",
    ),
    "binary_cross_entropy shape": (
        lambda: ops.binary_cross_entropy_with_logits(t(2, 1), np.zeros(2)),
        r"logits have shape \(2, 1\) but targets have shape \(2,\)",
    ),
    "binary_cross_entropy range": (
        lambda: ops.binary_cross_entropy_with_logits(t(2), np.array([0, 255])),
        "targets hold 255",
    ),
    "binary_cross_entropy NaN": (
        lambda: ops.binary_cross_entropy_with_logits(t(2), np.array([0.0, np.nan])),
        "targets hold nan",
    ),
    "binary_cross_entropy weight": (
        lambda: ops.binary_cross_entropy_with_logits(t(2), np.zeros(2), 0.0),
        r"pos_weight is 0\.0",
    ),
    "mse_loss shape": (lambda: ops.mse_loss(t(2, 1), t(2)), r"target has shape \(2,\)"),
    "l1_loss empty": (lambda: ops.l1_loss(t(0), t(0)), "at least one element"),
}

TYPE_ERRORS: dict[str, tuple[Callable[[], Any], str]] = {
    "mixed dtypes": (
        lambda: ops.conv2d(IMAGE, t(4, 3, 3, 3, dtype=np.float32)),
        r"conv2d: input is float64 but weight is float32; .*astype\(\"float64\"\)",
    ),
    "mixed joined images": (
        lambda: ops.conv2d([IMAGE, t(*IMAGE.shape, dtype=np.float32)], t(4, 3, 3, 6)),
        r"conv2d: input\[0\] is float64 but input\[1\] is float32",
    ),
    "mixed joined weight": (
        lambda: ops.conv2d([IMAGE, IMAGE], t(4, 3, 3, 6, dtype=np.float32)),
        r"conv2d: input\[0\] is float64 but weight is float32",
    ),
    "mixed operands": (lambda: t(2) + t(2, dtype=np.float32), "add: .* float64 .* float32"),
    "mixed list": (
        lambda: ops.concat([t(2), t(2, dtype=np.float32)]),
        r"tensors\[0\] is float64 but tensors\[1\] is float32",
    ),
    "integers": (lambda: ops.relu(t(2, dtype=np.int64)), r"dtype int64.*astype\(np\.float32\)"),
    "half precision": (lambda: ops.relu(t(2, dtype=np.float16)), "dtype float16"),
    "stride kind": (lambda: ops.conv2d(IMAGE, t(4, 3, 3, 3), stride=1.5), "stride must be an int"),
    "padding word": (
        lambda: ops.conv2d(IMAGE, t(4, 3, 3, 3), padding="same"),  # type: ignore[arg-type]
        "padding must be an int or 2 ints; got 'same'",
    ),
    "float labels": (lambda: ops.cross_entropy(LOGITS, LABELS * 1.0), "labels have dtype float64"),
    "float axis": (lambda: ops.softmax(IMAGE, 1.0), "axis must be an int"),  # type: ignore[arg-type]
    "running list": (
        lambda: ops.batch_norm(IMAGE, [0, 0, 0], VAR),  # type: ignore[arg-type]
        "running_mean must be a numpy array of floats",
    ),
    "running half": (
        lambda: ops.batch_norm(IMAGE, MEAN.astype(np.float16), VAR),
        "running_mean must be .* float32 or float64; got float16",
    ),
    "running strided": (
        lambda: ops.batch_norm(IMAGE, np.zeros(6)[::2], VAR),
        "running_mean has gaps in memory",
    ),
    "no array": (lambda: ops.relu("image"), "Tensor: data has dtype"),  # type: ignore[arg-type]
    "slope kind": (lambda: ops.leaky_relu(IMAGE, "steep"), "negative_slope must be a number"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize(("call", "message"), VALUE_ERRORS.values(), ids=VALUE_ERRORS.keys())
def test_value_error(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(("call", "message"), TYPE_ERRORS.values(), ids=TYPE_ERRORS.keys())
def test_type_error(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        call()


EMPTY_BATCH: dict[str, tuple[Callable[[vg.Tensor], vg.Tensor], tuple[int, ...]]] = {
    "conv2d": (lambda x: ops.conv2d(x, t(4, 3, 3, 3, dtype=x.dtype)), (0, 2, 4, 4)),
    "conv2d of several images": (
        lambda x: ops.conv2d([x, x], t(4, 3, 3, 6, dtype=x.dtype)),
        (0, 2, 4, 4),
    ),
    "conv_transpose2d": (
        lambda x: ops.conv_transpose2d(x, t(4, 2, 2, 3, dtype=x.dtype), stride=2),
        (0, 8, 12, 4),
    ),
    "linear": (lambda x: ops.linear(x, t(5, 3, dtype=x.dtype)), (0, 4, 6, 5)),
    "max_pool2d": (lambda x: ops.max_pool2d(x, 2), (0, 2, 3, 3)),
    "avg_pool2d": (lambda x: ops.avg_pool2d(x, 2), (0, 2, 3, 3)),
    "adaptive_avg_pool2d": (lambda x: ops.adaptive_avg_pool2d(x, 2), (0, 2, 2, 3)),
    "global_avg_pool": (ops.global_avg_pool, (0, 3)),
    "batch_norm": (lambda x: ops.batch_norm(x, MEAN, VAR), (0, 4, 6, 3)),
    "instance_norm": (ops.instance_norm, (0, 4, 6, 3)),
    "layer_norm": (lambda x: ops.layer_norm(x, 3), (0, 4, 6, 3)),
    "relu": (ops.relu, (0, 4, 6, 3)),
    "add": (lambda x: x + t(3, dtype=x.dtype), (0, 4, 6, 3)),
    "sum": (lambda x: x.sum(), ()),
    "softmax": (ops.softmax, (0, 4, 6, 3)),
    "interpolate": (lambda x: ops.interpolate(x, 2), (0, 2, 2, 3)),
    "concat": (lambda x: ops.concat([x, x]), (0, 4, 6, 6)),
    "pad": (lambda x: ops.pad(x, [(0, 0), (1, 1), (0, 0), (0, 0)]), (0, 6, 6, 3)),
    "transpose": (lambda x: x.transpose(), (3, 6, 4, 0)),
    "dropout": (ops.dropout, (0, 4, 6, 3)),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("call", "shape"), EMPTY_BATCH.values(), ids=EMPTY_BATCH.keys())
def test_empty_batch_passes_forward_and_backward(
    call: Callable[[vg.Tensor], vg.Tensor], shape: tuple[int, ...], dtype: Any
) -> None:
    x = t(0, 4, 6, 3, dtype=dtype)
    output = call(x)
    assert output.shape == shape
    output.backward(np.ones(shape, dtype))
    assert x.grad is not None
    assert x.grad.shape == x.shape


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("op", "input", "weight"),
    [
        (ops.conv2d, (0, 4, 6, 3), (4, 3, 3, 3)),
        (ops.conv_transpose2d, (0, 4, 6, 3), (4, 2, 2, 3)),
        (ops.linear, (0, 3), (4, 3)),
        (ops.layer_norm, (0, 4), (4,)),
        (ops.group_norm, (0, 5, 4), (4,)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_empty_batch_gives_parameters_zero_gradients(
    op: Callable[..., vg.Tensor], input: tuple[int, ...], weight: tuple[int, ...], dtype: Any
) -> None:
    settings = {ops.layer_norm: (4,), ops.group_norm: (2,)}.get(op, ())
    parameters = [t(*weight, dtype=dtype), t(4, dtype=dtype)]
    op(t(*input, dtype=dtype), *settings, *parameters).sum().backward()
    for parameter in parameters:
        assert parameter.grad is not None
        assert not parameter.grad.numpy().any()


def test_non_contiguous_arrays_are_taken() -> None:
    array = np.random.default_rng(0).standard_normal((3, 5, 6, 2))
    turned = array.transpose(3, 1, 2, 0)
    weight = t(4, 3, 3, 3)
    expected = ops.conv2d(vg.Tensor(np.ascontiguousarray(turned)), weight).numpy()
    np.testing.assert_array_equal(ops.conv2d(vg.Tensor(turned), weight).numpy(), expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, bool])
def test_labels_may_be_any_integers(dtype: Any) -> None:
    labels = np.array([[0, 1, 1, 0, 1], [0, 0, 0, 1, 0]])
    expected = ops.cross_entropy(LOGITS, labels).item()
    assert ops.cross_entropy(LOGITS, labels.astype(dtype)).item() == expected
    assert ops.cross_entropy(LOGITS, vg.Tensor(labels)).item() == expected


@pytest.mark.parametrize("count", [0, -1])
def test_set_num_threads_refuses(count: int) -> None:
    with pytest.raises(ValueError, match=f"count is {count}"):
        vg.set_num_threads(count)
    with pytest.raises(TypeError, match="must be an int"):
        vg.set_num_threads(1.5)  # type: ignore[arg-type]
