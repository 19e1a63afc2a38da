"""Predictions averaged over mirror images."""

from __future__ import annotations

import numpy as np
import pytest

import voxelgrad as vg
from voxelgrad.train.inference import predict


def probabilities(model: vg.nn.Module, images: np.ndarray, mirror: bool) -> np.ndarray:
    return np.stack([p.probabilities for p in predict(model, images, mirror=mirror)])


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_mirroring_the_image_mirrors_the_averaged_prediction(spatial_dims: int) -> None:
    vg.manual_seed(0)
    model = vg.models.UNet(2, 3, spatial_dims=spatial_dims, features=(4, 8))
    shape = (2, *(8, 6, 4)[:spatial_dims], 2)
    images = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    averaged = probabilities(model, images, mirror=True)
    for axis in range(1, spatial_dims + 1):
        turned = np.ascontiguousarray(np.flip(images, axis))
        plain = np.flip(probabilities(model, turned, mirror=False), axis)
        assert np.abs(plain - probabilities(model, images, mirror=False)).max() > 1e-3
        np.testing.assert_allclose(
            np.flip(probabilities(model, turned, mirror=True), axis), averaged, rtol=0, atol=1e-6
        )


def test_the_average_is_over_all_mirror_images_of_a_classifier_too() -> None:
    vg.manual_seed(0)
    model = vg.models.CNN(1, 3, features=(4, 8))
    images = np.random.default_rng(0).standard_normal((3, 8, 8, 1)).astype(np.float32)
    turned = [np.flip(images, axes) for axes in ((), (1,), (2,), (1, 2))]
    plain = [probabilities(model, np.ascontiguousarray(t), mirror=False) for t in turned]
    expected = np.mean(plain, axis=0)
    np.testing.assert_allclose(
        probabilities(model, images, mirror=True), expected, rtol=0, atol=1e-6
    )
