"""A saved model comes back exactly; a file that is not whole gives one clear error."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import voxelgrad as vg
from voxelgrad import models, nn, serialization

MODELS = {
    "mlp": lambda: models.MLP(5, 3, hidden=(4,)),
    "perceptron": lambda: models.MLP(5, 1, hidden=()),
    "cnn": lambda: models.CNN(2, 3, features=(4, 8), pooling="max", dropout=0.1),
    "unet": lambda: models.UNet(2, 3, features=(4, 8)),
    "nnunet": lambda: models.UNet(1, 2, spatial_dims=3, features=(4, 8), norm="instance"),
}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    vg.save(path, MODELS["unet"]())
    return path


@pytest.mark.parametrize("name", MODELS)
def test_a_model_comes_back_bit_for_bit(tmp_path: Path, name: str) -> None:
    model = MODELS[name]()
    for buffer in model.buffers():
        buffer[...] = np.random.default_rng(0).random(buffer.shape)
    path = tmp_path / "model.safetensors"
    vg.save(path, model)
    loaded = vg.load(path)
    assert type(loaded) is type(model)
    assert loaded.config == model.config
    assert repr(loaded) == repr(model)
    assert not loaded.training
    first, second = model.state_dict(), loaded.state_dict()
    assert list(first) == list(second)
    assert all((first[key] == second[key]).all() for key in first)


def test_metadata_comes_back_and_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    vg.save(path, MODELS["unet"](), metadata={"classes": ["background", "tumour"], "mean": [0.5]})
    loaded = vg.load(path)
    assert loaded.metadata == {"classes": ["background", "tumour"], "mean": [0.5]}
    vg.save(path, loaded)
    assert vg.load(path).metadata == loaded.metadata


def test_loading_leaves_the_random_state_alone(saved: Path) -> None:
    before = vg.random.get_state()
    vg.load(saved)
    assert vg.random.get_state() == before


def test_a_float64_model_stays_float64(tmp_path: Path) -> None:
    vg.save(tmp_path / "m", models.MLP(3, 2).astype(np.float64))
    assert {p.dtype for p in vg.load(tmp_path / "m").parameters()} == {np.dtype(np.float64)}


def test_other_programs_can_read_the_arrays(saved: Path) -> None:
    arrays = safetensors.numpy.load_file(saved)
    assert arrays["encoder.0.conv1.weight"].shape == (4, 3, 3, 2)


def test_a_registered_class_of_the_user_can_be_saved(tmp_path: Path) -> None:
    class Scale(models.Model):
        def __init__(self, start: float) -> None:
            super().__init__(start=start)
            self.factor = nn.Parameter(np.full(1, start, np.float32))

    with pytest.raises(ValueError, match=r"could not rebuild a Scale; .*models\.register"):
        vg.save(tmp_path / "m", Scale(2.0))
    models.register(Scale)
    vg.save(tmp_path / "m", Scale(2.0))
    loaded = vg.load(tmp_path / "m")
    assert isinstance(loaded, Scale)
    assert loaded.factor.data[0] == 2.0


def test_two_models_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="a model called 'UNet' is already known"):
        models.register(type("UNet", (models.Model,), {}))


def test_what_load_could_not_rebuild_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="could not rebuild a Sequential"):
        vg.save(tmp_path / "m", nn.Sequential(nn.Linear(2, 2)))
    with pytest.raises(TypeError, match="save: model is dict"):
        vg.save(tmp_path / "m", {})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="metadata does not fit into JSON"):
        vg.save(tmp_path / "m", MODELS["mlp"](), metadata={"a": object()})
    with pytest.raises(ValueError, match="metadata does not fit into JSON"):
        vg.save(tmp_path / "m", MODELS["mlp"](), metadata={"a": float("nan")})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.001, 0.02, 0.3, 0.9, 0.9999])
def test_a_truncated_file_is_named(saved: Path, share: float) -> None:
    content = saved.read_bytes()
    saved.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"cannot load .*model\.safetensors: ") as caught:
        vg.load(saved)
    assert "truncated or damaged" in str(caught.value) or "not a voxelgrad file" in str(
        caught.value
    )


def test_no_changed_byte_passes_unnoticed(saved: Path) -> None:
    content = saved.read_bytes()
    header = int.from_bytes(content[:8], "little")
    random = np.random.default_rng(0)
    inside_header = random.integers(0, 8 + header, 60)
    inside_arrays = random.integers(8 + header, len(content), 20)
    expected = vg.load(saved).state_dict()
    for position in [*range(10), *inside_header, *inside_arrays]:
        damaged = bytearray(content)
        damaged[position] ^= 1 << int(random.integers(0, 8))
        saved.write_bytes(damaged)
        try:
            state = vg.load(saved).state_dict()
        except ValueError as error:
            assert "cannot load" in str(error)
            assert str(saved) in str(error)
            continue
        # Some header bytes mean nothing (padding, the version that wrote it); the rest must match.
        assert position < 8 + header
        assert all((state[name] == expected[name]).all() for name in expected)


def rewritten(path: Path, **changes: str) -> None:
    """Write the same arrays with other header entries."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])["__metadata__"]
    arrays = safetensors.numpy.load(content)
    path.write_bytes(safetensors.numpy.save(arrays, metadata={**header, **changes}))


def described(path: Path, description: dict[str, Any]) -> None:
    """Write a whole file of the right kind with another description."""
    arrays = safetensors.numpy.load_file(path)
    serialization.write_arrays(path, "model", arrays, description)


def config(**changes: Any) -> dict[str, Any]:
    return {**MODELS["unet"]().config, **changes}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.unlink(), "No such file"),
        (lambda p: p.write_bytes(b""), "not a voxelgrad file"),
        (lambda p: p.write_bytes(b"\x89PNG\r\n\x1a\n" * 9), "not a voxelgrad file"),
        (lambda p: p.write_bytes(b"\x80\x04pickle" * 20), "not a voxelgrad file"),
        (
            lambda p: safetensors.numpy.save_file({"a": np.zeros(3)}, p),
            "not a voxelgrad file; give one that voxelgrad.save wrote",
        ),
        (lambda p: rewritten(p, format_version="99"), "format 99, .* upgrade voxelgrad"),
        (lambda p: rewritten(p, format_version="new"), "its format version is 'new'"),
        (lambda p: rewritten(p, description="{}"), "does not match its checksum"),
        (
            lambda p: serialization.write_arrays(p, "checkpoint", {}, {}),
            "it is a voxelgrad checkpoint, not a model",
        ),
        (
            lambda p: described(p, {"architecture": "Transformer", "arguments": {}}),
            "model 'Transformer' is unknown; known are .*UNet",
        ),
        (
            lambda p: described(p, {"architecture": "UNet", "arguments": {"depth": 3}}),
            "unexpected keyword argument 'depth'",
        ),
        (
            lambda p: described(p, {"architecture": "UNet", "arguments": config(norm="x")}),
            "UNet: norm is 'x'",
        ),
        (
            lambda p: described(p, {"architecture": "UNet", "arguments": config(features=[4, 9])}),
            "has shape",
        ),
        (lambda p: described(p, {"architecture": "UNet"}), "arguments"),
        (lambda p: described(p, ["no", "dictionary"]), "description"),  # type: ignore[arg-type]
    ],
)
def test_a_file_that_is_no_whole_model_gives_one_clear_error(
    saved: Path, change: Any, message: str
) -> None:
    change(saved)
    with pytest.raises(ValueError, match=f"(?s)cannot load .*model.safetensors: .*{message}"):
        vg.load(saved)


def test_a_folder_is_not_loaded(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot load .*Is a directory"):
        vg.load(tmp_path)


def test_saving_into_a_missing_folder_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot write .*folder does not exist"):
        vg.save(tmp_path / "none" / "model.safetensors", MODELS["mlp"]())
    assert os.listdir(tmp_path) == []


def test_a_failure_while_saving_keeps_the_earlier_file(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = saved.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"cannot write .*No space left"):
        vg.save(saved, MODELS["unet"]())
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == [saved.name]


def test_arrays_of_any_shape_and_kind_come_back(tmp_path: Path) -> None:
    arrays = {
        "scalar": np.array(1.5),
        "empty": np.zeros((0, 3), np.float32),
        "labels": np.arange(6).reshape(2, 3)[:, ::2],
        "mask": np.array([True, False]),
    }
    serialization.write_arrays(tmp_path / "a", "checkpoint", arrays, {"epoch": 3})
    read, description = serialization.read_arrays(tmp_path / "a", "checkpoint")
    assert description == {"epoch": 3}
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)
