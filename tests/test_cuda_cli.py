"""``--device cuda`` of the commands that train and predict, on the emulated or a real device."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cuda_device import backend
from tiny_data import PATIENTS, write_slice_folder
from voxelgrad import backends
from voxelgrad.cli import main
from voxelgrad.data import read_image

TINY = ["--held-out", "1", "--epochs", "2", "--features", "4,8", "--batch-size", "3"]


@pytest.fixture
def device() -> Iterator[None]:
    backend()
    yield
    backends._loaded.pop("cuda", None)


@pytest.mark.usefixtures("device")
def test_training_and_predicting_there_gives_what_the_cpu_gives(tmp_path: Path) -> None:
    data = write_slice_folder(tmp_path / "data")
    dice, masks = {}, {}
    for place in ("cpu", "cuda"):
        run = tmp_path / place
        there = ["--device", place]
        assert main(["train", str(data), "--out", str(run), *TINY, *there]) == 0
        model, figures = str(run / "model.safetensors"), run / "figures.json"
        split = ["--split", str(run / "split.json"), "--json", str(figures)]
        assert main(["evaluate", model, str(data), *split, *there]) == 0
        evaluated = json.loads(figures.read_text())["mean"]
        trained = json.loads((run / "metrics.json").read_text())["mean"]
        assert evaluated["mean_dice"] == trained["mean_dice"]
        dice[place] = trained["mean_dice"]
        assert main(["predict", model, str(data), "--out", str(run / "masks"), *there]) == 0
        folder = run / "masks" / PATIENTS[0]
        masks[place] = np.stack([read_image(p).data for p in sorted(folder.glob("*_mask.png"))])
    assert abs(dice["cuda"] - dice["cpu"]) <= 0.01
    assert (masks["cuda"] != masks["cpu"]).mean() < 0.01


@pytest.mark.usefixtures("device")
def test_info_names_the_device_and_what_is_held(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("cuda"))
    assert "available: " in row and "compute capability" in row and "graphs 0 bytes" in row


@pytest.mark.parametrize("command", ["train", "demo", "evaluate", "predict"])
def test_without_a_device_one_error_says_why_and_nothing_is_written(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(backends, "cuda_problem", lambda: "no device: nobody brought one")
    out = tmp_path / "out"
    arguments = {
        "train": [str(tmp_path), "--out", str(out)],
        "demo": ["--out", str(out)],
        "evaluate": ["model.safetensors", str(tmp_path)],
        "predict": ["model.safetensors", str(tmp_path), "--out", str(out)],
    }
    assert main([command, *arguments[command], "--device", "cuda"]) == 2
    assert "--device cuda: CUDA is not available: no device" in capsys.readouterr().err
    assert not out.exists()
