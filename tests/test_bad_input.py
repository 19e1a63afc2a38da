"""The table of bad input: each case gives one clear error, and nothing half-written."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import voxelgrad as vg
from voxelgrad.cli import main
from voxelgrad.train import read_checkpoint

pytest.importorskip("PIL")
pytest.importorskip("nibabel")

from bad_calls import CALLS
from bad_commands import COMMANDS, Place
from tiny_data import write_nifti_folder, write_slice_folder


@pytest.mark.parametrize("name", CALLS)
def test_a_mistake_in_python_gives_one_clear_error(name: str) -> None:
    call, error, parts = CALLS[name]
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert all(part in message for part in parts), message
    assert len(message) > 20


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(tmp_path_factory.mktemp("pristine"))
    write_slice_folder(place.slices)
    write_nifti_folder(place.volumes)
    vg.save(place.model, vg.models.UNet(3, 2, features=(2, 4)))
    small = ["--held-out", "1", "--features", "2,4", "--epochs", "1"]
    assert main(["train", str(place.slices), "--out", str(place.run), *small]) == 0
    return place


@pytest.fixture
def place(pristine: Place, tmp_path: Path) -> Place:
    shutil.copytree(pristine.root, tmp_path / "copy")
    return Place(tmp_path / "copy")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_mistake_on_the_command_line_ends_with_code_2_and_one_line(
    name: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    breakage, command, parts = COMMANDS[name]
    breakage(place)
    arguments = command(place)
    before = snapshot(place.root)
    code = main(arguments)
    printed = capsys.readouterr()
    errors = [line for line in printed.err.splitlines() if line.startswith("voxelgrad: ")]
    assert code == 2, printed.err
    assert len(errors) == 1 and errors[0].startswith("voxelgrad: error: ")
    assert all(part in errors[0] for part in parts), errors[0]
    assert "Traceback" not in printed.err and printed.out == ""
    assert_nothing_half_written(place, before)


def snapshot(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def assert_nothing_half_written(place: Place, before: dict[Path, bytes]) -> None:
    after = snapshot(place.root)
    assert all(after.get(path) == content for path, content in before.items())
    new = {path.name: path for path in after if path not in before}
    # A training that diverges has begun: what it wrote until then is whole, a result is not there.
    begun = {"settings.json", "split.json", "history.csv", "last.ckpt.safetensors"}
    assert set(new) <= begun, new
    if "last.ckpt.safetensors" in new:
        read_checkpoint(new["last.ckpt.safetensors"])


def test_unwritable_place_that_is_no_file_of_ours(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    if not Path("/proc/self").is_dir():
        pytest.skip("no /proc on this system")
    assert main(["train", str(place.slices), "--out", "/proc/voxelgrad"]) == 2
    assert "/proc/voxelgrad: it cannot be written to" in capsys.readouterr().err
