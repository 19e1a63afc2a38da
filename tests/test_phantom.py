"""The synthetic head: repeatable, plausible in its contrasts, and usable as a dataset."""

from __future__ import annotations

import numpy as np
import pytest

from voxelgrad.data import PhantomDataset, phantom, split_by_patient

T1, T1CE, T2, FLAIR = range(4)
NECROSIS, OEDEMA, ENHANCING = 1, 2, 3


@pytest.fixture(scope="module")
def heads():
    return [phantom(seed, (96, 80)) for seed in range(12)]


def median(image, mask):
    return np.median(image[mask], axis=0)


def healthy(image, label):
    return (image[..., T2] > 0) & (label == 0)


@pytest.mark.parametrize("shape", [(48, 40), (8, 24, 20)])
def test_shapes_types_and_classes(shape):
    image, label = phantom(1, shape, len(shape))
    assert image.shape == (*shape, 4)
    assert image.dtype == np.float32
    assert np.isfinite(image).all()
    assert label.shape == shape
    assert label.dtype == np.int64
    assert set(np.unique(label)) <= {0, 1, 2, 3}


def test_one_seed_is_one_head():
    first, second, other = phantom(3, (48, 40)), phantom(3, (48, 40)), phantom(4, (48, 40))
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])
    assert not np.array_equal(first[1], other[1])


def test_every_head_shows_its_tumour_within_the_brain(heads):
    for image, label in heads:
        assert all((label == k).any() for k in (OEDEMA, ENHANCING))
        assert 0.01 < (label > 0).mean() < 0.3
        # Skull-stripped: nothing outside the brain, and no tumour there.
        outside = (image == 0).all(axis=-1)
        assert 0.3 < outside.mean() < 0.7
        assert not label[outside].any()


def test_contrasts_are_those_of_a_glioblastoma(heads):
    for image, label in heads:
        brain = median(image, healthy(image, label))
        oedema, rim = median(image, label == OEDEMA), median(image, label == ENHANCING)
        assert oedema[FLAIR] > 1.3 * brain[FLAIR]
        assert oedema[T2] > 1.2 * brain[T2]
        assert oedema[T1] < brain[T1]
        assert rim[T1CE] > 1.2 * brain[T1CE]
        if (label == NECROSIS).sum() > 30:
            core = median(image, label == NECROSIS)
            assert core[T1CE] < 0.6 * rim[T1CE]
            assert core[T1] < brain[T1]


def test_fluid_is_bright_in_t2_and_dark_in_flair_and_t1(heads):
    for image, label in heads:
        tissue = healthy(image, label)
        brain = median(image, tissue)
        fluid = tissue & (image[..., T2] > 1.6 * brain[T2])
        assert fluid.sum() > 30
        # Voxels of 2 mm hold some tissue beside the fluid of a fold.
        assert median(image, fluid)[FLAIR] < 0.75 * brain[FLAIR]
        assert median(image, fluid)[T1] < 0.75 * brain[T1]


def test_the_same_head_at_another_resolution_has_the_same_tumour():
    coarse, fine = (phantom(6, size)[1] for size in ((95, 80), (190, 160)))
    for k in (NECROSIS, OEDEMA, ENHANCING):
        assert (coarse == k).mean() == pytest.approx((fine == k).mean(), rel=0.25, abs=0.002)


def test_the_dataset_knows_its_patients():
    data = PhantomDataset(count=5, seed=2, size=(32, 32), slices_per_case=3)
    assert len(data) == len(data.names) == len(data.cases) == 15
    assert len(set(data.names)) == 15
    assert len(set(data.cases)) == 5
    train, held_out = split_by_patient(data, held_out=2, seed=0)
    assert (len(train), len(held_out)) == (9, 6)
    sample = data[4]
    assert sample.name == data.names[4]
    assert sample.case == data.cases[4]
    assert sample.image.shape == (32, 32, 4)


def test_slices_of_a_case_are_repeatable_and_differ():
    data = PhantomDataset(count=2, size=(48, 40), slices_per_case=3)
    again = PhantomDataset(count=2, size=(48, 40), slices_per_case=3)
    assert np.array_equal(data[5].image, again[5].image)
    assert not np.array_equal(data[4].label, data[5].label)
    with pytest.raises(IndexError):
        data[6]


def test_datasets_of_different_seeds_share_no_head():
    first, second = (PhantomDataset(count=3, seed=s, size=(32, 32)) for s in (0, 1))
    assert set(first.cases).isdisjoint(second.cases)
    labels = [data[i].label for data in (first, second) for i in range(0, 12, 4)]
    assert len({label.tobytes() for label in labels}) == 6


def test_volumes():
    data = PhantomDataset(count=2, size=(8, 24, 20), spatial_dims=3)
    assert len(data) == 2
    assert data[1].image.shape == (8, 24, 20, 4)
    assert data[1].label.shape == (8, 24, 20)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"seed": 0, "spatial_dims": 4}, "spatial_dims is 4"),
        ({"seed": 0, "size": (32, 32, 32)}, "size is"),
        ({"seed": 0, "size": (32, 0)}, "size is"),
    ],
)
def test_arguments_out_of_range_are_named(arguments, message):
    with pytest.raises(ValueError, match=f"phantom: {message}"):
        phantom(**arguments)


def test_an_empty_dataset_is_refused():
    with pytest.raises(ValueError, match="count is 0"):
        PhantomDataset(count=0)
