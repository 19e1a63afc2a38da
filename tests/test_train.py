"""Training: resuming to the bit, stopping, and refusing to go on with NaN."""

from __future__ import annotations

import csv
import io
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import voxelgrad as vg
from voxelgrad import nn, ops, optim, train
from voxelgrad.data import ArrayDataset, DataLoader, Sample
from voxelgrad.train import metrics


def jitter(sample: Sample, rng: np.random.Generator) -> Sample:
    noise = rng.normal(0, 0.1, sample.image.shape).astype(np.float32)
    return Sample(sample.image + noise, sample.label, sample.case, sample.name)


def blobs(count: int = 10, seed: int = 0) -> ArrayDataset:
    """Squares on noise; two images a patient."""
    rng = np.random.default_rng(seed)
    images = rng.normal(0, 0.3, (count, 8, 8, 2)).astype(np.float32)
    labels = np.zeros((count, 8, 8), np.int64)
    for image, label in zip(images, labels, strict=True):
        row, column = rng.integers(0, 5, 2)
        label[row : row + 3, column : column + 3] = 1
        image[label == 1, 0] += 2.0
    cases = [f"patient_{i // 2}" for i in range(count)]
    return ArrayDataset(images, labels, cases=cases)


class Small(nn.Module):
    """Convolution, batch norm (buffers) and dropout (random state): all that a resume must keep."""

    def __init__(self) -> None:
        self.conv = nn.Conv2d(2, 6, 3, padding=1)
        self.norm = nn.BatchNorm(6)
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Conv2d(6, 2, 1)

    def forward(self, input: vg.Tensor) -> vg.Tensor:
        return self.head(self.dropout(ops.relu(self.norm(self.conv(input)))))


def make_learner(callbacks: Any = (), **options: Any) -> train.Learner:
    vg.manual_seed(5)
    model = Small().to(options.pop("device", "cpu"))
    optimizer = optim.Adam(model.parameters(), lr=options.pop("lr", 0.01))
    settings: dict[str, Any] = {
        "schedule": optim.CosineLR(optimizer, total_steps=20),
        "validation": blobs(4, seed=1),
        "metrics": [metrics.Dice()],
        "clip_norm": 1.0,
        **options,
    }
    loader = DataLoader(blobs(), batch_size=3, shuffle=True, seed=2, augment=jitter)
    return train.Learner(
        model, loader, ops.cross_entropy, optimizer, callbacks=callbacks, **settings
    )


def figures(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history]


def assert_same_bits(first: train.Learner, second: train.Learner) -> None:
    ours, theirs = first.model.state_dict(), second.model.state_dict()
    assert list(ours) == list(theirs)
    assert all(ours[name].tobytes() == theirs[name].tobytes() for name in ours)
    assert figures(first.history) == figures(second.history)
    assert (
        first.optimizer.state_dict()["step_counts"] == second.optimizer.state_dict()["step_counts"]
    )


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("size", [8, 7])
def test_compiled_training_ends_in_the_same_bits(size: int, precision: str) -> None:
    def run(compile: bool) -> train.Learner:
        vg.manual_seed(5)
        model = vg.models.UNet(2, 2, features=(4, 6))  # pads images of 7 x 7
        images = np.random.default_rng(0).standard_normal((7, size, size, 2), dtype=np.float32)
        data = ArrayDataset(images, (images[..., 0] > 0).astype(np.int64))
        optimizer = optim.AdamW(model.parameters(), 0.01)
        learner = train.Learner(
            model,
            data,
            nn.DiceCELoss(),
            optimizer,
            clip_norm=0.5,
            batch_size=3,
            compile=compile,
            precision=precision,
        )
        learner.fit(2)
        return learner

    assert_same_bits(run(False), run(True))


def test_compiled_training_stops_at_a_loss_that_is_not_finite() -> None:
    learner = make_learner(compile=True, lr=1e30)
    with pytest.raises(train.NonFiniteError, match="training stopped at step"):
        learner.fit(3)


class StopWhileValidating(train.Callback):
    """Presses Ctrl-C after the last step of an epoch."""

    order = 1000

    def on_epoch_end(self, learner: train.Learner) -> None:
        signal.raise_signal(signal.SIGINT)


class StopAt(train.Callback):
    """Presses Ctrl-C at a step."""

    def __init__(self, step: int) -> None:
        self.at = step

    def on_batch_end(self, learner: train.Learner) -> None:
        if learner.step == self.at:
            signal.raise_signal(signal.SIGINT)


def test_training_lowers_the_loss_and_finds_the_squares() -> None:
    learner = make_learner(lr=0.05)
    history = learner.fit(5)
    assert [row["epoch"] for row in history] == [1, 2, 3, 4, 5]
    assert history[-1]["train_loss"] < 0.5 * history[0]["train_loss"]
    assert history[-1]["validation_dice"] > 0.8
    result = learner.evaluate(blobs(4, seed=1))
    assert result["dice"] == history[-1]["validation_dice"]
    predictions = list(learner.predict(blobs(4, seed=1)))
    assert [p.case for p in predictions] == ["patient_0", "patient_0", "patient_1", "patient_1"]
    np.testing.assert_allclose(predictions[0].probabilities.sum(-1), 1, atol=1e-6)


def test_same_seed_gives_the_same_bits() -> None:
    first = make_learner()
    first.fit(2)
    second = make_learner()
    second.fit(2)
    assert_same_bits(first, second)


@pytest.mark.parametrize("step", [1, 4, 6, 8])
def test_resume_after_ctrl_c_ends_in_the_same_bits(tmp_path: Path, step: int) -> None:
    """An epoch has 4 batches: stopped after the first, at the end of an epoch and within."""
    whole = make_learner([train.EarlyStopping("validation_loss", patience=9)])
    whole.fit(3)
    stopping = [train.EarlyStopping("validation_loss", patience=9), train.Checkpoint(tmp_path)]
    stopped = make_learner([*stopping, StopAt(step)])
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(3)
    assert stopped.step == step
    vg.manual_seed(99)
    resumed = make_learner([train.EarlyStopping("validation_loss", patience=9)])
    resumed.fit(3, resume=tmp_path / "last.ckpt.safetensors")
    assert_same_bits(whole, resumed)


def test_ctrl_c_after_the_last_step_of_an_epoch_stops_before_the_next(tmp_path: Path) -> None:
    learner = make_learner([train.Checkpoint(tmp_path), StopWhileValidating()])
    with pytest.raises(KeyboardInterrupt):
        learner.fit(1)
    position = train.read_checkpoint(tmp_path / "last.ckpt.safetensors")["position"]
    assert (position["epoch"], position["batch"]) == (1, 0)


def test_resume_from_a_checkpoint_within_an_epoch(tmp_path: Path) -> None:
    whole = make_learner()
    whole.fit(2)
    saving = make_learner([train.Checkpoint(tmp_path, every_batches=3)])
    kept: list[bytes] = []

    class Keep(train.Callback):
        order = 200

        def on_batch_end(self, learner: train.Learner) -> None:
            if learner.step == 6:
                kept.append((tmp_path / "last.ckpt.safetensors").read_bytes())

    saving.callbacks.append(Keep())
    saving.fit(2)
    path = tmp_path / "middle.safetensors"
    path.write_bytes(kept[0])
    assert train.read_checkpoint(path)["position"]["batch"] == 2
    resumed = make_learner()
    resumed.fit(2, resume=path)
    assert_same_bits(whole, resumed)


def test_best_checkpoint_holds_the_best_epoch(tmp_path: Path) -> None:
    checkpoint = train.Checkpoint(tmp_path, monitor="validation_dice")
    learner = make_learner([checkpoint], lr=0.05)
    history = learner.fit(4)
    best = max(row["validation_dice"] for row in history)
    state = train.read_checkpoint(checkpoint.best_path)
    assert state["history"][-1]["validation_dice"] == best
    assert train.read_checkpoint(checkpoint.last_path)["position"]["epoch"] == 4
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "best.ckpt.safetensors",
        "last.ckpt.safetensors",
    ]


def test_early_stopping_waits_for_its_patience() -> None:
    stopping = train.EarlyStopping("train_loss", patience=2)
    learner = make_learner([stopping], lr=0.0)  # nothing is learnt, but the noise changes
    learner.history = []
    values = iter([1.0, 0.5, 0.6, 0.5, 0.4])
    for epoch in range(1, 5):
        learner.history.append({"epoch": epoch, "train_loss": next(values)})
        stopping.on_epoch_end(learner)
        assert (learner.stop_reason is not None) == (epoch == 4)


def test_early_stopping_ends_fit_and_survives_a_resume(tmp_path: Path) -> None:
    def callbacks() -> list[train.Callback]:
        stopping = train.EarlyStopping("train_loss", patience=2, min_delta=100.0)
        return [stopping, train.Checkpoint(tmp_path)]

    learner = make_learner(callbacks())
    assert len(learner.fit(10)) == 3
    assert learner.stop_reason is not None and "train_loss" in learner.stop_reason
    resumed = make_learner(callbacks())
    assert len(resumed.fit(10, resume=tmp_path / "last.ckpt.safetensors")) == 3


def test_early_stopping_names_a_missing_figure() -> None:
    learner = make_learner([train.EarlyStopping("validation_iou")])
    with pytest.raises(ValueError, match="no 'validation_iou'"):
        learner.fit(1)


def test_non_finite_loss_names_step_cases_and_checkpoint(tmp_path: Path) -> None:
    def poisoned(sample: Sample, rng: np.random.Generator) -> Sample:
        if learner.epoch == 1 and sample.name == "7":
            return Sample(sample.image * np.float32("nan"), sample.label, sample.case, sample.name)
        return sample

    learner = make_learner([train.Checkpoint(tmp_path)])
    learner.loader.augment = poisoned
    with pytest.raises(train.NonFiniteError) as caught:
        learner.fit(3)
    message = str(caught.value)
    assert "epoch 2" in message and f"step {learner.step + 1}" in message
    assert "patient_3 (7)" in message and "patient_0" not in message
    assert str(tmp_path / "last.ckpt.safetensors") in message
    assert train.read_checkpoint(tmp_path / "last.ckpt.safetensors")["position"]["epoch"] == 1


def test_weights_that_are_not_finite_never_replace_a_checkpoint(tmp_path: Path) -> None:
    learner = make_learner([train.Checkpoint(tmp_path)])
    learner.fit(1)
    before = (tmp_path / "last.ckpt.safetensors").read_bytes()
    next(iter(learner.model.parameters())).data[...] = np.inf
    with pytest.raises(train.NonFiniteError, match=r"conv\.weight is no longer finite"):
        learner.callbacks[0].on_epoch_end(learner)
    assert (tmp_path / "last.ckpt.safetensors").read_bytes() == before


def test_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    make_learner([train.Checkpoint(tmp_path)]).fit(1)
    path = tmp_path / "last.ckpt.safetensors"
    other_batches = make_learner()
    other_batches.loader = DataLoader(blobs(), batch_size=5, shuffle=True, seed=2)
    with pytest.raises(ValueError, match="batch_size 3, now it is 5"):
        other_batches.fit(2, resume=path)
    without_schedule = make_learner(schedule=None)
    with pytest.raises(ValueError, match="schedule"):
        without_schedule.fit(2, resume=path)
    with pytest.raises(TypeError, match="train_data is list"):
        train.Learner(Small(), [1], ops.cross_entropy, other_batches.optimizer)  # type: ignore[arg-type]


def test_checkpoint_tree_survives_the_file(tmp_path: Path) -> None:
    state = {
        "a": [1, 2.5, None, True, "text", float("-inf")],
        "nested": {"scalar": np.array(3.0), "empty": np.zeros((0, 2), np.int64)},
    }
    train.write_checkpoint(tmp_path / "c", state)
    back = train.read_checkpoint(tmp_path / "c")
    assert back["a"] == state["a"]
    assert back["nested"]["scalar"].shape == () and back["nested"]["scalar"] == 3.0
    assert back["nested"]["empty"].shape == (0, 2)
    with pytest.raises(TypeError, match="/x is a set"):
        train.write_checkpoint(tmp_path / "c", {"x": {1}})


def test_progress_goes_to_the_stream_line_by_line_when_it_is_no_terminal() -> None:
    stream = io.StringIO()
    make_learner([train.ProgressBar(stream)]).fit(2)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("epoch 2/2  train loss ") and "validation dice" in lines[1]
    assert "\r" not in stream.getvalue() and "\x1b" not in stream.getvalue()


def test_progress_on_a_terminal_rewrites_one_line() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    bar = train.ProgressBar(stream)
    bar.interval = 0.0
    make_learner([bar]).fit(1)
    assert "\repoch 1/1 [######" in stream.getvalue() and " left" in stream.getvalue()
    assert stream.getvalue().count("\n") == 1


def test_history_is_written_as_csv_and_plot(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    make_learner([train.History(tmp_path)]).fit(2)
    with (tmp_path / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[1]["validation_dice"]) >= 0
    assert (tmp_path / "history.png").read_bytes().startswith(b"\x89PNG")


def test_sizes_the_model_does_not_take_are_padded_and_cropped_back() -> None:
    model = vg.models.UNet(2, 3, features=(4, 8, 8))
    images = np.random.default_rng(0).normal(size=(2, 10, 7, 2)).astype(np.float32)
    predictions = list(train.predict(model, images))
    assert predictions[0].probabilities.shape == (10, 7, 3)
