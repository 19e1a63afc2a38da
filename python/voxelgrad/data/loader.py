"""Batches, read ahead by threads, in an order that the seed decides."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelgrad.data.datasets import Cached, Dataset, Sample

Transform = Callable[[Sample, np.random.Generator], Sample]

# Streams of one seed that must not coincide: the order of an epoch, and what happens to each
# sample.
_ORDER, _TRANSFORM = 0, 1


@dataclass(frozen=True)
class Batch:
    """Samples stacked.

    Attributes:
        image: ``(N, *spatial, C)`` float32, C-contiguous.
        label: Masks ``(N, *spatial)`` or classes ``(N,)`` int64; None where the samples have no
            labels.
        names: The N names.
        cases: The N patients.
    """

    image: NDArray[np.float32]
    label: NDArray[np.int64] | None
    names: tuple[str, ...]
    cases: tuple[str, ...]

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.names)


class DataLoader:
    """Goes through a dataset in batches.

    The order of epoch e depends on ``(seed, e)`` alone, what ``augment`` does to sample i in it on
    ``(seed, e, i)``: neither the number of threads nor where the iteration starts changes a batch.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int = 8,
        shuffle: bool = False,
        seed: int = 0,
        num_workers: int = 1,
        augment: Transform | None = None,
        drop_last: bool = False,
        cache: bool = False,
        prefetch: int = 2,
    ) -> None:
        """Prepare to load.

        Args:
            dataset: What to load.
            batch_size: Samples in a batch.
            shuffle: A new order every epoch; False keeps the dataset's order.
            seed: Decides order and augmentation.
            num_workers: Threads that read ahead; 0 reads when a batch is asked for.
            augment: Called with a sample and its random generator.
            drop_last: Leave out a last batch that is not full.
            cache: Keep the samples in memory, before augmentation, after their first reading.
            prefetch: How many batches to read ahead.

        Raises:
            ValueError: If the dataset is empty or a number is out of range.
        """
        if len(dataset) == 0:
            raise ValueError("DataLoader: dataset is empty; it must hold at least one sample")
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("seed", seed, 0),
            ("num_workers", num_workers, 0),
            ("prefetch", prefetch, 1),
        ):
            if value < least:
                raise ValueError(f"DataLoader: {name} is {value}; it must be {least} or more")
        if drop_last and len(dataset) < batch_size:
            raise ValueError(
                f"DataLoader: drop_last leaves no batch: {len(dataset)} samples, batch_size "
                f"{batch_size}; choose a smaller batch_size"
            )
        self.dataset = Cached(dataset) if cache else dataset
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.num_workers = num_workers
        self.augment = augment
        self.drop_last = drop_last
        self.prefetch = prefetch
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order and augmentation the next iteration uses.

        Raises:
            ValueError: If ``epoch`` is negative.
        """
        if epoch < 0:
            raise ValueError(f"DataLoader.set_epoch: epoch is {epoch}; it must be 0 or more")
        self.epoch = epoch

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        full, rest = divmod(len(self.dataset), self.batch_size)
        return full + (1 if rest and not self.drop_last else 0)

    def __iter__(self) -> Iterator[Batch]:
        """Go through the epoch from its first batch."""
        return self.iterate()

    def iterate(self, start_batch: int = 0) -> Iterator[Batch]:
        """Go through the epoch from batch ``start_batch``, as a resumed training does.

        Raises:
            ValueError: If ``start_batch`` lies outside the epoch, or a sample cannot be loaded or
                stacked; the sample is named.
        """
        if not 0 <= start_batch <= len(self):
            raise ValueError(
                f"DataLoader.iterate: start_batch is {start_batch}; it must be from 0 to "
                f"{len(self)}"
            )
        order = self._order()
        size = self.batch_size
        batches = [order[k * size : (k + 1) * size] for k in range(start_batch, len(self))]
        return self._read_ahead(batches) if self.num_workers else self._read_now(batches)

    def _order(self) -> NDArray[np.intp]:
        if not self.shuffle:
            return np.arange(len(self.dataset))
        return np.random.default_rng([self.seed, _ORDER, self.epoch]).permutation(len(self.dataset))

    def _read_now(self, batches: Sequence[NDArray[np.intp]]) -> Iterator[Batch]:
        for indices in batches:
            yield _stack([self._load(int(index), self.epoch) for index in indices])

    def _read_ahead(self, batches: Sequence[NDArray[np.intp]]) -> Iterator[Batch]:
        pool = ThreadPoolExecutor(self.num_workers, thread_name_prefix="voxelgrad-loader")
        epoch = self.epoch
        waiting: deque[list[Future[Sample]]] = deque()
        try:
            for indices in batches:
                waiting.append([pool.submit(self._load, int(index), epoch) for index in indices])
                if len(waiting) > self.prefetch:
                    yield _stack([future.result() for future in waiting.popleft()])
            while waiting:
                yield _stack([future.result() for future in waiting.popleft()])
        finally:
            # Reached too when the caller stops early or a sample fails: no thread outlives the
            # iteration.
            pool.shutdown(wait=True, cancel_futures=True)

    def _load(self, index: int, epoch: int) -> Sample:
        try:
            sample = self.dataset[index]
            if self.augment is None:
                return sample
            return self.augment(
                sample, np.random.default_rng([self.seed, _TRANSFORM, epoch, index])
            )
        except ImportError:
            raise
        except Exception as error:
            kind = ValueError if isinstance(error, ValueError) else RuntimeError
            name = self.dataset.names[index]
            raise kind(f"DataLoader: sample {name} could not be loaded: {error}") from error


def _stack(samples: Sequence[Sample]) -> Batch:
    first = samples[0]
    for sample in samples:
        if (sample.label is None) != (first.label is None):
            raise ValueError(
                f"DataLoader: of {sample.name} and {first.name} only one has a label; give both one"
            )
        if sample.image.shape != first.image.shape or _shape(sample) != _shape(first):
            raise ValueError(
                f"DataLoader: {sample.name} has image {sample.image.shape} and label "
                f"{_shape(sample)}, {first.name} of the same batch {first.image.shape} and "
                f"{_shape(first)}; samples of a batch must have one shape: crop or pad them, or "
                "use batch_size=1"
            )
    labels: list[Any] = [sample.label for sample in samples]
    return Batch(
        np.stack([sample.image for sample in samples]),
        None if first.label is None else np.stack(labels).astype(np.int64, copy=False),
        tuple(sample.name for sample in samples),
        tuple(sample.case for sample in samples),
    )


def _shape(sample: Sample) -> tuple[int, ...]:
    return sample.label.shape if isinstance(sample.label, np.ndarray) else ()
