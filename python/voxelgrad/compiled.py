"""Compiled steps: recorded once for each shape, then run without Python between the kernels.

The first call with inputs of a new shape runs the step as ever and records its native calls with
their arrays; later calls run that record, in memory that was laid out for it. On a CUDA device the
second call captures the step as a CUDA graph, and that is what later calls launch. The numbers are
those of the eager step, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from operator import is_
from typing import Any, TypeAlias, overload

import numpy as np

from voxelgrad import backends, precision, random
from voxelgrad.backends.fusing import FusingRecorder
from voxelgrad.backends.graph import FoldingGraphRecorder, GraphRecorder
from voxelgrad.backends.recording import FoldingRecorder, Recorder
from voxelgrad.grad_mode import enable_grad, no_grad
from voxelgrad.nn import Module
from voxelgrad.nn.parameter import Parameter
from voxelgrad.optim import Optimizer
from voxelgrad.tensor import Array, Tensor, wrap

Loss: TypeAlias = Callable[[Tensor, Any], Tensor]

_MOST_RECORDS = 4


@dataclass
class _Record:
    """A recorded step.

    Attributes:
        recorder: What runs it again.
        inputs: Where the inputs of a run go.
        state: The arrays of parameters and buffers that it uses.
        output: What it computes.
        gradients: What each parameter's ``grad`` is after a run.
    """

    recorder: Recorder | GraphRecorder
    inputs: list[Array]
    state: list[Array]
    output: Array = field(default_factory=lambda: np.empty(0))
    gradients: list[Tensor | None] = field(default_factory=list)

    def lay_out(self, parameters: list[Parameter]) -> None:
        """Let the first run's results go, ``grad`` of the parameters too, and lay out the plan."""
        assert isinstance(self.recorder, Recorder)
        results = [self.output, *(None if g is None else g.data for g in self.gradients)]
        for parameter, gradient in zip(parameters, self.gradients, strict=False):
            if parameter.grad is gradient:
                parameter.grad = None
            del gradient
        self.output, self.gradients = np.empty(0), []
        self.recorder.lay_out(results)
        output, *gradients = results
        assert output is not None
        self.output = output
        self.gradients = [None if array is None else wrap(array, None) for array in gradients]

    def load(self, arrays: list[Array]) -> None:
        """Set the inputs of the next run."""
        for target, array in zip(self.inputs, arrays, strict=True):
            _copy(array, target)


class _Compiled:
    """What compiled training and prediction share: the records, found by shapes and modes."""

    def __init__(self, model: Module) -> None:
        if not isinstance(model, Module):
            raise TypeError(f"compile: model is {type(model).__name__}; give a Module")
        self.model = model
        self._modules = list(model.modules())
        self._parameters = list(model.parameters())
        self._buffers = [(m, name) for m in self._modules for name in m._buffer_names]
        self._records: dict[Any, _Record] = {}

    def _run(self, key: Any, arrays: list[Array]) -> _Record:
        """Run the step on ``arrays`` and return its record; it is made if there is none."""
        record = self._find(key)
        if record is None:
            record = self._record(arrays)
            self._keep(key, record)
            return record
        record.load(arrays)
        if isinstance(record.recorder, GraphRecorder) and not record.recorder.is_complete:
            del self._records[key]  # unless it can be captured
            with record.recorder.capture():
                self._execute(record)
            self._keep(key, record)
            return record
        if not record.recorder.is_complete:
            del self._records[key]  # unless there is memory for it
            record.lay_out(self._parameters)
            self._keep(key, record)
        record.recorder.run(random.next_seed)
        return record

    def _record(self, arrays: list[Array]) -> _Record:
        """Run the step for the first time and return what was recorded."""
        raise NotImplementedError

    def _execute(self, record: _Record) -> None:
        """Let Python run the step on the record's inputs; set its output and its gradients."""
        raise NotImplementedError

    def _state(self) -> list[Array]:
        arrays = [parameter.data for parameter in self._parameters]
        arrays += [getattr(module, name) for module, name in self._buffers]
        return arrays

    def _find(self, key: Any) -> _Record | None:
        """Return the record for ``key`` unless arrays of the model were replaced since."""
        record = self._records.get(key)
        if record is None or all(map(is_, record.state, self._state())):
            return record
        del self._records[key]
        return None

    def _begin(self, arrays: list[Array], folds: bool) -> _Record:
        """Return a record without calls, whose inputs hold ``arrays``."""
        if any(module._forward_hooks for module in self._modules):
            raise RuntimeError(
                "compile: the model has forward hooks, which a compiled step would not call; "
                "remove them, or run the model without compile"
            )
        recorder: Recorder | GraphRecorder
        if any(map(backends.is_on_device, (*arrays, *self._state()))):
            recorder = (FoldingGraphRecorder if folds else GraphRecorder)(backends.load("cuda"))
        else:
            recorder = (FoldingRecorder if folds else FusingRecorder)()
        record = _Record(recorder, [array.copy() for array in arrays], self._state())
        for array in (*record.inputs, *record.state):
            recorder.declare(array)
        return record

    def _keep(self, key: Any, record: _Record) -> None:
        while len(self._records) >= _MOST_RECORDS:
            del self._records[next(iter(self._records))]
        self._records[key] = record


class CompiledPrediction(_Compiled):
    """A model in evaluation mode; see `compile`."""

    def __call__(self, input: Tensor | Array) -> Tensor:
        """Return the model's output, a tensor of its own.

        Args:
            input: What the model takes.

        Raises:
            ValueError: If the model refuses the input, or reads numbers that were computed by
                Python, numpy or cupy.
            RuntimeError: If the model needs Python in between: hooks, ``item()``, copies between
                devices.
            TypeError: If model and input lie on different devices.
        """
        arrays = [_staged(input)]
        record = self._run((_shapes(arrays), precision.mode.dtype), arrays)
        name = "cuda" if backends.is_on_device(record.output) else "cpu"
        output: Array = backends.load(name).empty(record.output.shape, record.output.dtype)
        _copy(record.output, output)
        return Tensor(output)

    def _record(self, arrays: list[Array]) -> _Record:
        try:
            return self._record_with(arrays, folds=True)
        except ValueError:  # a layer's output has other readers than the norm, or the user erred
            return self._record_with(arrays, folds=False)

    def _record_with(self, arrays: list[Array], folds: bool) -> _Record:
        record = self._begin(arrays, folds)
        if isinstance(record.recorder, Recorder):
            record.recorder.plan.keep_weights()
        self._execute(record)
        if not record.recorder.knows(record.output):
            raise ValueError(
                "compile: the model's output is not what voxelgrad computed from its input; return "
                "a result of voxelgrad.ops"
            )
        return record

    def _execute(self, record: _Record) -> None:
        modes = [module.training for module in self._modules]
        self.model.eval()
        try:
            with backends.record(record.recorder), no_grad():
                record.output = self.model(Tensor(record.inputs[0])).data
                record.recorder.finish()
        finally:
            for module, mode in zip(self._modules, modes, strict=True):
                module.training = mode


class CompiledTraining(_Compiled):
    """Loss, gradients and, with an optimizer, the update of the parameters; see `compile`."""

    def __init__(self, model: Module, loss: Loss, optimizer: Optimizer | None) -> None:
        super().__init__(model)
        self.loss = loss
        self.optimizer = optimizer

    def __call__(self, input: Tensor | Array, target: Tensor | Array) -> float:
        """Run one step and return the loss.

        The gradients of the parameters are overwritten, not added to: there is no need for
        ``zero_grad``. Their arrays belong to the step and are used again by the next one.

        Args:
            input: What the model takes.
            target: What the loss takes behind the model's output; integers become int64.

        Raises:
            ValueError: If the model or the loss refuse the arrays, or use numbers that were
                computed by Python, numpy or cupy.
            RuntimeError: If the step needs Python in between: hooks, ``item()``, copies between
                devices.
            TypeError: If model, input and target do not lie on one device.
        """
        arrays = [_staged(input), _staged(target)]
        modes = tuple([module.training for module in self._modules])
        trained = tuple([parameter.requires_grad for parameter in self._parameters])
        record = self._run((_shapes(arrays), modes, trained, precision.mode.dtype), arrays)
        # On a device it is now that faults in the numbers are seen: before parameters change.
        loss = float(backends.move("compile", record.output, "cpu").item())
        for parameter, gradient in zip(self._parameters, record.gradients, strict=True):
            parameter.grad = gradient
        if self.optimizer is not None:
            self.optimizer.step()
        return loss

    def _record(self, arrays: list[Array]) -> _Record:
        record = self._begin(arrays, folds=False)
        self._execute(record)
        return record

    def _execute(self, record: _Record) -> None:
        self.model.zero_grad()
        input, target = record.inputs
        try:
            with backends.record(record.recorder), enable_grad():
                loss = self.loss(self.model(Tensor(input)), target)
                loss.backward()
                record.recorder.finish()
        except BaseException:
            self.model.zero_grad()  # some were computed, on a device perhaps by nobody
            raise
        record.output = loss.data
        record.gradients = [parameter.grad for parameter in self._parameters]


@overload
def compile(model: Module) -> CompiledPrediction: ...


@overload
def compile(model: Module, loss: Loss, optimizer: Optimizer | None = None) -> CompiledTraining: ...


def compile(
    model: Module, loss: Loss | None = None, optimizer: Optimizer | None = None
) -> CompiledPrediction | CompiledTraining:
    """Return a function that runs the model, or a training step of it, as one list of native calls.

    The list is recorded by the first call for each shape of the inputs (the last four shapes are
    kept, each with the memory of a step) and gives the numbers of the eager path, bit for bit. It
    holds what the model does then: Python's own decisions and numbers are not taken again, only
    dropout draws anew. Parameters, buffers and inputs may change in place; where arrays were
    replaced, modes switched or parameters frozen, the step is recorded anew. A model that gains or
    loses layers must be compiled again.

    With the model on ``"cuda"`` the list is a CUDA graph, which one launch runs. The first call for
    a shape runs the step as ever, the second captures it and later ones launch it, on cupy's
    current stream. A training step waits for its loss; an optimizer's step follows as kernels of
    its own, so that its learning rate may change.

    Args:
        model: A model of float32 parameters; it, inputs and targets lie on one device.
        loss: Called with the model's output and the target; its result must be one number.
        optimizer: Makes a step after each run. Without it the gradients wait in ``grad``, for
            ``clip_grad_norm`` and an optimizer's ``step``.

    Returns:
        Without a loss ``predict(input) -> Tensor``: the output in evaluation mode, whatever mode
        the model is in. Batch norms are folded into the convolution or linear layer before them, so
        these numbers differ from the eager ones by rounding; a ReLU or leaky ReLU is applied as
        that layer writes its results. On the CPU packed and transformed weights are kept from call
        to call, which takes up to five times their memory for each shape; a change of the weights
        is noticed. With a loss ``step(input, target) -> float``: one training step and its loss.

    Raises:
        TypeError: If ``model`` is not a module.
        ValueError: If an optimizer is given without a loss.
    """
    if loss is not None:
        return CompiledTraining(model, loss, optimizer)
    if optimizer is not None:
        raise ValueError(
            "compile: an optimizer needs a loss; give loss, or leave the optimizer out"
        )
    return CompiledPrediction(model)


def _staged(value: Tensor | Array) -> Array:
    """Return the array of an input: integers as int64, which labels are."""
    array: Array = value.data if isinstance(value, Tensor) else Tensor(value).data
    return array.astype(np.int64, copy=False) if array.dtype.kind in "iub" else array


def _shapes(arrays: list[Array]) -> tuple[Any, ...]:
    return tuple([(array.shape, array.dtype, type(array)) for array in arrays])


def _copy(array: Array, target: Array) -> None:
    """Copy an array into another of the same shape, dtype and device, float32 on all threads."""
    if backends.is_on_device(target):
        backends.load("cuda").copy(array, target)
    elif array.dtype == np.float32:
        backends.load("cpu").broadcast_to(array, target, 1.0)
    else:
        np.copyto(target, array)
