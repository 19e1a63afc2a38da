"""The loader: order, resuming, threads, and errors that name the sample."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from voxelgrad.data import ArrayDataset, Augment, DataLoader, Dataset, Sample


def numbered(count=10):
    """Images whose voxels all hold their index, with masks that hold it too."""
    values = np.arange(count).reshape(-1, 1, 1)
    images = np.broadcast_to(values[..., None], (count, 6, 5, 2)).astype(np.float32)
    masks = np.broadcast_to(values, (count, 6, 5)).copy()
    return ArrayDataset(images, masks, cases=[f"patient_{i // 2}" for i in range(count)])


def contents(batches):
    return [(batch.names, batch.image.tobytes(), batch.label.tobytes()) for batch in batches]


class Broken(Dataset):
    """Ten samples of which one raises; counts how often it is read."""

    def __init__(self, error):
        self.error = error
        self.reads = 0

    @property
    def cases(self):
        return self.names

    @property
    def names(self):
        return [f"slice_{i}" for i in range(10)]

    def __getitem__(self, index):
        self.reads += 1
        if index == 7:
            raise self.error
        return Sample(np.zeros((4, 4, 1), np.float32), 0, "p", self.names[index])


def loader_threads():
    return [t for t in threading.enumerate() if t.name.startswith("voxelgrad-loader")]


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_every_sample_comes_once_with_its_label(workers):
    loader = DataLoader(numbered(), 4, shuffle=True, num_workers=workers)
    batches = list(loader)
    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert len(loader) == 3
    assert sorted(name for batch in batches for name in batch.names) == [str(i) for i in range(10)]
    for batch in batches:
        assert batch.image.dtype == np.float32
        assert batch.image.flags.c_contiguous
        assert batch.label.dtype == np.int64
        for n, name in enumerate(batch.names):
            assert (batch.image[n] == int(name)).all()
            assert (batch.label[n] == int(name)).all()
            assert batch.cases[n] == f"patient_{int(name) // 2}"


def test_without_shuffling_the_order_is_that_of_the_dataset():
    batches = list(DataLoader(numbered(), 4))
    assert [name for batch in batches for name in batch.names] == [str(i) for i in range(10)]


def test_threads_and_cache_change_nothing():
    def run(workers, cache):
        loader = DataLoader(
            numbered(), 3, shuffle=True, seed=5, num_workers=workers, augment=Augment(), cache=cache
        )
        epochs = []
        for epoch in range(2):
            loader.set_epoch(epoch)
            epochs += contents(loader)
        return epochs

    expected = run(0, False)
    assert run(1, False) == expected
    assert run(3, True) == expected


def test_resuming_within_an_epoch_gives_the_remaining_batches():
    loader = DataLoader(numbered(), 3, shuffle=True, seed=1, num_workers=2, augment=Augment())
    loader.set_epoch(4)
    whole = contents(loader)
    fresh = DataLoader(numbered(), 3, shuffle=True, seed=1, num_workers=0, augment=Augment())
    fresh.set_epoch(4)
    for start in range(len(whole) + 1):
        assert contents(fresh.iterate(start_batch=start)) == whole[start:]


def test_epochs_and_seeds_differ():
    def names(seed, epoch):
        loader = DataLoader(numbered(), 10, shuffle=True, seed=seed)
        loader.set_epoch(epoch)
        return next(iter(loader)).names

    assert len({names(0, 0), names(0, 1), names(1, 0), names(1, 1)}) == 4


def test_augmentation_of_a_sample_does_not_depend_on_its_place_in_the_order():
    plain = DataLoader(numbered(), 10, seed=3, augment=Augment())
    shuffled = DataLoader(numbered(), 10, seed=3, shuffle=True, augment=Augment())
    first, second = next(iter(plain)), next(iter(shuffled))
    for n, name in enumerate(second.names):
        assert np.array_equal(second.image[n], first.image[int(name)])


def test_the_last_batch_can_be_dropped():
    loader = DataLoader(numbered(), 4, drop_last=True)
    assert len(loader) == 2
    assert [len(batch) for batch in loader] == [4, 4]


def test_class_numbers_become_a_vector_and_missing_labels_none():
    images = np.zeros((3, 4, 4, 1), np.float32)
    assert next(iter(DataLoader(ArrayDataset(images, [2, 0, 1])))).label.tolist() == [2, 0, 1]
    assert next(iter(DataLoader(ArrayDataset(images)))).label is None


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("error", "kind"), [(ValueError("bad"), ValueError), (KeyError("k"), RuntimeError)]
)
def test_an_error_in_a_thread_reaches_the_caller_with_the_name(workers, error, kind):
    loader = DataLoader(Broken(error), 2, num_workers=workers)
    with pytest.raises(kind, match="slice_7") as caught:
        list(loader)
    assert caught.value.__cause__ is error
    assert not loader_threads()


def test_stopping_early_ends_the_threads():
    iterator = iter(DataLoader(numbered(), 2, num_workers=2))
    next(iterator)
    assert loader_threads()
    iterator.close()
    assert not loader_threads()


def test_reading_ahead_is_bounded():
    data = Broken(None)
    iterator = iter(DataLoader(data, 1, num_workers=2, prefetch=2))
    next(iterator)
    iterator.close()
    assert data.reads <= 3


def test_a_cached_sample_is_read_once():
    data = Broken(None)
    data.__class__ = type("Whole", (Broken,), {"__getitem__": lambda s, i: count(s, i)})

    def count(dataset, index):
        dataset.reads += 1
        return Sample(np.zeros((4, 4, 1), np.float32), 0, "p", dataset.names[index])

    loader = DataLoader(data, 2, num_workers=2, cache=True)
    for _ in range(3):
        list(loader)
    assert data.reads == 10


def test_samples_of_different_shape_are_named():
    data = ArrayDataset(
        [np.zeros((4, 4, 1)), np.zeros((5, 4, 1))], names=["a_1", "b_1"], cases=["a", "b"]
    )
    with pytest.raises(ValueError, match=r"b_1 has image \(5, 4, 1\).*a_1.*\(4, 4, 1\)"):
        list(DataLoader(data, 2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"num_workers": -1}, "num_workers is -1"),
        ({"seed": -1}, "seed is -1"),
        ({"prefetch": 0}, "prefetch is 0"),
        ({"batch_size": 20, "drop_last": True}, "drop_last leaves no batch"),
    ],
)
def test_options_out_of_range_are_named(options, message):
    with pytest.raises(ValueError, match=f"DataLoader: {message}"):
        DataLoader(numbered(), **options)


def test_a_start_outside_the_epoch_is_refused():
    with pytest.raises(ValueError, match="start_batch is 11"):
        DataLoader(numbered(), 1).iterate(start_batch=11)
