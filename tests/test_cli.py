"""The command line from end to end on tiny patients."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import voxelgrad as vg
from voxelgrad.cli import build_parser, main

pytest.importorskip("PIL")
pytest.importorskip("nibabel")

from tiny_data import AFFINE, PATIENTS, write_nifti_folder, write_slice_folder
from voxelgrad.data import largest_component, read_image, read_label

PLAIN = ["--no-augment"]
SMALL = ["--held-out", "1", "--features", "4,8", "--batch-size", "3", "--seed", "1"]


@pytest.fixture(scope="module")
def slices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_slice_folder(tmp_path_factory.mktemp("slices"))


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_nifti_folder(tmp_path_factory.mktemp("volumes"))


@pytest.fixture(scope="module")
def trained(slices: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "new" / "folder"
    code = main(
        [
            "train",
            str(slices),
            "--out",
            str(out),
            *SMALL,
            "--epochs",
            "12",
            "--lr",
            "0.02",
            *PLAIN,
        ]
    )
    assert code == 0
    return out


def run(arguments: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "voxelgrad", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_train_leaves_everything_that_its_help_promises(trained: Path) -> None:
    assert sorted(path.name for path in trained.iterdir()) == [
        "history.csv",
        "history.png",
        "last.ckpt.safetensors",
        "metrics.json",
        "model.safetensors",
        "overlays.png",
        "settings.json",
        "split.json",
    ]
    split = json.loads((trained / "split.json").read_text())
    patients = {patient.rsplit("_", 1)[0] for patient in PATIENTS}
    assert set(split["train"]) | set(split["held_out"]) == patients
    assert len(split["held_out"]) == 1 and not set(split["train"]) & set(split["held_out"])


def test_training_learns_the_squares(trained: Path) -> None:
    metrics = json.loads((trained / "metrics.json").read_text())
    assert metrics["mean"]["mean_dice"] > 0.8
    held_out = json.loads((trained / "split.json").read_text())["held_out"]
    assert list(metrics["patients"]) == held_out
    assert metrics["patients"][held_out[0]]["slices"] == 3


def test_evaluate_repeats_the_figures_of_the_training(
    trained: Path, slices: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "figures" / "all.json"
    model, split = str(trained / "model.safetensors"), str(trained / "split.json")
    assert main(["evaluate", model, str(slices), "--split", split, "--json", str(out)]) == 0
    measured, stored = (json.loads(p.read_text()) for p in (out, trained / "metrics.json"))
    assert measured["patients"] == stored["patients"] and measured["mean"] == stored["mean"]
    table = capsys.readouterr().out.splitlines()
    assert table[0].split() == ["patient", "slices", "Dice", "iou", "sensitivity", "specificity"]
    assert table[-1].split()[:2] == ["mean", "3"]
    assert table[-1].split()[2] == f"{stored['mean']['mean_dice']:.3f}"


def test_the_largest_component_alone_is_kept_where_asked_for(
    slices: Path, tmp_path: Path, trained: Path
) -> None:
    model = vg.load(trained / "model.safetensors")
    model.metadata["largest_component"] = True
    vg.save(tmp_path / "model.safetensors", model)
    arguments = ["predict", str(tmp_path / "model.safetensors"), str(slices / PATIENTS[0])]
    masks = {}
    for option in ("--largest-component", "--no-largest-component", "--no-overlays"):
        out = tmp_path / option
        assert main([*arguments, "--out", str(out), option]) == 0
        names = [f"{PATIENTS[0]}_{k}_mask.png" for k in (1, 2, 3)]
        masks[option] = np.stack([read_label(next(out.rglob(name))).data for name in names])
    kept, everything, stored = masks.values()
    np.testing.assert_array_equal(kept, largest_component(everything))
    np.testing.assert_array_equal(kept, stored)


def test_predict_writes_png_masks_and_overlays(
    trained: Path, slices: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "masks"
    assert (
        main(["predict", str(trained / "model.safetensors"), str(slices), "--out", str(out)]) == 0
    )
    printed = capsys.readouterr().out.split()
    assert len(printed) == 9 + 3 and all(Path(name).is_file() for name in printed)
    name = PATIENTS[0]
    mask = read_label(out / name / f"{name}_1_mask.png").data
    truth = read_label(slices / name / f"{name}_1_mask.png").data
    assert mask.shape == (16, 16) and np.mean(mask == truth) > 0.9
    assert (out / "overlays" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_predict_takes_single_files(trained: Path, slices: Path, tmp_path: Path) -> None:
    image = slices / PATIENTS[1] / f"{PATIENTS[1]}_2.png"
    arguments = ["predict", str(trained / "model.safetensors"), str(image), "--out", str(tmp_path)]
    assert main([*arguments, "--no-overlays"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == [f"{PATIENTS[1]}_2_mask.png"]


@pytest.mark.parametrize("dims", ["2", "3"])
def test_nifti_from_training_to_masks_on_the_grid_of_the_input(
    volumes: Path, tmp_path: Path, dims: str
) -> None:
    run_folder, out = tmp_path / "run", tmp_path / "masks"
    settings = [*SMALL, "--epochs", "1", "--dims", dims, "--loss", "ce"]
    assert main(["train", str(volumes), "--out", str(run_folder), *settings]) == 0
    model = str(run_folder / "model.safetensors")
    one_patient = volumes / PATIENTS[2]
    assert main(["predict", model, str(one_patient), "--out", str(out)]) == 0
    mask = read_label(out / f"{PATIENTS[2]}_mask.nii.gz")
    assert mask.data.shape == (16, 16, 4)
    np.testing.assert_allclose(mask.affine, AFFINE)
    assert (out / "overlays" / f"{PATIENTS[2]}.png").is_file()
    assert main(["evaluate", model, str(volumes)]) == 0


def test_predict_takes_a_single_volume(volumes: Path, tmp_path: Path) -> None:
    model = vg.models.UNet(1, 2, features=(2, 4))
    vg.save(tmp_path / "model.safetensors", model)
    image = volumes / PATIENTS[0] / "FLAIR.nii.gz"
    arguments = ["predict", str(tmp_path / "model.safetensors"), str(image)]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0
    mask = read_label(tmp_path / "out" / "FLAIR_mask.nii.gz")
    assert mask.data.shape == (16, 16, 4)
    np.testing.assert_allclose(mask.affine, read_image(image).affine)


def test_resume_goes_on_with_the_stored_options(
    slices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from voxelgrad.train import Callback, Learner

    whole, parts = tmp_path / "whole", tmp_path / "parts"
    options = [*SMALL, "--epochs", "2"]
    assert main(["train", str(slices), "--out", str(whole), *options]) == 0

    class PowerCut(Callback):
        order = 1000

        def on_epoch_end(self, learner: Learner) -> None:
            raise KeyboardInterrupt

    fit = Learner.fit

    def cut_fit(self: Learner, epochs: int, resume: Path | None = None) -> object:
        self.callbacks.append(PowerCut())
        return fit(self, epochs, resume)

    monkeypatch.setattr(Learner, "fit", cut_fit)
    assert main(["train", str(slices), "--out", str(parts), *options]) == 130
    assert not (parts / "model.safetensors").exists()
    monkeypatch.setattr(Learner, "fit", fit)
    assert main(["train", str(slices), "--out", str(parts), "--resume", "--seed", "2"]) == 2
    assert main(["train", str(slices), "--out", str(parts), "--resume"]) == 0
    ours, theirs = (vg.load(f / "model.safetensors").state_dict() for f in (whole, parts))
    assert all(ours[name].tobytes() == theirs[name].tobytes() for name in ours)


def test_train_does_not_overwrite_a_training(
    trained: Path, slices: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (trained / "model.safetensors").read_bytes()
    assert main(["train", str(slices), "--out", str(trained), *SMALL]) == 2
    assert "--resume" in capsys.readouterr().err
    assert (trained / "model.safetensors").read_bytes() == before


def test_results_and_progress_use_different_streams(slices: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    done = run(["train", str(slices), "--out", out, *SMALL, "--epochs", "1", "--loss", "focal"])
    assert done.returncode == 0, done.stderr
    assert "epoch 1/1" in done.stderr and "epoch 1/1" not in done.stdout
    assert "mean" in done.stdout and "mean" not in done.stderr


def test_info_names_the_versions() -> None:
    done = run(["info"])
    assert done.returncode == 0
    assert f"voxelgrad        {vg.__version__}" in done.stdout and np.__version__ in done.stdout


@pytest.mark.parametrize("command", ["", "info", "demo", "train", "evaluate", "predict"])
def test_help_has_examples_and_says_defaults(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*command.split(), "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "examples:" in text and f"  voxelgrad {command}" in text
    optional = [line for line in text.splitlines() if line.strip().startswith("--")]
    assert command != "train" or len(optional) >= 10


def test_every_option_has_a_help_text_and_numbers_have_defaults() -> None:
    commands = build_parser()._subparsers._group_actions[0].choices  # type: ignore[union-attr]
    for name, parser in commands.items():  # type: ignore[union-attr]
        for action in parser._actions:
            assert action.help, f"{name} {action.dest}"
            if action.metavar in ("N", "RATE", "A,B,.."):
                assert "(default: " in action.help, f"{name} {action.dest}"


def test_usage_mistakes_end_with_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, part in (
        ([], "COMMAND"),
        (["nonsense"], "nonsense"),
        (["train", "x", "--out", "y", "--epochs", "0"], "give 1 or more"),
        (["train", "x", "--out", "y", "--lr", "nan"], "finite number above 0"),
        (["train", "x", "--out", "y", "--features", "16,x"], "'x' is not a whole number"),
        (["train", "x"], "--out"),
    ):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        assert part in capsys.readouterr().err


def test_internal_failures_end_with_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(path: Path) -> None:
        raise RuntimeError("kernel\nburnt")

    monkeypatch.setattr(vg, "load", broken, raising=False)
    assert main(["evaluate", "model", "data"]) == 1
    error = capsys.readouterr().err
    assert "internal failure: RuntimeError: kernel burnt" in error and "Traceback" not in error
    monkeypatch.setenv("VOXELGRAD_TRACEBACK", "1")
    assert main(["evaluate", "model", "data"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_closed_pipe_is_no_error(slices: Path) -> None:
    command = f"{sys.executable} -m voxelgrad info | true"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""


@pytest.mark.long
def test_demo_trains_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "demo"
    assert main(["demo", "--out", str(out), "--epochs", "1"]) == 0
    names = {path.name for path in out.iterdir()}
    assert {"model.safetensors", "overlays.png", "metrics.json", "history.csv"} <= names
    assert "synthetic" in json.loads((out / "metrics.json").read_text())["data"]
    assert "synthetic" in capsys.readouterr().out
