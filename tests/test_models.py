"""Models have the promised shapes and sizes, and PyTorch computes the same with their weights."""

from __future__ import annotations

import threading
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import voxelgrad as vg
from voxelgrad import models, nn

Array = np.ndarray[Any, Any]


def image(*shape: int, seed: int = 0) -> vg.Tensor:
    return vg.Tensor(np.random.default_rng(seed).normal(size=shape))


def unet_size(inputs: int, outputs: int, features: tuple[int, ...], rank: int) -> int:
    """Count a U-Net's parameters by hand: each norm has a scale and a shift for each channel."""

    def block(before: int, width: int) -> int:
        return 3**rank * (before * width + width * width) + 2 * 2 * width

    total = block(inputs, features[0])
    for above, below in pairwise(features):
        total += block(above, below)
        total += 2**rank * below * above + above
        total += block(2 * above, above)
    return total + features[0] * outputs + outputs


@pytest.mark.parametrize(
    ("rank", "norm", "features", "size"),
    [
        (2, "batch", (4, 8, 16), (8, 12)),
        (3, "instance", (4, 8, 12), (4, 8, 12)),
        (2, "group", (8, 16), (6, 4)),
        (1, "batch", (4, 8), (10,)),
        (3, "none", (2, 3), (2, 4, 2)),
    ],
)
def test_unet_keeps_the_size(
    rank: int, norm: str, features: tuple[int, ...], size: tuple[int, ...]
) -> None:
    model = models.UNet(3, 5, spatial_dims=rank, features=features, norm=norm).astype(np.float64)
    assert model(image(2, *size, 3)).shape == (2, *size, 5)


@pytest.mark.parametrize(
    ("rank", "norm", "features"),
    [
        (2, "batch", (32, 64, 128, 256, 512)),
        (3, "instance", (32, 64, 128, 256, 320)),
        (2, "instance", (8, 24)),
    ],
)
def test_unet_has_the_number_of_parameters_counted_by_hand(
    rank: int, norm: str, features: tuple[int, ...]
) -> None:
    model = models.UNet(4, 3, spatial_dims=rank, features=features, norm=norm)
    assert model.num_parameters() == unet_size(4, 3, features, rank)


def test_the_norm_chooses_the_kind_of_unet() -> None:
    classic = models.UNet(1, 2, features=(4, 8))
    assert isinstance(classic.pool, nn.MaxPool2d)
    assert isinstance(classic.encoder[1].activation1, nn.ReLU)
    assert classic.encoder[1].conv1.stride == (1, 1)
    assert classic.encoder[1].conv1.bias is None
    nnunet = models.UNet(1, 2, spatial_dims=3, features=(4, 8), norm="instance")
    assert isinstance(nnunet.encoder[1].activation1, nn.LeakyReLU)
    assert nnunet.encoder[1].activation1.negative_slope == 0.01
    assert nnunet.encoder[1].conv1.stride == (2, 2, 2)
    assert nnunet.encoder[0].conv1.stride == (1, 1, 1)
    assert isinstance(nnunet.encoder[0].norm1, nn.InstanceNorm)
    mixed = models.UNet(1, 2, features=(4, 8), downsampling="strided", activation="elu")
    assert mixed.encoder[1].conv1.stride == (2, 2)
    assert isinstance(mixed.decoder[0].activation2, nn.ELU)


def test_unet_names_the_divisor_and_the_padded_size() -> None:
    model = models.UNet(4, 2)
    assert model.divisor == 16
    message = r"spatial size \(155, 240\).*multiple of 16; pad the image to \(160, 240\)"
    with pytest.raises(ValueError, match=message):
        model(vg.Tensor(np.zeros((1, 155, 240, 4), np.float32)))
    with pytest.raises(ValueError, match=r"pad the image to \(16, 16\)"):
        model(vg.Tensor(np.zeros((1, 0, 3, 4), np.float32)))


def test_models_name_wrong_axes_and_channels() -> None:
    with pytest.raises(ValueError, match=r"UNet: .* 3 channels .* in_channels=4"):
        models.UNet(4, 2)(vg.Tensor(np.zeros((1, 16, 16, 3), np.float32)))
    with pytest.raises(ValueError, match=r"UNet: .* 5 axes; it must have 4"):
        models.UNet(4, 2)(vg.Tensor(np.zeros((1, 16, 16, 16, 4), np.float32)))
    with pytest.raises(ValueError, match=r"CNN: .* every spatial size must be at least 8"):
        models.CNN(1, 2)(vg.Tensor(np.zeros((1, 16, 7, 1), np.float32)))
    with pytest.raises(ValueError, match=r"MLP: .* in_features = 5"):
        models.MLP(5, 2)(vg.Tensor(np.zeros((1, 4), np.float32)))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: models.UNet(0, 2), "UNet: in_channels is 0"),
        (lambda: models.UNet(1, 2, features=(32,)), r"UNet: features is \(32,\); give at least 2"),
        (lambda: models.UNet(1, 2, features=32), "UNet: features is 32; give a sequence"),
        (lambda: models.UNet(1, 2, spatial_dims=4), "UNet: spatial_dims is 4; choose one of 1, 2"),
        (lambda: models.UNet(1, 2, norm="layer"), "UNet: norm is 'layer'; choose one of batch"),
        (lambda: models.UNet(1, 2, downsampling="x"), "UNet: downsampling is 'x'"),
        (lambda: models.CNN(1, 2, features=(4, 0)), "CNN: features is 0"),
        (lambda: models.CNN(1, 2, pooling="min"), "CNN: pooling is 'min'"),
        (lambda: models.CNN(1, 2, dropout=1.0), r"p is 1\.0"),
        (lambda: models.MLP(3, 0), "MLP: num_classes is 0"),
        (lambda: models.MLP(3, 2, hidden=(-1,)), "MLP: hidden is -1"),
    ],
)
def test_a_wrong_argument_fails_where_the_model_is_built(build: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_mlp_without_hidden_layers_is_one_linear_layer() -> None:
    model = models.MLP(6, 2, hidden=()).astype(np.float64)
    assert model.num_parameters() == 6 * 2 + 2
    weight, bias = (parameter.data for parameter in model.parameters())
    input = image(3, 2, 3)
    expected = input.numpy().reshape(3, 6) @ weight.T + bias
    np.testing.assert_allclose(model(input).numpy(), expected, rtol=1e-12)
    assert models.MLP(64, 2).num_parameters() == 64 * 256 + 256 + 256 * 256 + 256 + 256 * 2 + 2


def test_cnn_shapes_and_size() -> None:
    model = models.CNN(2, 3, features=(4, 6, 8), dropout=0.5).astype(np.float64)
    assert model(image(2, 13, 9, 2)).shape == (2, 3)
    by_hand = 9 * (2 * 4 + 4 * 4 + 4 * 6 + 6 * 6 + 6 * 8 + 8 * 8) + 4 * (4 + 6 + 8) + 8 * 3 + 3
    assert model.num_parameters() == by_hand
    assert (
        models.CNN(1, 2, (4, 6), spatial_dims=3).astype(np.float64)(image(1, 4, 4, 4, 1)).ndim == 2
    )


def test_probabilities_sum_to_one_and_leave_the_mode() -> None:
    model = models.CNN(1, 3, features=(4, 8), dropout=0.5).astype(np.float64)
    first = model.predict_proba(image(5, 8, 8, 1).numpy())
    assert model.training
    assert first.shape == (5, 3)
    np.testing.assert_allclose(first.sum(-1), 1.0, rtol=1e-12)
    assert (first == model.predict_proba(image(5, 8, 8, 1))).all()
    single = models.MLP(4, 1, hidden=()).astype(np.float64)
    logit = single(image(3, 4)).numpy()
    np.testing.assert_allclose(single.predict_proba(image(3, 4)), 1 / (1 + np.exp(-logit)))


@pytest.mark.parametrize(
    "build",
    [
        lambda: models.UNet(2, 2, features=(2, 3)),
        lambda: models.UNet(1, 2, spatial_dims=3, features=(2, 3), norm="instance"),
        lambda: models.CNN(2, 2, features=(2, 3)),
    ],
)
def test_every_parameter_gets_a_gradient_that_differences_confirm(build: Any) -> None:
    vg.manual_seed(0)
    model = build().astype(np.float64)
    inputs, rank = model.in_channels, model.spatial_dims
    input = image(2, *(4,) * rank, inputs)

    def loss() -> vg.Tensor:
        return (model(input) * model(input)).sum()

    loss().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        index = np.unravel_index(parameter.size // 2, parameter.shape)
        kept, values = parameter.data[index], []
        for change in (1e-6, -1e-6):
            parameter.data[index] = kept + change
            values.append(loss().item())
        parameter.data[index] = kept
        # Central differences: rounding of the loss over 2e-6 allows about 1e-9 / 1e-6.
        slope = (values[0] - values[1]) / 2e-6
        assert parameter.grad.data[index] == pytest.approx(slope, rel=1e-3, abs=1e-4), name


def test_summary_lists_layers_and_totals() -> None:
    model = models.UNet(4, 3, features=(8, 16))
    table = model.summary((2, 32, 32, 4))
    assert model.training
    assert table.parameters == model.num_parameters() == sum(row.parameters for row in table.rows)
    rows = {row.name: row for row in table.rows}
    assert rows["encoder.1.conv1"].output_shape == (2, 16, 16, 16)
    assert rows["encoder.1.conv1"].flops == 2 * (2 * 16 * 16) * 16 * 9 * 8
    assert rows["upsample.0"].flops == 2 * (2 * 16 * 16) * 16 * 4 * 8
    assert rows["head"].parameters == 8 * 3 + 3
    text = str(table)
    assert text.startswith("UNet, input 2 x 32 x 32 x 4\n")
    assert "encoder.1.conv1" in text
    assert f"{table.parameters:,}" in text
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize(
    ("build", "shape", "gigaflops"),
    [
        (lambda: models.UNet(4, 4), (8, 240, 240, 4), 170),
        (
            lambda: models.UNet(4, 4, 3, (32, 64, 128, 256, 320), norm="instance"),
            (1, 96, 96, 96, 4),
            403,
        ),
        (lambda: models.CNN(4, 2), (32, 128, 128, 4), 54),
    ],
)
def test_summary_counts_the_work_of_the_benchmark_networks(
    build: Any, shape: tuple[int, ...], gigaflops: int
) -> None:
    assert build().summary(shape).flops / 1e9 == pytest.approx(gigaflops, abs=0.51)


def test_summary_of_a_shape_that_does_not_fit_is_explained() -> None:
    model = models.UNet(4, 3)
    with pytest.raises(ValueError, match="multiple of 16"):
        model.summary((1, 100, 100, 4))
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())


def test_summary_leaves_other_threads_their_backend() -> None:
    inside, done = threading.Event(), threading.Event()
    chosen: list[str] = []

    def compute() -> None:
        inside.wait(10)
        chosen.append(vg.backends.backend_of(np.zeros(1)).__name__)
        done.set()

    class Slow(nn.Module):
        def forward(self, input: vg.Tensor) -> vg.Tensor:
            inside.set()
            done.wait(10)
            return input

    thread = threading.Thread(target=compute)
    thread.start()
    models.summary(Slow(), (1, 2))
    thread.join()
    assert chosen == ["voxelgrad.backends.reference"]


def torch_unet(model: models.UNet) -> Any:
    """Write the same U-Net with PyTorch's functions, on weights copied from ours."""
    torch = pytest.importorskip("torch")
    functional, state = torch.nn.functional, model.state_dict()
    rank, nnunet = model.spatial_dims, model.config["norm"] == "instance"
    convolve = (functional.conv2d, functional.conv3d)[rank - 2]
    enlarge = (functional.conv_transpose2d, functional.conv_transpose3d)[rank - 2]

    def array(name: str) -> Any:
        value = torch.from_numpy(state[name])
        return value.movedim(-1, 1) if value.ndim > 1 else value

    def norm(x: Any, name: str) -> Any:
        weight, bias = array(f"{name}.weight"), array(f"{name}.bias")
        if nnunet:
            return functional.instance_norm(x, weight=weight, bias=bias)
        return functional.batch_norm(x, None, None, weight, bias, training=True)

    def block(x: Any, name: str, stride: int = 1) -> Any:
        for i in (1, 2):
            x = convolve(x, array(f"{name}.conv{i}.weight"), None, stride if i == 1 else 1, 1)
            x = norm(x, f"{name}.norm{i}")
            x = functional.leaky_relu(x, 0.01) if nnunet else functional.relu(x)
        return x

    def forward(input: Array) -> Array:
        x, skips = torch.from_numpy(input).movedim(-1, 1), []
        for i in range(len(model.encoder)):
            if i:
                skips.append(x)
                x = x if nnunet else functional.max_pool2d(x, 2)
            x = block(x, f"encoder.{i}", 2 if i and nnunet else 1)
        for i in range(len(model.decoder)):
            # PyTorch keeps transposed weights as (in, out, *kernel).
            weight = array(f"upsample.{i}.weight").transpose(0, 1)
            x = enlarge(x, weight, array(f"upsample.{i}.bias"), 2)
            x = block(torch.cat([skips.pop(), x], 1), f"decoder.{i}")
        x = convolve(x, array("head.weight"), array("head.bias"))
        return np.asarray(x.movedim(1, -1).numpy())

    return forward


@pytest.mark.parametrize(
    ("rank", "norm", "size"), [(2, "batch", (8, 12)), (3, "instance", (8, 4, 12))]
)
def test_unet_agrees_with_pytorch(rank: int, norm: str, size: tuple[int, ...]) -> None:
    model = models.UNet(3, 4, rank, (4, 6, 8), norm=norm).astype(np.float64)
    random = np.random.default_rng(1)
    for parameter in model.parameters():
        parameter.data[...] += 0.1 * random.normal(size=parameter.shape)
    input = image(2, *size, 3)
    output = model(input).numpy()
    np.testing.assert_allclose(output, torch_unet(model)(input.numpy()), rtol=1e-9, atol=1e-10)
