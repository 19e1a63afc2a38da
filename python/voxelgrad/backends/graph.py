"""A backend that computes as ``cuda`` does, and captures a step as a CUDA graph.

A step runs once as ever: that sets up what the device needs on first use. When it runs again, its
kernels are captured on a stream of our own instead of being started, and from then on the graph is
launched as one piece of work. The graph keeps the addresses of its arrays, so they come from a
memory pool of its own, which lives as long as the graph and every array in it.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import DTypeLike, NDArray

from voxelgrad import backends
from voxelgrad.backends.recording import Folding, Recording

# Of the backend's functions those that give numbers to the host, or take them from there.
_WAITING = ("to_host", "from_host", "from_dlpack", "synchronize", "squared_norm", "all_finite")

_MOST_SEEDS = 1000


class GraphRecorder(Recording):
    """Runs the calls of a step on a CUDA device, and captures them when it runs again.

    Args:
        backend: The CUDA backend.

    Attributes:
        is_complete: Whether there is a graph that ``run`` can launch.
    """

    def __init__(self, backend: Any) -> None:
        self.is_complete = False
        self._backend = backend
        self._pool = backend.new_pool()
        backend.graphs.add(self)
        self._graph: Any = None
        # Arrays that calls may use, by their identity: none of them is kept alive here.
        self._known: WeakValueDictionary[int, Any] = WeakValueDictionary()
        self._constants: dict[tuple[Any, ...], Any] = {}
        self._is_capturing = False
        self._calls = 0
        self._reports_faults = False
        self._seeds: Any = None
        self._places: dict[int, int] = {}

    @property
    def bytes(self) -> int:
        """Bytes of device memory that the graph holds."""
        return int(self._pool.total_bytes())

    def declare(self, array: Any) -> None:
        """Let calls use an array that is not the step's: a parameter, an input, a constant."""
        owner = _owner(array)
        self._known[id(owner)] = owner

    def knows(self, array: Any) -> bool:
        """Return whether ``array`` is the step's, or was declared."""
        owner = _owner(array)
        return self._known.get(id(owner)) is owner

    def leave_unwritten(self, array: Any) -> None:
        """Hear that nobody writes an array of the step after all: it must not be read."""
        self._known.pop(id(_owner(array)), None)

    def empty(self, shape: Sequence[int], dtype: DTypeLike = np.float32) -> Any:
        """Return an uninitialised array; raises as ``CudaBackend.empty`` does."""
        array = self._backend.empty(shape, dtype)
        self.declare(array)
        return array

    def zeros(self, shape: Sequence[int], dtype: DTypeLike = np.float32) -> Any:
        """Return an array of zeros; raises as ``CudaBackend.empty`` does."""
        array = self._backend.zeros(shape, dtype)
        self.declare(array)
        return array

    def constant(self, array: NDArray[Any]) -> Any:
        """Return a copy on the device of numbers that are the same in every run.

        Raises:
            RuntimeError: If they were not the same in the step's first run.
        """
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            if self._is_capturing:
                backends.refuse_while_recording(f"a constant that changes, {_short(array)},")
            self._constants[key] = self._backend.from_host(array)
            self.declare(self._constants[key])
        return self._constants[key]

    def dropout(self, input: Any, output: Any, p: float, seed: int) -> None:
        """Run or capture a dropout that reads its seed on the device."""
        place = self._places.setdefault(seed, len(self._places))
        if place >= _MOST_SEEDS:
            raise ValueError(f"compile: a step has more than {_MOST_SEEDS} dropouts; split it")
        if self._seeds is None:
            self._seeds = self.empty((_MOST_SEEDS,), np.int64)
        if not self._is_capturing:
            self._backend.write_seeds(self._seeds, list(self._places))
        self.call("dropout_by_stored_seed", input, output, p, self._seeds, place)

    def call(self, name: str, *values: Any) -> int:
        """Run or capture a function of the backend; return the number of the call.

        Raises:
            ValueError: If it uses an array that Python, numpy or cupy computed.
            RuntimeError: If it gives its result to the host.
        """
        if name in _WAITING:
            backends.refuse_while_recording(f"{name}, which waits for the device,")
        for array in _arrays_in(values):
            if not self.knows(array):
                raise ValueError(
                    f"compile: {name} uses an array of shape {array.shape} that no call of the "
                    f"step has made; numbers that Python, numpy or cupy computed would be stale "
                    f"when the step runs again: make them a buffer (Module.register_buffer), an "
                    f"input, or compute them with voxelgrad.ops"
                )
        self._reports_faults |= self._backend.can_report_fault(name)
        getattr(self._backend, name)(*values)
        self._calls += 1
        return self._calls - 1

    @contextmanager
    def capture(self) -> Iterator[None]:
        """Capture what runs inside the ``with`` block, instead of running it.

        Raises:
            RuntimeError: If the device cannot capture it.
        """
        # What the first run left in cycles and in the pool must not be freed during the capture.
        gc.collect()
        self._backend.device().free()
        self._places = {}
        self._is_capturing = True
        try:
            with self._backend.capture(self._pool) as graphs:
                yield
        finally:
            self._is_capturing = False
        self._graph = graphs.pop()
        self.is_complete = True
        self._launch(list(self._places))

    def run(self, draw: Callable[[], int]) -> None:
        """Launch the graph; ``draw`` gives the seeds, in the order in which they were drawn."""
        self._launch([draw() for _ in self._places])

    def _launch(self, seeds: list[int]) -> None:
        if seeds:
            self._backend.write_seeds(self._seeds, seeds)
        if self._reports_faults:
            self._backend.expect_fault()
        self._graph.launch()


class FoldingGraphRecorder(Folding, GraphRecorder):
    """A recorder of a CUDA device's calls that folds."""


def _owner(array: Any) -> Any:
    """Return the array whose memory ``array`` is a view of, or itself."""
    return array.base if isinstance(array.base, type(array)) else array


def _arrays_in(values: Sequence[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from _arrays_in(value)
        elif isinstance(value, np.ndarray) or backends.is_on_device(value):
            yield value


def _short(array: NDArray[Any]) -> str:
    return np.array2string(array, threshold=8, edgeitems=3)
