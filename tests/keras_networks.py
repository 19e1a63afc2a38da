"""Networks built and saved by Keras itself, with what it computes: run as a script, once.

``python keras_networks.py FOLDER`` writes for each network NAME the files NAME.keras, NAME.h5 and
NAME.weights.h5, and NAME.npz with the inputs x0, x1, ... and the outputs y0, y1, ... of Keras.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers as kl

NETWORKS: dict[str, Callable[[], Any]] = {}


def network(build: Callable[[], Any]) -> Callable[[], Any]:
    NETWORKS[build.__name__] = build
    return build


@network
def cnn() -> Any:
    """Sequential, with norms, pooling, dense layers."""
    return keras.Sequential(
        [
            keras.Input((20, 18, 3)),
            kl.Rescaling(1 / 127.5, offset=-1.0),
            kl.Conv2D(8, 3, padding="same", use_bias=False),
            kl.BatchNormalization(),
            kl.ReLU(),
            kl.MaxPooling2D(),
            kl.Conv2D(12, 5, strides=2, activation="elu"),
            kl.SpatialDropout2D(0.1),
            kl.GlobalAveragePooling2D(),
            kl.Dense(16, activation="swish"),
            kl.Dropout(0.3),
            kl.Dense(4, activation="softmax"),
        ]
    )


def unet(up: str) -> Any:
    inputs = keras.Input((32, 24, 2))
    x, skips = inputs, []
    for filters in (4, 8):
        x = kl.Conv2D(filters, 3, padding="same", activation="relu")(x)
        x = kl.BatchNormalization()(x)
        skips.append(x)
        x = kl.MaxPooling2D()(x)
    x = kl.Conv2D(16, 3, padding="same", activation="relu")(x)
    for filters in (8, 4):
        if up == "transposed":
            x = kl.Conv2DTranspose(filters, 3, strides=2, padding="same")(x)
        else:
            x = kl.UpSampling2D(interpolation=up)(x)
        x = kl.Concatenate()([skips.pop(), x])
        x = kl.Conv2D(filters, 3, padding="same")(x)
        x = kl.LeakyReLU()(x)
    return keras.Model(inputs, kl.Conv2D(3, 1, activation="sigmoid")(x))


@network
def unet_transposed() -> Any:
    return unet("transposed")


@network
def unet_nearest() -> Any:
    return unet("nearest")


@network
def unet_bilinear() -> Any:
    return unet("bilinear")


@network
def volume() -> Any:
    """3D: strides, pooling, a transposed convolution."""
    inputs = keras.Input((9, 8, 7, 2))
    x = kl.Conv3D(4, 3, strides=2, padding="same")(inputs)
    x = kl.BatchNormalization()(x)
    x = kl.PReLU(shared_axes=[1, 2, 3])(x)
    y = kl.Conv3DTranspose(3, 2, strides=2)(x)
    y = kl.Cropping3D(((1, 0), (0, 0), (0, 1)))(y)
    y = kl.Concatenate()([y, inputs])
    y = kl.AveragePooling3D((3, 2, 3), strides=2, padding="same")(y)
    return keras.Model(inputs, kl.Dense(3)(kl.UpSampling3D(2)(y)))


@network
def separable() -> Any:
    """Depthwise and separable convolutions, dilation, groups, several slopes."""
    return keras.Sequential(
        [
            keras.Input((15, 14, 4)),
            kl.DepthwiseConv2D(3, padding="same", depth_multiplier=2, dilation_rate=2),
            kl.PReLU(),
            kl.SeparableConv2D(6, 3, strides=2, padding="same", depth_multiplier=2),
            kl.GroupNormalization(3),
            kl.Activation("tanh"),
            kl.Conv2D(8, 3, groups=2, dilation_rate=2),
            kl.LayerNormalization(),
            kl.ZeroPadding2D(((1, 2), (0, 1))),
            kl.Conv2DTranspose(5, 4, strides=3, padding="same"),
            kl.ELU(0.5),
            kl.Flatten(),
            kl.Dense(3, use_bias=False),
        ]
    )


@network
def signal() -> Any:
    """1D, causal, reshaped and turned."""
    return keras.Sequential(
        [
            keras.Input((17, 3)),
            kl.Conv1D(6, 4, padding="causal"),
            kl.BatchNormalization(scale=False),
            kl.ReLU(max_value=1.0, negative_slope=0.1),
            kl.AveragePooling1D(3, strides=2, padding="same"),
            kl.Conv1DTranspose(4, 3, strides=2, padding="same"),
            kl.MaxPooling1D(2, padding="same"),
            kl.UpSampling1D(2),
            kl.Cropping1D(1),
            kl.Reshape((4, 4, 4)),
            kl.Permute((3, 1, 2)),
            kl.Conv2D(2, 2, activation="softplus"),
            kl.GlobalMaxPooling2D(keepdims=True),
        ]
    )


@network
def shared() -> Any:
    """Two inputs through one network, a frozen one inside, two outputs."""
    part = keras.Sequential(
        [keras.Input((12, 12, 2)), kl.Conv2D(3, 3, name="inside"), kl.BatchNormalization()],
        name="part",
    )
    outer_input = keras.Input((12, 12, 2))
    outer = keras.Model(outer_input, kl.ReLU()(part(outer_input, training=False)), name="outer")
    a, b = keras.Input((12, 12, 2), name="a"), keras.Input((12, 12, 2), name="b")
    x, y = outer(a), outer(b)
    dense = kl.Dense(4, name="both")
    u = dense(kl.GlobalMaxPooling2D()(kl.Subtract()([x, y])))
    v = dense(kl.GlobalAveragePooling2D()(kl.Average()([x, kl.Multiply()([x, y])])))
    return keras.Model([a, b], [kl.Add(name="sum")([u, v]), kl.Softmax()(v)])


@network
def channels_first() -> Any:
    """Images (N, C, H, W), flattened before a dense layer."""
    first = {"data_format": "channels_first"}
    return keras.Sequential(
        [
            keras.Input((3, 8, 6)),
            kl.Conv2D(4, 3, strides=2, padding="same", **first),
            kl.BatchNormalization(axis=1),
            kl.Flatten(**first),
            kl.Dense(5),
        ]
    )


def write(name: str, folder: Path) -> None:
    """Give a network weights of its own, save it in all formats, and what it computes."""
    model = NETWORKS[name]()
    rng = np.random.default_rng(len(name))
    model.set_weights(
        [
            rng.uniform(0.5, 1.5, w.shape) if "variance" in v.path else rng.normal(0, 0.4, w.shape)
            for v, w in zip(model.weights, model.get_weights(), strict=True)
        ]
    )
    inputs = [
        rng.normal(0, 1, (2, *tensor.shape[1:])).astype(np.float32) for tensor in model.inputs
    ]
    outputs = model(inputs if len(inputs) > 1 else inputs[0], training=False)
    listed = outputs if isinstance(outputs, list) else [outputs]
    arrays = {f"x{i}": x for i, x in enumerate(inputs)}
    arrays |= {f"y{i}": keras.ops.convert_to_numpy(y) for i, y in enumerate(listed)}
    np.savez(folder / f"{name}.npz", **arrays)
    model.save(folder / f"{name}.keras")
    model.save(folder / f"{name}.h5")
    model.save_weights(folder / f"{name}.weights.h5")


if __name__ == "__main__":
    for name in NETWORKS:
        write(name, Path(sys.argv[1]))
