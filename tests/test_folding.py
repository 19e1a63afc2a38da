"""What compiled predictions leave to the layers: batch norms and activations behind them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

import voxelgrad as vg
from test_compile import batches, build, predict_eagerly
from voxelgrad import nn, ops
from voxelgrad.backends import cpu


class NormBehind(nn.Module):
    """A layer with a batch norm whose statistics and parameters are not the first ones."""

    def __init__(self, layer: nn.Module, channels: int) -> None:
        rng = np.random.default_rng(1)
        self.layer = layer
        self.norm = nn.BatchNorm(channels)
        for array in (*self.norm.buffers(), *(p.data for p in self.norm.parameters())):
            array[...] = rng.uniform(0.5, 2.0, channels)

    def forward(self, input: vg.Tensor) -> vg.Tensor:
        return self.norm(self.layer(input))


FOLDABLE: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int]] = {
    "conv2d": (lambda: nn.Conv2d(3, 5, 3, padding=1), (2, 6, 7, 3), 27),
    "conv3d, no bias": (lambda: nn.Conv3d(3, 5, 2, bias=False), (2, 4, 5, 3, 3), 24),
    "transposed": (lambda: nn.ConvTranspose2d(3, 5, 2, 2), (2, 3, 4, 3), 3),
    "linear": (lambda: nn.Linear(17, 5), (6, 17), 17),
}


@pytest.mark.parametrize("name", FOLDABLE)
def test_prediction_folds_batch_norm(name: str) -> None:
    """Both ways round each product and sum of at most ``terms`` of them, then a few more.

    The sums are those of the absolute values: of the layer, times the norm's scale.
    """
    layer, shape, terms = FOLDABLE[name]
    vg.manual_seed(0)
    cpu.set_conv_algorithm("direct")
    try:
        model = NormBehind(layer(), 5)
        image = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
        folded, eager = vg.compile(model)(image).numpy(), predict_eagerly(model, image)
    finally:
        cpu.set_conv_algorithm("")
    assert folded.tobytes() != eager.tobytes()
    scale = model.norm.weight.numpy() / np.sqrt(model.norm.running_var)
    for parameter in model.layer.parameters():
        parameter.data = np.abs(parameter.data)
    size = predict_eagerly(model.layer, np.abs(image)) + model.norm.running_mean
    bound = 2 * (terms + 8) * 2.0**-24 * (size * scale + model.norm.bias.numpy())
    assert (np.abs(folded - eager) <= bound).all()


class NormWithActivation(nn.BatchNorm):
    """A batch norm that computes the activation in its own pass."""

    def forward(self, input: vg.Tensor) -> vg.Tensor:
        return super().forward(input, "leaky_relu", 0.2)


LEAKY = partial(nn.LeakyReLU, 0.3)
# Builder of what follows a layer, and the calls that are left of both: layer, fold, activation.
FOLLOWERS: dict[str, tuple[Callable[[], list[nn.Module]], int]] = {
    "relu": (lambda: [nn.ReLU()], 1),
    "leaky_relu": (lambda: [LEAKY()], 1),
    "leaky_relu of 0, whose zeros are negative": (lambda: [nn.LeakyReLU(0.0)], 2),
    "tanh": (lambda: [nn.Tanh()], 2),
    "relu, relu": (lambda: [nn.ReLU(), nn.ReLU()], 2),
    "norm, relu": (lambda: [nn.BatchNorm(5), nn.ReLU()], 2),
    "norm with leaky_relu": (lambda: [NormWithActivation(5)], 2),
    "norm, norm, tanh": (lambda: [nn.BatchNorm(5), nn.BatchNorm(5), nn.Tanh()], 4),
    "relu, norm": (lambda: [nn.ReLU(), nn.BatchNorm(5)], 3),
}


@pytest.mark.parametrize("followers", FOLLOWERS)
@pytest.mark.parametrize("name", FOLDABLE)
def test_prediction_folds_activations(name: str, followers: str) -> None:
    layer, shape, _ = FOLDABLE[name]
    behind, calls = FOLLOWERS[followers]
    vg.manual_seed(0)
    model = nn.Sequential(layer(), *behind())
    image = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    predict = vg.compile(model)
    result, eager = predict(image).numpy(), predict_eagerly(model, image)
    (record,) = predict._records.values()
    assert len(record.recorder.plan) == calls
    if "norm" in followers:
        np.testing.assert_allclose(result, eager, rtol=1e-4, atol=1e-5)
    else:
        assert result.tobytes() == eager.tobytes()
    assert predict(image).numpy().tobytes() == result.tobytes()


@pytest.mark.parametrize("activation", [nn.ReLU, LEAKY])
def test_bfloat16_is_rounded_as_often_as_eagerly(activation: Callable[[], nn.Module]) -> None:
    vg.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 40, 3), activation())
    image = np.random.default_rng(0).standard_normal((2, 9, 8, 3), dtype=np.float32)
    with vg.autocast("bfloat16"):
        result, eager = vg.compile(model)(image).numpy(), predict_eagerly(model, image)
    np.testing.assert_array_equal(result.astype(np.float32), eager.astype(np.float32))


def test_an_output_before_its_activation_is_written() -> None:
    class Logits(nn.Module):
        def __init__(self) -> None:
            self.layer = nn.Linear(4, 5)

        def forward(self, input: vg.Tensor) -> vg.Tensor:
            logits = self.layer(input)
            ops.relu(logits)
            return logits

    model, image = Logits(), np.ones((2, 4), np.float32)
    assert vg.compile(model)(image).numpy().tobytes() == predict_eagerly(model, image).tobytes()


def test_an_output_that_numpy_computed_is_refused() -> None:
    class Doubled(nn.Module):
        def forward(self, input: vg.Tensor) -> vg.Tensor:
            return vg.Tensor(input.data * 2)

    with pytest.raises(ValueError, match="the model's output is not what voxelgrad computed"):
        vg.compile(Doubled())(np.ones((2, 4), np.float32))


def test_a_change_of_weights_is_noticed_by_folded_layers() -> None:
    model = build("cnn")
    predict, image = vg.compile(model), batches("cnn", 1)[0][0]
    before = predict(image).numpy()
    for parameter in model.parameters():
        parameter.data *= np.float32(1.5)
    after = predict(image).numpy()
    assert after.tobytes() != before.tobytes()
    assert after.tobytes() == vg.compile(model)(image).numpy().tobytes()


def test_a_layer_with_other_readers_is_not_folded() -> None:
    class Residual(NormBehind):
        def forward(self, input: vg.Tensor) -> vg.Tensor:
            hidden = self.layer(input)
            return self.norm(hidden) + hidden

    model = Residual(nn.Conv2d(3, 5, 3), 5)
    image = np.random.default_rng(0).standard_normal((2, 6, 7, 3), dtype=np.float32)
    assert vg.compile(model)(image).numpy().tobytes() == predict_eagerly(model, image).tobytes()
