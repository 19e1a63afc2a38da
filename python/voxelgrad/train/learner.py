"""The training loop."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from voxelgrad import random
from voxelgrad.backends import move
from voxelgrad.compiled import CompiledTraining
from voxelgrad.data import Batch, DataLoader, Dataset
from voxelgrad.dtypes import as_dtype
from voxelgrad.files import MALFORMED, one_line
from voxelgrad.nn import Module
from voxelgrad.nn.module import device_of
from voxelgrad.optim import Optimizer, Schedule, clip_grad_norm
from voxelgrad.train import inference
from voxelgrad.train.callbacks import Callback
from voxelgrad.train.checkpoint import read_checkpoint
from voxelgrad.train.interrupt import Interrupt
from voxelgrad.train.metrics import Metric


class NonFiniteError(ValueError):
    """The loss or the weights became NaN or infinite."""


class Learner:
    """Trains a model, evaluates it and predicts with it.

    The course of a training depends only on the model's initial weights, the data, the seed of the
    loader and ``voxelgrad.manual_seed``: repeating it, or stopping and resuming it anywhere, ends
    in the same bits.

    Batches are copied to the device of the model's parameters; predictions, metrics and checkpoints
    are numpy arrays on the CPU. A checkpoint can be resumed on another device than it was saved on.

    Args:
        model: Gives logits (N, *spatial, K), or (N, K) for a classifier.
        train_data: A loader, or a dataset that is then shuffled.
        loss: Called with logits and labels, both on the model's device; returns a scalar tensor.
        optimizer: Over the model's parameters, made after ``model.to(device)``.
        metrics: Measured on ``validation`` after each epoch, and by ``evaluate``.
        callbacks: What happens around the loop.
        validation: A loader or dataset; never trained on.
        schedule: Steps the learning rate.
        schedule_every: Whether the schedule steps after each ``"batch"`` or each ``"epoch"``.
        clip_norm: Largest norm of the gradients; None does not clip.
        batch_size: Images in a step, where ``train_data`` is a dataset; also for validation.
        seed: Order of the images, where ``train_data`` is a dataset.
        precision: Format of the images inside the network: "float32", or "bf16" for ``autocast``,
            in training, evaluation and prediction.
        compile: Whether to run training steps compiled (see ``voxelgrad.compile``): the same bits
            with less work between the kernels.

    Attributes:
        epoch: Complete epochs.
        batch: Complete batches of the epoch under way.
        step: Complete optimizer steps.
        epochs: Epochs at which ``fit`` will end.
        last_loss: Loss of the last batch.
        history: One dictionary an epoch.
        stop_reason: Why a callback stopped the training, or None.
        last_checkpoint: The newest checkpoint, or None.
    """

    def __init__(
        self,
        model: Module,
        train_data: DataLoader | Dataset,
        loss: inference.Loss,
        optimizer: Optimizer,
        metrics: Sequence[Metric] = (),
        callbacks: Sequence[Callback] = (),
        validation: DataLoader | Dataset | None = None,
        schedule: Schedule | None = None,
        schedule_every: str = "batch",
        clip_norm: float | None = None,
        batch_size: int = 8,
        seed: int = 0,
        precision: str = "float32",
        compile: bool = False,
    ) -> None:
        if schedule_every not in ("batch", "epoch"):
            raise ValueError(
                f"Learner: schedule_every is {schedule_every!r}; choose 'batch' or 'epoch'"
            )
        self.model = model
        self.loader = _training_loader(train_data, batch_size, seed)
        self.loss = loss
        self.optimizer = optimizer
        self.metrics = tuple(metrics)
        self.callbacks = sorted(callbacks, key=lambda callback: callback.order)
        self.validation = validation
        self.schedule = schedule
        self.schedule_every = schedule_every
        self.clip_norm = clip_norm
        self.batch_size = batch_size
        as_dtype("Learner", precision)
        self.precision = precision
        self._compiled = None
        if compile:
            self._compiled = CompiledTraining(inference.Padded(model, precision), loss, None)
        self.epoch = self.batch = self.step = self.epochs = 0
        self.last_loss = math.nan
        self.history: list[dict[str, Any]] = []
        self.stop_reason: str | None = None
        self.last_checkpoint: Path | None = None
        self._loss_sum, self._loss_count, self._seconds = 0.0, 0, 0.0

    @property
    def batches_per_epoch(self) -> int:
        """Number of training steps in an epoch."""
        return len(self.loader)

    @property
    def running_loss(self) -> float:
        """Mean loss over the images of the epoch under way."""
        return self._loss_sum / self._loss_count if self._loss_count else math.nan

    def fit(
        self, epochs: int, resume: str | os.PathLike[str] | None = None
    ) -> list[dict[str, Any]]:
        """Train until ``epochs`` epochs are complete.

        Ctrl-C ends the training after the step under way, when `Checkpoint` has saved it; a second
        Ctrl-C ends it at once.

        Args:
            epochs: Total number, those before included.
            resume: A checkpoint to go on from.

        Returns:
            The history: for each epoch ``epoch``, ``train_loss`` (mean over its images),
            ``learning_rate`` (after its last step), ``validation_loss`` and ``validation_<metric>``
            where there is validation, and ``seconds``.

        Raises:
            NonFiniteError: If the loss becomes NaN or infinite.
            KeyboardInterrupt: After Ctrl-C.
            ValueError: If ``epochs`` is less than 1 or the checkpoint does not fit.
        """
        if epochs < 1:
            raise ValueError(f"Learner.fit: epochs is {epochs}; give 1 or more")
        if resume is not None:
            self.restore(resume)
        self.epochs = epochs
        self._tell("on_fit_begin")
        # A training that diverges is reported once, with its step, not by numpy's warnings before.
        with Interrupt() as interrupt, np.errstate(over="ignore", invalid="ignore"):
            while self.epoch < epochs and self.stop_reason is None:
                self._run_epoch(interrupt)
        self._tell("on_fit_end")
        return self.history

    def evaluate(self, data: inference.Data) -> dict[str, Any]:
        """Return ``loss`` and each metric over all of ``data``; see ``inference.evaluate``."""
        return inference.evaluate(
            self.model, data, self.metrics, self.loss, self.batch_size, self.precision
        )

    def predict(self, data: inference.Data) -> Iterator[inference.Prediction]:
        """Yield a prediction for each image; see ``inference.predict``."""
        return inference.predict(self.model, data, self.batch_size, precision=self.precision)

    def stop(self, reason: str) -> None:
        """Ask for the training to end after the epoch under way."""
        self.stop_reason = reason

    def state(self) -> dict[str, Any]:
        """Return everything that a resumed run must know, as a tree of JSON values and arrays."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": None if self.schedule is None else self.schedule.state_dict(),
            "random": random.get_state(),
            "data": self._fingerprint(),
            "position": {
                "epoch": self.epoch,
                "batch": self.batch,
                "step": self.step,
                "loss_sum": self._loss_sum,
                "loss_count": self._loss_count,
                "seconds": self._seconds,
                "stop_reason": self.stop_reason,
            },
            "history": self.history,
            "callbacks": [[type(item).__name__, item.state()] for item in self.callbacks],
        }

    def restore(self, path: str | os.PathLike[str]) -> None:
        """Go back to the state that a checkpoint holds; nothing is changed unless all of it fits.

        Raises:
            ValueError: If it is unreadable, or of another model, optimizer, data or schedule.
        """
        state, before = read_checkpoint(path), self.state()
        try:
            self._restore(state)
        except MALFORMED as error:
            self._restore(before)
            raise ValueError(
                f"checkpoint {path} does not fit this training: {one_line(error)}"
            ) from error
        self.last_checkpoint = Path(path)

    def check_weights(self) -> None:
        """Raise unless all parameters and buffers are finite.

        Raises:
            NonFiniteError: Naming the first that is not.
        """
        arrays = [(name, parameter.data) for name, parameter in self.model.named_parameters()]
        arrays += list(self.model.named_buffers())
        for name, array in arrays:
            if not np.isfinite(move("check_weights", array, "cpu")).all():
                raise NonFiniteError(
                    f"training stopped after step {self.step}: {name} is no longer finite; "
                    f"{self._advice()}"
                )

    def _run_epoch(self, interrupt: Interrupt) -> None:
        started = time.monotonic() - self._seconds
        self._tell("on_epoch_begin")
        self.model.train()
        self.loader.set_epoch(self.epoch)
        for batch in self.loader.iterate(start_batch=self.batch):
            self._train_step(batch)
            self._seconds = time.monotonic() - started
            self._tell("on_batch_end")
            self._leave_if(interrupt)
        self._close_epoch(started)
        self._leave_if(interrupt)

    def _leave_if(self, interrupt: Interrupt) -> None:
        if interrupt.requested:
            self._tell("on_interrupt")
            raise KeyboardInterrupt

    def _train_step(self, batch: Batch) -> None:
        owner, device = "Learner.fit", device_of(self.model)
        labels = move(owner, inference.labels_of(batch, owner), device)
        if self._compiled is not None:
            self.last_loss = self._compiled(move(owner, batch.image, device), labels)
            self._check_loss(batch)
        else:
            self.optimizer.zero_grad()
            logits = inference.logits_of(self.model, batch.image, self.precision)
            loss = self.loss(logits, labels)
            self.last_loss = loss.item()
            self._check_loss(batch)
            loss.backward()
        if self.clip_norm is not None:
            self._clip(batch)
        self.optimizer.step()
        if self.schedule is not None and self.schedule_every == "batch":
            self.schedule.step()
        self._loss_sum += self.last_loss * len(batch)
        self._loss_count += len(batch)
        self.batch += 1
        self.step += 1

    def _check_loss(self, batch: Batch) -> None:
        if not math.isfinite(self.last_loss):
            raise NonFiniteError(self._diagnosis(batch, f"the loss is {self.last_loss}"))

    def _clip(self, batch: Batch) -> None:
        assert self.clip_norm is not None
        try:
            clip_grad_norm(self.model.parameters(), self.clip_norm)
        except ValueError as error:
            raise NonFiniteError(self._diagnosis(batch, str(error))) from error

    def _close_epoch(self, started: float) -> None:
        row: dict[str, Any] = {
            "epoch": self.epoch + 1,
            "train_loss": self.running_loss,
            "learning_rate": self.optimizer.lr,
        }
        if self.validation is not None:
            row.update(self._validate())
        row["seconds"] = round(time.monotonic() - started, 3)
        if self.schedule is not None and self.schedule_every == "epoch":
            self.schedule.step()
        self.history.append(row)
        self.epoch, self.batch = self.epoch + 1, 0
        self._loss_sum, self._loss_count, self._seconds = 0.0, 0, 0.0
        self._tell("on_epoch_end")

    def _validate(self) -> dict[str, float]:
        assert self.validation is not None
        figures = self.evaluate(self.validation)
        return {
            f"validation_{name}": float(value)
            for name, value in figures.items()
            if np.ndim(value) == 0
        }

    def _restore(self, state: dict[str, Any]) -> None:
        names = [type(item).__name__ for item in self.callbacks]
        saved = [name for name, _ in state["callbacks"]]
        fingerprint = self._fingerprint()
        for name, value in state["data"].items():
            if value != fingerprint.get(name):
                raise ValueError(
                    f"its data has {name} {value}, now it is {fingerprint.get(name)}; use the same"
                )
        if (state["schedule"] is None) != (self.schedule is None):
            raise ValueError("only one of the two has a learning rate schedule; use the same")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])
        random.set_state(state["random"])
        position = state["position"]
        self.epoch, self.batch, self.step = (
            int(position[name]) for name in ("epoch", "batch", "step")
        )
        self._loss_sum, self._loss_count = float(position["loss_sum"]), int(position["loss_count"])
        self._seconds, self.stop_reason = float(position["seconds"]), position["stop_reason"]
        self.history = list(state["history"])
        # With other callbacks than before there is nobody to give the memory of the old ones to.
        if names == saved:
            for callback, (_, values) in zip(self.callbacks, state["callbacks"], strict=True):
                callback.restore(values)

    def _fingerprint(self) -> dict[str, Any]:
        """Return what decides which images a batch holds."""
        loader = self.loader
        return {
            "samples": len(loader.dataset),
            "batch_size": loader.batch_size,
            "shuffle": loader.shuffle,
            "seed": loader.seed,
            "drop_last": loader.drop_last,
        }

    def _diagnosis(self, batch: Batch, finding: str) -> str:
        bad = [i for i, image in enumerate(batch.image) if not np.isfinite(image).all()]
        images = ", ".join(f"{batch.cases[i]} ({batch.names[i]})" for i in bad or range(len(batch)))
        blame = f"NaN or infinity in the image of {images}" if bad else f"the batch holds {images}"
        return (
            f"training stopped at step {self.step + 1} (epoch {self.epoch + 1}, batch "
            f"{self.batch + 1}): {finding}; {blame}; {self._advice()}"
        )

    def _advice(self) -> str:
        good = self.last_checkpoint
        return (
            f"last good checkpoint: {good if good else 'none was saved'}; "
            "lower the learning rate or clip the gradients (clip_norm)"
        )

    def _tell(self, moment: str) -> None:
        for callback in self.callbacks:
            getattr(callback, moment)(self)


def _training_loader(data: DataLoader | Dataset, batch_size: int, seed: int) -> DataLoader:
    if isinstance(data, DataLoader):
        return data
    if not isinstance(data, Dataset):
        raise TypeError(
            f"Learner: train_data is {type(data).__name__}; give a DataLoader or a dataset"
        )
    return DataLoader(data, batch_size, shuffle=True, seed=seed)
